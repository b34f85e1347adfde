// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.oms;

import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.component.Transform;
import io.openmessaging.connector.api.data.ConnectRecord;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** The chain of `transforms`: `transforms.NAME.class` and its settings. Belongs to the task's thread. */
final class Transforms {
    private final List<Transform<ConnectRecord>> steps = new ArrayList<>();

    /** One that cannot be made is an error: the runtime logged it and moved the records untransformed. */
    @SuppressWarnings("unchecked")
    Transforms(Map<String, String> config, ClassLoader loader) throws ReflectiveOperationException {
        String names = config.getOrDefault("transforms", "").trim();
        for (String name : names.isEmpty() ? new String[0] : names.split("\\s*,\\s*")) {
            String prefix = "transforms." + name + ".";
            String className = config.get(prefix + "class");
            if (className == null) {
                throw new IllegalArgumentException(prefix + "class is missing; it must name the transform '" + name + "'");
            }
            Transform<ConnectRecord> made = OwnTransforms.make(className.trim(), loader);
            if (made == null) {
                made = Settings.make(prefix + "class", className.trim(), Transform.class, loader);
            }
            KeyValue settings = Settings.keyValue(Settings.below(config, prefix));
            made.validate(settings);
            made.start(settings);
            steps.add(made);
        }
    }

    /** @return null when a transform drops the record */
    ConnectRecord apply(ConnectRecord record) {
        ConnectRecord now = record;
        for (int i = 0; i < steps.size() && now != null; i++) {
            now = steps.get(i).doTransform(now);
        }
        return now;
    }

    void close() {
        for (Transform<ConnectRecord> step : steps) {
            step.stop();
        }
    }
}
