# SPDX-License-Identifier: Apache-2.0
"""Debezium with real servers through the worker: a snapshot, changes, a restart of the worker, kills of the host; each change
is in the topic once."""
import json
import os

import pytest

import databases
import workers
from harness import wait_for

POSTGRES = "io.debezium.connector.postgresql.PostgresConnector"
MYSQL = "io.debezium.connector.mysql.MySqlConnector"
MARIADB = "io.debezium.connector.mariadb.MariaDbConnector"
JDBC = "io.debezium.connector.jdbc.JdbcSinkConnector"
ROWS, KILLS, MANY = 1000, 3, 1500


def postgres(server, _):
    server.sql("CREATE TABLE things (id int PRIMARY KEY, text varchar); ALTER TABLE things REPLICA IDENTITY FULL;"
               f"INSERT INTO things SELECT n, 'row ' || n FROM generate_series(1, {ROWS}) n;")
    return {"connector.class": POSTGRES, "database.hostname": "127.0.0.1", "database.port": str(server.port), "database.user": "gantry",
            "database.password": "none", "database.dbname": "postgres", "topic.prefix": "pg", "plugin.name": "pgoutput",
            "table.include.list": "public.things"}, "pg_public_things", server.sql


def mariadb(server, folder, class_name=MARIADB):
    server.sql("CREATE DATABASE shop; USE shop; CREATE TABLE things (id int PRIMARY KEY, text varchar(100)) CHARACTER SET utf8mb4;"
               f"INSERT INTO things SELECT seq, concat('row ', seq) FROM seq_1_to_{ROWS};"
               "CREATE USER gantry@'127.0.0.1' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO gantry@'127.0.0.1';")
    return {"connector.class": class_name, "database.hostname": "127.0.0.1", "database.port": str(server.port), "database.user": "gantry",
            "database.password": "secret", "database.server.id": "5401", "topic.prefix": "my", "database.include.list": "shop",
            "table.include.list": "shop.things", "database.ssl.mode": "disable" if class_name == MARIADB else "disabled",
            "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory",
            "schema.history.internal.file.filename": os.path.join(str(folder), "history")}, "my_shop_things", \
        lambda text: server.sql("USE shop; SET NAMES utf8mb4; " + text)


SERVERS = {
    "postgres": (databases.Postgres, postgres),
    # The version that it tells is one of MySQL's, for the connector looks at the number.
    "mysql": (lambda: databases.MariaDb("--version=5.7.19-log"), lambda server, folder: mariadb(server, folder, MYSQL)),
    "mariadb": (databases.MariaDb, mariadb),
}


def changes(worker, topic):
    """[(op, id, text)] of the topic's messages, without tombstones."""
    found = []
    for body, headers in worker.messages(topic):
        if body:
            value = json.loads(body)
            row = value["after"] or value["before"]
            found.append((value["op"], row["id"], row["text"]))
        else:
            assert "gantry-null" in headers
    return found


def wait_changes(worker, topic, count):
    found = []

    def look():
        found[:] = changes(worker, topic)
        return len(found) >= count
    wait_for(look, lambda: f"{count} changes (there are {len(found)}); the log:\n{worker.log()[-5000:]}", 90)
    return found


@pytest.mark.parametrize("kind", list(SERVERS))
def test_each_change_is_in_the_topic_once(tmp_path, kind):
    make, prepare = SERVERS[kind]
    with make() as server, workers.java_worker(tmp_path / "w", f"debezium-{kind}", heap="384m") as worker:
        config, topic, sql = prepare(server, tmp_path)
        worker.create("d", {**config, "topic.delimiter": "_", **workers.JSON})
        expected = [("r", number, f"row {number}") for number in range(1, ROWS + 1)]
        assert sorted(wait_changes(worker, topic, ROWS)) == expected
        sql(f"INSERT INTO things VALUES ({ROWS + 1}, 'süß'); UPDATE things SET text = 'other' WHERE id = 1; DELETE FROM things WHERE id = 2;")
        news = [("c", ROWS + 1, "süß"), ("u", 1, "other"), ("d", 2, "row 2")]
        assert wait_changes(worker, topic, ROWS + 3)[ROWS:] == news
        worker.end()
        sql(f"INSERT INTO things VALUES ({ROWS + 2}, 'while it was away');")
        worker.start()
        news.append(("c", ROWS + 2, "while it was away"))
        assert wait_changes(worker, topic, ROWS + 4)[ROWS:] == news
        kills = 1 if kind == "mariadb" else KILLS  # as the one for MySQL, but for a few classes
        for kill in range(kills):
            first = ROWS + 3 + kill * (MANY // KILLS)
            rows = [(number, f"kill {kill}") for number in range(first, first + MANY // KILLS)]
            sql("".join(f"INSERT INTO things VALUES ({number}, '{text}');" for number, text in rows))
            news += [("c", number, text) for number, text in rows]
            wait_changes(worker, topic, len(expected) + len(news) - len(rows) + 1)
            workers.kill_hosts(worker)
        assert wait_changes(worker, topic, len(expected) + len(news))[ROWS:] == news
        workers.wait_ends(worker, kills)
        assert "not known to" not in worker.log()
        # Nothing comes behind: the last row is the last message.
        sql(f"INSERT INTO things VALUES ({ROWS * 100}, 'last');")
        assert wait_changes(worker, topic, len(expected) + len(news) + 1)[ROWS:] == [*news, ("c", ROWS * 100, "last")]
        if kind == "postgres":  # what is committed here is confirmed there
            wait_for(lambda: server.sql("SELECT confirmed_flush_lsn IS NOT NULL FROM pg_replication_slots").strip() == "t", "the slot")


def test_tables_are_copied_by_source_and_sink(tmp_path):
    """Debezium's JDBC sink, from the topic of its PostgreSQL connector: by upsert, so that a kill of the JVM changes nothing."""
    with databases.Postgres() as server, workers.java_worker(tmp_path / "w", "debezium-postgres", "debezium-jdbc", heap="384m") as worker:
        config, topic, sql = postgres(server, tmp_path)
        worker.create("d", {**config, "topic.delimiter": "_"})  # JsonConverter with schemas, as by default
        worker.create("j", {"connector.class": JDBC, "topics": topic, "connection.url": f"jdbc:postgresql://127.0.0.1:{server.port}/postgres",
                            "connection.username": "gantry", "connection.password": "none", "insert.mode": "upsert", "delete.enabled": "true",
                            "primary.key.mode": "record_key", "schema.evolution": "basic", "collection.name.format": "copy"})

        def wait_equal(what):
            def look():
                if sql("SELECT to_regclass('copy') IS NOT NULL").strip() != "t":
                    return False
                return sql("SELECT * FROM copy ORDER BY id") == sql("SELECT * FROM things ORDER BY id")
            wait_for(look, lambda: f"{what}; the log:\n{worker.log()[-5000:]}", 90)
        wait_equal("the snapshot")
        sql(f"UPDATE things SET text = 'süß' WHERE id % 10 = 1; DELETE FROM things WHERE id % 10 = 5;"
            f"INSERT INTO things SELECT n, 'new' FROM generate_series({ROWS * 2}, {ROWS * 2} + 300) n;")
        workers.kill_hosts(worker)
        wait_equal("what was changed before the kill")
        worker.wait_log("ended by signal 9")
