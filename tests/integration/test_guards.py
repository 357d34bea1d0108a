"""Nothing is lost in silence: a risk is refused by name, shown in the plan, and in the manifest where allowed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NamedTuple

import pytest
import requests
from google.cloud import bigquery

from bqdump.core.progress.log_events import LogEvent
from bqdump.core.times import rfc3339
from integration.stage import Stage, csv_rows, records

TAG = "projects/p/locations/us/taxonomies/1/policyTags/2"
Flags = list[tuple[str, str]]


class Case(NamedTuple):
    """How to make a risk (returns arguments of the run), its name, and the flags that it gives."""

    make: Callable[[Stage], list[str]]
    risk: str
    flags: Flags


def row_policy(stage: Stage) -> list[str]:
    stage.sql('CREATE ROW ACCESS POLICY some ON orders GRANT TO ("allAuthenticatedUsers") FILTER USING (id > 1)')
    return []


def unseen(stage: Stage) -> list[str]:
    stage.deny("bigquery.rowAccessPolicies.list")
    return []


def masked(stage: Stage) -> list[str]:
    columns = [
        bigquery.SchemaField("id", "INT64"),
        bigquery.SchemaField("ssn", "STRING", policy_tags=bigquery.PolicyTagList([TAG])),
    ]
    stage.big.create_table(bigquery.Table(f"{stage.project}.{stage.dataset}.people", schema=columns))
    return []


def streamed(stage: Stage) -> list[str]:
    assert stage.big.insert_rows_json(f"{stage.project}.{stage.dataset}.orders", [{"id": 99, "name": "live"}]) == []
    return []


def later(stage: Stage) -> list[str]:
    snapshot = stage.now()
    stage.now()
    stage.table("late")
    return ["--snapshot-time", rfc3339(snapshot)]


def unknown(stage: Stage) -> list[str]:
    stage.table("relations")
    where = {"project": stage.project, "dataset": stage.dataset, "table": "relations"}
    url = f"{stage.stack.bigquery}/_local/kinds"
    requests.put(url, json={**where, "kind": "GRAPH"}, timeout=10).raise_for_status()
    return []


def stream_into(stage: Stage, table: str) -> None:
    """Make a table into which changes are streamed, one of which is not applied yet."""
    stage.sql(f"CREATE TABLE {table} (id INT64 PRIMARY KEY NOT ENFORCED, name STRING)")
    stage.sql(f"INSERT INTO {table} (id, name) VALUES (1, 'old')")
    assert stage.big.insert_rows_json(f"{stage.project}.{stage.dataset}.{table}", [{"id": 2, "name": "new"}]) == []
    where = {"project": stage.project, "dataset": stage.dataset, "table": table}
    url = f"{stage.stack.bigquery}/_local/changes"
    requests.put(url, json={**where, "watermark": 1}, timeout=10).raise_for_status()


def unseen_changes(stage: Stage) -> list[str]:
    stage.sql("CREATE TABLE keyed (id INT64 PRIMARY KEY NOT ENFORCED)")
    stage.deny("bigquery.routines.list")
    return []


def unaffordable_changes(stage: Stage) -> list[str]:
    stage.sql("CREATE TABLE keyed (id INT64 PRIMARY KEY NOT ENFORCED)")
    return ["--max-bytes-billed", "10MB"]


def by_arrival(stage: Stage) -> list[str]:
    stage.sql("CREATE TABLE events (id INT64) PARTITION BY _PARTITIONDATE")
    stage.sql("INSERT INTO events (id) VALUES (1)")
    return []


# The same permission, or the same room, is missing for definitions. That is reported only.
UNREAD = ("unread-definitions", "")
CASES = {
    "row policies": Case(row_policy, "row-policies", [("row-policies", "orders")]),
    "unseen": Case(unseen, "unseen-row-policies", [("unseen-row-policies", "")]),
    "masked": Case(masked, "masked-columns", [("masked-columns", "people")]),
    "streamed": Case(streamed, "streaming-buffer", [("streaming-buffer", "orders")]),
    "unknown": Case(unknown, "skipped", [("skipped", "relations")]),
    "unseen changes": Case(unseen_changes, "unseen-changes", [("unseen-changes", ""), UNREAD]),
    "unaffordable changes": Case(unaffordable_changes, "unseen-changes", [("unseen-changes", ""), UNREAD]),
    "by arrival": Case(by_arrival, "pseudo-columns", [("pseudo-columns", "events")]),
    "later": Case(later, "created-later", [("created-later", "late")]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_risk_is_refused_before_anything_is_written_unless_it_is_allowed(name: str, stage: Stage) -> None:
    case = CASES[name]
    stage.table("orders", 3)
    arguments = case.make(stage)
    refused = stage.run(*arguments)
    assert refused.code == 2, refused.text
    (error,) = (line["message"] for line in records(refused.text) if line["severity"] == "ERROR")
    assert f"--allow {case.risk}." in error
    assert all(table in error for _, table in case.flags)
    assert stage.objects() == {}
    assert stage.extracts() == []

    planned = stage.command("plan", "--json", *arguments)
    assert planned.code == 2
    shown = json.loads(planned.out)["flags"]
    assert [(flag["risk"], flag["table"], flag["allowed"]) for flag in shown] == [
        (*flag, flag == UNREAD) for flag in case.flags
    ]

    allowed = stage.run(*arguments, "--allow", case.risk)
    assert allowed.code == 0, allowed.text
    manifest = stage.manifest()
    assert [(flag.risk.value, flag.table, flag.allowed) for flag in manifest.flags] == [
        (*flag, True) for flag in case.flags
    ]
    assert manifest.flags == stage.plan(manifest.run).flags
    warned = [line for line in records(allowed.text) if line["severity"] == "WARNING"]
    assert [(line["event"], line["risk"]) for line in warned] == [
        (LogEvent.RISK_ALLOWED, risk) for risk, _ in case.flags
    ]


def test_a_table_into_which_changes_are_streamed_is_queried_so_that_none_is_missing(stage: Stage) -> None:
    stage.table("orders", 3)
    stream_into(stage, "states")
    ran = stage.run()
    assert ran.code == 0, ran.text
    manifest = stage.manifest()
    routes = {table.table: (table.route, table.read_at) for table in manifest.tables}
    assert routes == {"orders": ("extract", "snapshot"), "states": ("query", "job")}
    assert manifest.flags == ()
    (file,) = next(table.files for table in manifest.tables if table.table == "states")
    assert csv_rows(stage.read(file.name)) == ["id,name", "1,old", "2,new"]


def test_changes_that_an_extract_lacks_are_refused_by_name_unless_that_is_allowed(stage: Stage) -> None:
    stream_into(stage, "states")
    refused = stage.run("--tables", '{"states": {"route": "extract"}}', "--allow", "streaming-buffer")
    assert refused.code == 2, refused.text
    assert "that BigQuery has not applied yet are not part of an export: states (extract route)" in refused.text
    assert "--allow unapplied-changes" in refused.text
    assert stage.objects() == {}
    # With the risk allowed a free extract job will do.
    allowed = stage.run("--allow", "streaming-buffer,unapplied-changes")
    assert allowed.code == 0, allowed.text
    manifest = stage.manifest()
    assert [table.route for table in manifest.tables] == ["extract"]
    assert ("unapplied-changes", "states") in [(flag.risk.value, flag.table) for flag in manifest.flags]
    assert "CRITICAL" not in allowed.text


def test_an_object_of_an_unknown_kind_is_never_passed_over_in_silence(stage: Stage) -> None:
    stage.table("orders", 3)
    unknown(stage)
    reason = "of the unknown kind GRAPH"
    refused = stage.command("run")
    assert refused.code == 2
    assert f"objects that no route can export: relations ({reason})" in refused.errors[0]
    assert "Leave them out by name with --exclude. To export anyway: --allow skipped" in refused.errors[0]
    messages = stage.command("doctor")
    assert messages.code == 2
    for word in ("risk: skipped", "relations", reason, "--allow skipped", "1 check would stop a run."):
        assert word in messages.out
    assert stage.command("doctor", "--allow", "skipped").code == 0
    planned = stage.command("plan", "--allow", "skipped")
    assert planned.code == 0
    assert re.search(rf"Not exported:\n.*\nrelations +{reason}\n", planned.out)

    assert stage.run("--allow", "skipped").code == 0
    manifest = stage.manifest()
    assert [table.table for table in manifest.tables] == ["orders"]
    assert [(skipped.table, skipped.kind, skipped.reason) for skipped in manifest.skipped] == [
        ("relations", "GRAPH", reason)
    ]
    left_out = stage.run("--exclude", "relations")
    assert left_out.code == 0, left_out.text
    assert (stage.manifest().skipped, stage.manifest().flags) == ((), ())


def test_a_bucket_that_holds_every_new_object_is_refused(stage: Stage) -> None:
    stage.table("orders")
    bucket = stage.store.get_bucket(stage.bucket)
    bucket.default_event_based_hold = True
    bucket.patch()
    ran = stage.run()
    assert ran.code == 2, ran.text
    assert "Use a bucket without a default event-based hold." in ran.text
    assert stage.extracts() == []
