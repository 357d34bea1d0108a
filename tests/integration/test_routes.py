"""Routes, by real processes and commands on the local stack: what only a query can read, its bill, what is refused."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest
import requests
from google.cloud import bigquery

from integration.command import Called
from integration.stage import Stage, csv_rows, expected_rows

BILLED_AT_LEAST = 10 << 20


def with_all_kinds(stage: Stage) -> None:
    """A table, a view, a materialized view and an external table."""
    stage.table("orders", 4)
    stage.sql(f"CREATE VIEW recent AS SELECT id, name FROM `{stage.dataset}`.orders WHERE id > 2")
    stage.sql(f"CREATE MATERIALIZED VIEW counted AS SELECT COUNT(*) AS n FROM `{stage.dataset}`.orders")
    stage.upload("elsewhere/data.csv", b"1\n2\n3\n")
    sheet = bigquery.Table(f"{stage.project}.{stage.dataset}.sheet", schema=[bigquery.SchemaField("a", "INT64")])
    files = bigquery.ExternalConfig("CSV")
    files.source_uris = [f"gs://{stage.bucket}/elsewhere/data.csv"]
    sheet.external_data_configuration = files
    stage.big.create_table(sheet)


def planned(stage: Stage, *arguments: str) -> dict[str, Any]:
    """What `bqdump plan --json` says, by table."""
    called = stage.command("plan", "--json", *arguments)
    assert called.code == 0, called
    shown: dict[str, Any] = json.loads(called.out)
    return {**shown, "tables": {table["table"]: table for table in shown["tables"]}}


def refused(stage: Stage, called: Called, *words: str) -> None:
    """It ended as wrong usage with one error that says all of this, and nothing was touched."""
    before = {name for name in stage.objects() if name.startswith("_bqdump/")}
    assert called.code == 2, called
    (error,) = called.errors
    for word in words:
        assert word in error
    assert "Traceback" not in called.out + called.err
    assert before == set()
    assert stage.extracts() == []


def test_every_kind_is_exported(stage: Stage) -> None:
    with_all_kinds(stage)
    assert stage.execute(tasks=2).codes == [0, 0]
    manifest = stage.manifest()
    found = {table.table: table for table in manifest.tables}
    assert {name: (table.route, table.read_at, table.rows) for name, table in found.items()} == {
        "counted": ("query", "job", 1), "orders": ("extract", "snapshot", None), "recent": ("query", "job", 2),
        "sheet": ("query", "job", 3),
    }  # fmt: skip
    assert csv_rows(stage.read(found["recent"].files[0].name)) == ["id,name", "3,orders-3", "4,orders-4"]
    assert csv_rows(stage.read(found["counted"].files[0].name)) == ["n", "4"]
    assert csv_rows(stage.read(found["sheet"].files[0].name)) == ["a", "1", "2", "3"]
    assert csv_rows(stage.read(found["orders"].files[0].name)) == expected_rows("orders", 4)
    assert manifest.skipped == ()
    assert manifest.totals.rows == 6
    assert found["recent"].billed == found["recent"].planned_billed == BILLED_AT_LEAST
    assert "a view" in found["recent"].why
    assert [job.table for job in stage.extracts()] == ["orders"]


def test_a_table_that_has_lost_its_columns_leaves_the_published_export_with_that_reason(stage: Stage) -> None:
    stage.table("orders", 4)
    stage.table("others", 4)
    stage.now()
    stage.run_tasks(1)
    stage.big.delete_table(f"{stage.project}.{stage.dataset}.orders")
    stage.big.create_table(bigquery.Table(f"{stage.project}.{stage.dataset}.orders"))
    stage.now()
    reason = "it has no columns, and so no rows"
    (flag,) = [flag for flag in planned(stage)["flags"] if flag["risk"] == "dropped-tables"]
    assert flag["detail"] == reason
    shown = " ".join(stage.command("plan").out.split())
    assert (shown.count(reason), "no longer in the dataset" in shown) == (3, False), shown
    ran = stage.run("--run-id", "second")
    assert (ran.code, f"orders is removed from the published export ({reason}): run " in ran.text) == (0, True), ran
    assert [(table.table, table.reason) for table in stage.manifest().removed] == [("orders", "skipped")]


def test_the_plan_shows_routes_reasons_and_the_bill(stage: Stage) -> None:
    with_all_kinds(stage)
    before = stage.big.list_jobs(page_size=1000)
    queries = sum(job.job_type == "query" for job in before)
    shown = planned(stage)
    bills = {name: table["bills"] for name, table in shown["tables"].items()}
    assert bills == {"counted": BILLED_AT_LEAST, "orders": None, "recent": BILLED_AT_LEAST, "sheet": bills["sheet"]}
    assert shown["totals"]["bills"] == sum(bill or 0 for bill in bills.values())
    assert [name for name, table in shown["tables"].items() if table["bills_at_least"]] == ["sheet"]
    assert shown["tables"]["sheet"]["why"].startswith("an external table: extract jobs read tables only")
    readable = stage.command("plan").out
    assert "Not exported by a free extract job" in readable
    first = readable.splitlines()[0]
    assert re.search(r"3 query jobs, billed for at least 2\d MB: at least \$0\.00 at \$6\.25 per TiB\.", first)
    assert shown["usd"] == round(shown["totals"]["bills"] / 2**40 * 6.25, 6)
    # Clock and indexes were queried twice; a dry run leaves no job.
    after = [job for job in stage.big.list_jobs(page_size=1000) if job.job_type == "query"]
    assert len(after) == queries + 4
    dear = stage.command("plan", "--price-per-tib", "1000").out.splitlines()[0]
    assert re.search(r"at least \$0\.0[23] at \$1000 per TiB\.", dear)


def test_a_bill_beyond_the_limit_is_refused_before_anything_starts(stage: Stage) -> None:
    with_all_kinds(stage)
    refused(stage, stage.command("run", "--max-bytes-billed", "10MB"), "--max-bytes-billed 10 MB", "would bill",
            "counted 10.5 MB", "--exclude")  # fmt: skip
    refused(stage, stage.command("plan", "--max-bytes-billed", "1 kB"), "would bill")
    assert stage.command("run", "--max-bytes-billed", "1 GiB").code == 0


def people(stage: Stage, toml: str) -> None:
    """A table of people, and settings for it."""
    stage.sql(
        "CREATE TABLE people AS "
        "SELECT 1 AS id, 'a@x.ch' AS email, 'CH' AS country, DATE '2001-02-03' AS born, 7.5 AS pay "
        "UNION ALL SELECT 2, 'b@x.li', 'LI', DATE '2002-03-04', 8.5 UNION ALL SELECT 3, NULL, 'AT', NULL, 9.5"
    )
    stage.table("orders", 2)
    (stage.folder / "bqdump.toml").write_text(toml)


def test_a_part_of_a_table_is_exported(stage: Stage) -> None:
    people(
        stage,
        """
        [tables.people]
        columns = ["country", "ID", "email", "pay"]
        exclude_columns = ["pay"]
        where = "country = 'CH' OR email IS NULL"
        """,
    )
    snapshot = stage.now()
    stage.now()
    stage.sql("DELETE FROM people WHERE id = 3")
    assert stage.execute("--snapshot-time", str(snapshot), tasks=2).codes == [0, 0]
    orders, entry = stage.manifest().tables
    assert csv_rows(stage.read(entry.files[0].name)) == ["country,id,email", "AT,3,", "CH,1,a@x.ch"]
    assert (entry.route, entry.rows, entry.expected_rows, entry.read_at) == ("query", 2, None, "snapshot")
    assert (entry.shape.columns, entry.shape.where) == (("country", "id", "email"), "country = 'CH' OR email IS NULL")
    assert entry.why == "columns are chosen and rows are filtered: extract jobs export complete tables"
    assert orders.route == "extract"


SALT = "salt-7d1c-never-to-be-seen"


def test_masks_hide_values_and_the_salt_is_nowhere(stage: Stage) -> None:
    people(
        stage,
        """
        [tables."p*".masks]
        email = {sha256 = "EXPORT_SALT"}
        id = {sha256 = "EXPORT_SALT"}
        born = "null"
        country = {constant = "it's) OR ('"}
        """,
    )
    ran = stage.run(env={"EXPORT_SALT": SALT}, execution="masked")
    assert ran.code == 0, ran.text
    (_, entry) = stage.manifest().tables

    def hashed(value: str) -> str:
        return hashlib.sha256(f"{SALT}{value}".encode()).hexdigest()

    constant = "it's) OR ('"
    assert csv_rows(stage.read(entry.files[0].name)) == ["id,email,country,born,pay", *sorted([
        f"{hashed('1')},{hashed('a@x.ch')},{constant},,7.5", f"{hashed('2')},{hashed('b@x.li')},{constant},,8.5",
        f"{hashed('3')},,{constant},,9.5",
    ])]  # fmt: skip
    stored = b"".join(stage.read(name) for name in stage.objects())
    assert SALT.encode() not in stored
    assert b"EXPORT_SALT" in stored
    assert SALT not in ran.text
    (job,) = [job for job in stage.big.list_jobs() if job.job_type == "query" and "EXPORT DATA" in job.query]
    assert SALT not in job.query
    assert [(parameter.name, parameter.value) for parameter in job.query_parameters] == [("salt_0", SALT)]


def test_a_mask_without_its_salt_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    people(stage, '[tables.people.masks]\nemail = {sha256 = "EXPORT_SALT"}\n')
    monkeypatch.delenv("EXPORT_SALT", raising=False)
    for command in ("run", "plan"):
        refused(stage, stage.command(command), "EXPORT_SALT", "it is not set")
    monkeypatch.setenv("EXPORT_SALT", "")
    refused(stage, stage.command("run"), "EXPORT_SALT")


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('[tables.people]\nwhere = "emial IS NULL"', ["table people", "BigQuery refuses to query it", "emial"]),
        ('[tables.people]\nwhere = "id >"', ["table people", "BigQuery refuses to query it", "yntax error"]),
        ('[tables.people]\nwhere = "id GROUP BY 1"', ["table people", "BigQuery refuses to query it"]),
        ('[tables.people.masks]\nid = {constant = "x"}', ["table people", "BigQuery refuses to query it", "INT64"]),
    ],
)
def test_settings_of_a_table_that_bigquery_refuses_are_refused_before_anything_starts(
    stage: Stage, toml: str, words: list[str]
) -> None:
    people(stage, toml)
    refused(stage, stage.command("run"), *words)


HOSTILE = ["with space", "select", "straße", "a-b", "100%", "it's", "x;y", "--", "#"]


def test_hostile_names_of_columns_and_tables_stay_names(stage: Stage) -> None:
    schema = [{"name": name, "type": "STRING"} for name in HOSTILE]
    name = "x' OR; --"
    reference = {"projectId": stage.project, "datasetId": stage.dataset, "tableId": name}
    stage.stack.jobs(any_table_names=True)
    made = requests.post(
        f"{stage.stack.bigquery}/bigquery/v2/projects/{stage.project}/datasets/{stage.dataset}/tables",
        json={"tableReference": reference, "schema": {"fields": schema}},
        timeout=10,
    )
    assert made.ok, made.text
    settings = {
        "columns": HOSTILE,
        "where": f"`{HOSTILE[0]}` IS NULL OR `--` = ';'",
        "masks": {"it's": "null", "x;y": {"constant": "`"}},
    }
    tables = {name: settings}
    called = stage.command("run", "--tables", json.dumps(tables))
    assert called.code == 0, called
    (table,) = stage.manifest().tables
    assert (table.route, table.rows, table.shape.columns) == ("query", 0, ())
    assert stage.read(table.files[0].name).decode().splitlines()[0].count(",") == len(HOSTILE) - 1


def test_a_filter_of_the_read_route_is_checked_before_anything_starts(stage: Stage) -> None:
    people(stage, '[tables.people]\nroute = "read"\nwhere = "emial IS NULL"\n')
    refused(stage, stage.command("run"), "table people", "BigQuery refuses to query it", "emial")
    shown = planned(stage, "--tables", '{"people": {"route": "read", "where": "email IS NULL"}}')["tables"]["people"]
    assert (shown["route"], shown["bills"]) == ("read", None)


def test_masks_are_nothing_for_the_read_route(stage: Stage) -> None:
    people(stage, '[tables.people]\nroute = "read"\nmasks = {email = "null"}\n')
    refused(stage, stage.command("run"), "table people", "computes nothing", 'route = "query"')


@pytest.mark.parametrize("route", ["extract", "query", "read"])
def test_tables_that_want_a_filter_on_their_partitions_are_exported_whole(stage: Stage, route: str) -> None:
    fields = [bigquery.SchemaField("day", "DATE"), bigquery.SchemaField("n", "INT64")]
    table = bigquery.Table(f"{stage.project}.{stage.dataset}.t", schema=fields)
    table.time_partitioning = bigquery.TimePartitioning(field="day")
    table.require_partition_filter = True
    stage.big.create_table(table)
    stage.sql("INSERT INTO t (day, n) VALUES (NULL, 1), (DATE '2024-01-01', 2), (DATE '2025-01-01', 3)")
    ran = stage.run("--route", route)
    assert ran.code == 0, ran.text
    (file,) = stage.manifest().tables[0].files
    assert sorted(csv_rows(stage.read(file.name))) == [",1", "2024-01-01,2", "2025-01-01,3", "day,n"]
    assert stage.command("verify", "--source").code == 0
    assert stage.command("doctor").code == 0
