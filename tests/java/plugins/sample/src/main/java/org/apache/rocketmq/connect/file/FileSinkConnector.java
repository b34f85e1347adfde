// SPDX-License-Identifier: Apache-2.0
package org.apache.rocketmq.connect.file;

import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.Task;
import io.openmessaging.connector.api.sink.SinkConnector;
import java.util.Collections;
import java.util.List;

/** A stand-in for the sample of 2019. */
public class FileSinkConnector extends SinkConnector {
    private KeyValue config;

    @Override
    public String verifyAndSetConfig(KeyValue given) {
        if (!given.containsKey("filename")) {
            return "Request config key: filename";
        }
        config = given;
        return "";
    }

    @Override
    public void start() {
    }

    @Override
    public void stop() {
    }

    @Override
    public void pause() {
    }

    @Override
    public void resume() {
    }

    @Override
    public Class<? extends Task> taskClass() {
        return FileSinkTask.class;
    }

    @Override
    public List<KeyValue> taskConfigs() {
        return Collections.singletonList(config);
    }
}
