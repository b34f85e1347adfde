# SPDX-License-Identifier: Apache-2.0
"""Debezium, as Maven Central has it, with real servers: a snapshot, then changes, a restart, and nothing is lost. Kills:
test_worker_debezium.py."""
import json
import os

import pytest

import databases
import driver

JSON = {f"{side}.converter.schemas.enable": "false" for side in ("key", "value")}
POSTGRES = "io.debezium.connector.postgresql.PostgresConnector"
MYSQL = "io.debezium.connector.mysql.MySqlConnector"


@pytest.fixture(scope="module")
def postgres():
    with databases.Postgres() as server:
        yield server


@pytest.fixture(scope="module")
def mariadb():
    # The version that it tells is one of MySQL's, for Debezium's connector for MySQL looks at the number. What it then asks
    # for and reads is MariaDB's.
    with databases.MariaDb("--version=5.7.19-log") as server:
        yield server


def changes(records):
    """[(op, id, text)] of the data topic's records, without tombstones."""
    found = []
    for record in records:
        if record.value is None or not record.topic.endswith("_things"):
            continue
        value = json.loads(record.value)
        row = value["after"] or value["before"]
        found.append((value["op"], row["id"], row["text"]))
    return found


def wait_changes(source, count):
    source.host.wait(lambda: len(changes(source.records)) >= count or source.failed, f"{count} changes (there are {len(changes(source.records))})", 120)
    source.check()
    return changes(source.records)


def move(host, plugin, class_name, config, sql):
    """Snapshot of 1000 rows, inserts, updates, deletes; a stop in between; what came, without repeats of what was committed."""
    assert host.validate(plugin, class_name, "d", config) == []
    source = host.run(plugin, class_name, "d", config, "source", credit=4 << 20)
    found = wait_changes(source, 1000)
    assert sorted(one[1] for one in found) == list(range(1, 1001)) and {one[0] for one in found} == {"r"}
    sql("INSERT INTO things VALUES (1001, 'süß'); UPDATE things SET text = 'other' WHERE id = 1; DELETE FROM things WHERE id = 2;")
    assert wait_changes(source, 1003)[1000:1002] == [("c", 1001, "süß"), ("u", 1, "other")]
    host.wait(lambda: changes(source.records)[1002][0] == "d" and any(record.value is None for record in source.records), "the tombstone")
    source.stop()
    sql("INSERT INTO things VALUES (1002, 'while it was away');")
    again = host.run(plugin, class_name, "d", config, "source", credit=4 << 20)
    assert wait_changes(again, 1) == [("c", 1002, "while it was away")]
    return again


def test_postgres(tmp_path, postgres, plugin_path):
    path = plugin_path("debezium-postgres")
    postgres.sql("CREATE TABLE things (id int PRIMARY KEY, text varchar); ALTER TABLE things REPLICA IDENTITY FULL;"
                 "INSERT INTO things SELECT n, 'row ' || n FROM generate_series(1, 1000) n;")
    config = {"name": "d", "connector.class": POSTGRES, "database.hostname": "127.0.0.1", "database.port": str(postgres.port), "database.user": "gantry",
              "database.password": "none", "database.dbname": "postgres", "topic.prefix": "pg", "topic.delimiter": "_", "plugin.name": "pgoutput",
              "table.include.list": "public.things", "tasks.max": "1", "slot.drop.on.stop": "false", **JSON}
    with driver.Host(tmp_path, java=driver.java_for(17), options=["-Xmx512m"]) as host:
        plugin = host.load(path)
        source = move(host, plugin, POSTGRES, config, postgres.sql)
        assert json.loads(source.records[0].key) == {"id": 1002} and source.records[0].topic == "pg_public_things"
        # what is committed here is confirmed there: the slot moves
        host.wait(lambda: postgres.sql("SELECT confirmed_flush_lsn IS NOT NULL FROM pg_replication_slots").strip() == "t", "the slot")
        source.stop()


def test_mariadb(tmp_path, mariadb, plugin_path):
    path = plugin_path("debezium-mysql")
    mariadb.sql("CREATE DATABASE shop; USE shop; CREATE TABLE things (id int PRIMARY KEY, text varchar(100)) CHARACTER SET utf8mb4;"
                "INSERT INTO things SELECT seq, concat('row ', seq) FROM seq_1_to_1000;"
                "CREATE USER gantry@'127.0.0.1' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO gantry@'127.0.0.1';")
    config = {"name": "d", "connector.class": MYSQL, "database.hostname": "127.0.0.1", "database.port": str(mariadb.port), "database.user": "gantry",
              "database.password": "secret", "database.server.id": "5401", "topic.prefix": "my", "topic.delimiter": "_", "database.include.list": "shop",
              "table.include.list": "shop.things", "tasks.max": "1", "database.ssl.mode": "disabled",
              "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory",
              "schema.history.internal.file.filename": os.path.join(str(tmp_path), "history"), **JSON}

    def sql(text):
        mariadb.sql("USE shop; SET NAMES utf8mb4; " + text)
    with driver.Host(tmp_path, java=driver.java_for(17), options=["-Xmx512m"]) as host:
        plugin = host.load(path)
        source = move(host, plugin, MYSQL, config, sql)
        source.stop()
