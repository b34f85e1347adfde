// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.kafka;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.transforms.Transformation;
import org.apache.kafka.connect.transforms.predicates.Predicate;

/** The chain of `transforms`, each with its `predicate`. Belongs to the task's thread. */
final class Transforms<R extends ConnectRecord<R>> {
    private static final class Step<R extends ConnectRecord<R>> {
        final Transformation<R> transform;
        final Predicate<R> predicate;
        final boolean negate;

        Step(Transformation<R> transform, Predicate<R> predicate, boolean negate) {
            this.transform = transform;
            this.predicate = predicate;
            this.negate = negate;
        }
    }

    private final List<Step<R>> steps = new ArrayList<>();
    private final Map<String, Predicate<R>> predicates = new HashMap<>();

    @SuppressWarnings("unchecked")
    Transforms(Map<String, String> config, ClassLoader loader) throws Exception {
        for (String name : Settings.list(config.get("predicates"))) {
            String prefix = "predicates." + name + ".";
            Predicate<R> predicate = Settings.make(prefix + "type", config.get(prefix + "type"), Predicate.class, loader);
            predicate.configure(Settings.below(config, prefix));
            predicates.put(name, predicate);
        }
        for (String name : Settings.list(config.get("transforms"))) {
            String prefix = "transforms." + name + ".";
            Transformation<R> transform = Settings.make(prefix + "type", config.get(prefix + "type"), Transformation.class, loader);
            Map<String, Object> settings = Settings.below(config, prefix);
            settings.remove("type");
            String wanted = (String) settings.remove("predicate");
            boolean negate = Boolean.parseBoolean((String) settings.remove("negate"));
            if (wanted != null && !predicates.containsKey(wanted)) {
                throw new IllegalArgumentException(prefix + "predicate is '" + wanted + "', which `predicates` does not list");
            }
            transform.configure(settings);
            steps.add(new Step<>(transform, predicates.get(wanted), negate));
        }
    }

    /** @return null when a transform drops the record */
    R apply(R record) {
        R now = record;
        for (Step<R> step : steps) {
            if (step.predicate == null || step.predicate.test(now) != step.negate) {
                now = step.transform.apply(now);
                if (now == null) {
                    return null;
                }
            }
        }
        return now;
    }

    void close() {
        for (Step<R> step : steps) {
            step.transform.close();
        }
        for (Predicate<R> predicate : predicates.values()) {
            predicate.close();
        }
    }
}
