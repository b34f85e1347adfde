// SPDX-License-Identifier: Apache-2.0
package gantry.host.plugin;

/** The worlds of connectors that the host knows, told apart by what their connectors extend. */
enum ApiKind {
    OMS2019("openmessaging-0.1", "oms2019", "gantry.adapter.oms2019.Oms2019Api",
            "io.openmessaging.connector.api.source.SourceConnector", "io.openmessaging.connector.api.sink.SinkConnector",
            "io.openmessaging."),
    OMS("openmessaging-0.1.4", "oms", "gantry.adapter.oms.OmsApi",
            "io.openmessaging.connector.api.component.task.source.SourceConnector",
            "io.openmessaging.connector.api.component.task.sink.SinkConnector",
            "io.openmessaging."),
    KAFKA("kafka", "kafka", "gantry.adapter.kafka.KafkaApi",
            "org.apache.kafka.connect.source.SourceConnector", "org.apache.kafka.connect.sink.SinkConnector",
            "org.apache.kafka.");

    /** As the protocol calls it; also the folder of the library with jars for its plugins alone. */
    final String title;
    /** The folder within the host's jar. */
    final String folder;
    final String adapter;
    final String source;
    final String sink;
    /** Packages of the API: the host's are used, whatever a plugin brings along. */
    final String packages;

    ApiKind(String title, String folder, String adapter, String source, String sink, String packages) {
        this.title = title;
        this.folder = folder;
        this.adapter = adapter;
        this.source = source;
        this.sink = sink;
        this.packages = packages;
    }
}
