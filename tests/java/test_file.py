# SPDX-License-Identifier: Apache-2.0
"""Kafka Connect's own file connectors, as Maven Central has them: file to frames to file."""
import driver

JAR = "connect-file-3.9.2.jar"
SOURCE, SINK = (f"org.apache.kafka.connect.file.FileStream{kind}Connector" for kind in ("Source", "Sink"))
STRING = {"key.converter": "org.apache.kafka.connect.storage.StringConverter", "value.converter": "org.apache.kafka.connect.storage.StringConverter"}


def test_a_file_arrives_whole_over_a_stop_and_a_kill(tmp_path, java, plugin_path):
    # ASCII: the connector counts its position in characters and skips it as bytes
    lines = [f"line {number} {'x' * (number % 200)}" for number in range(20_000)]
    name, out = str(tmp_path / "in"), str(tmp_path / "out")
    (tmp_path / "in").write_text("\n".join(lines) + "\n", encoding="utf-8")
    given = {"connector.class": SOURCE, "file": name, "topic": "t", **STRING}
    positions, records = {}, []
    for number, wanted in enumerate((3000, 12_000, 20_000)):
        with driver.Host(tmp_path / str(number), java=java) as host:
            host.positions = positions
            source = host.run(host.load(plugin_path(JAR)), SOURCE, "s", given, "source", commit=False, credit=64 << 20)
            source.wait(wanted - len(records))
            with host.changed:
                seq = source.seq
                count = len(source.records)
            source.commit(seq)
            records += source.records[:count]
            if number == 1:
                host.kill()
            else:
                source.stop()
    assert [record.value.decode() for record in records] == lines
    assert list(positions["s"]) == [b'{"filename":"%s"}' % name.encode()]
    with driver.Host(tmp_path / "sink", java=java) as host:
        sink = host.run(host.load(plugin_path(JAR)), SINK, "k", {"connector.class": SINK, "file": out, "topics": "t", **STRING}, "sink")
        for at in range(0, 20_000, 1500):
            sink.put("t", 0, at, [record.value for record in records[at:at + 1500]])
        sink.wait_taken()
        assert sink.flush() == {}
        sink.stop()
    with open(name, "rb") as one, open(out, "rb") as other:
        assert one.read() == other.read()
