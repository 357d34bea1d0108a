"""Some partitions of a table come back, from files by partition and from others, into a new table or the live one."""

from __future__ import annotations

import json
from typing import Any

import pytest

import bqdump
from integration.command import Called
from integration.stage import Stage
from integration.test_partitions import KINDS, PATH, make

WHOLE = "{table}/{table}_*.{ext}"
CHOSEN = {
    "day": ("20240131..20251231", [1, 2, 3, 4]),
    "hour": ("2024020100..2024020123", [2, 3]),
    "month": ("202402", [2, 3]),
    "year": ("2025..9999", [4, 6]),
    "numbers": ("0..10", [1, 2, 3]),
}


class Given:
    """A dataset whose tables are exported, and restores of it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def export(self, *kinds: str, run: str = "r1", **settings: Any) -> None:
        make(self.stage, *kinds)
        given: dict[str, Any] = {"path": PATH, "partitions_min_bytes": "0", **settings}
        (outcome,) = self.stage.run_tasks(1, execution=run, **given)
        assert outcome.state == "published"

    def restore(self, *options: str) -> Called:
        return self.stage.command("restore", *options)

    def ids(self, dataset: str, table: str) -> list[int]:
        return [row[0] for row in self.stage.sql(f"SELECT id FROM {dataset}.{table} ORDER BY id")]


@pytest.fixture
def given(stage: Stage) -> Given:
    return Given(stage)


@pytest.mark.parametrize(("path", "format_"), [(PATH, "avro"), (WHOLE, "csv")], ids=["by-partition", "whole"])
def test_partitions_of_every_kind_are_restored(given: Given, path: str, format_: str) -> None:
    given.export(*KINDS, path=path, format=format_)
    chosen = [option for kind, (ids, _) in CHOSEN.items() for option in ("--partitions", f"{kind}${ids}")]
    done = given.restore("--into", "back", *chosen, "--partitions", "day$__NULL__", "--json")
    assert done.code == 0, done.text
    found = {kind: given.ids("back", kind) for kind in KINDS}
    assert found == {kind: sorted([*ids, *([5] if kind == "day" else [])]) for kind, (_, ids) in CHOSEN.items()}
    tables = {table["table"]: table for table in json.loads(done.out)["tables"]}
    assert tables["month"]["partitions"] == ["202402"]
    assert tables["numbers"]["partitions"] == (["0", "10"] if path == PATH else ["0..10"])
    assert all((table["bytes_billed"] > 0) is (path == WHOLE or bool(table["casts"])) for table in tables.values())


def test_a_dropped_partition_comes_back_into_the_live_table_and_others_stay(given: Given) -> None:
    given.export("day")
    stage = given.stage
    stage.sql(f"DELETE FROM {stage.dataset}.day WHERE d = '2024-02-01'")
    stage.sql(f"UPDATE {stage.dataset}.day SET n = 1000 WHERE id = 4")
    command = ("--into", stage.dataset, "--partitions", "day$20240201")
    plan = given.restore(*command, "--plan")
    assert (plan.code, "only 1 partition" in plan.out) == (0, True), plan.text
    done = given.restore(*command, "--verify", "--json")
    assert (done.code, json.loads(done.out)["verified"]) == (0, 1), done.text
    assert given.ids(stage.dataset, "day") == [1, 2, 3, 4, 5, 6]
    assert stage.sql(f"SELECT n FROM {stage.dataset}.day WHERE id = 4") == [(1000,)]
    again = given.restore(*command, "--json")
    assert (again.code, len(json.loads(again.out)["tables"])) == (0, 1), again.text


@pytest.mark.parametrize("path", [PATH, WHOLE], ids=["by-partition", "whole"])
def test_partitions_with_rows_are_replaced_on_request_only(given: Given, path: str) -> None:
    given.export("day", path=path)
    stage = given.stage
    stage.sql(f"UPDATE {stage.dataset}.day SET n = 1000 WHERE d IS NOT NULL")
    stage.sql(f"DELETE FROM {stage.dataset}.day WHERE d = '2025-12-31'")
    command = ("--into", stage.dataset, "--partitions", "day$20240131..20240201,day$20251231")
    refused = given.restore(*command)
    assert (refused.code, "table day has rows in 20240131, 20240201" in refused.text) == (2, True), refused.text
    filled = given.restore(*command, "--missing-only", "--verify")
    assert filled.code == 0, filled.text
    assert ("1 table compared value by value: equal." in filled.text) is (path == PATH)
    numbers = f"SELECT id, n FROM {stage.dataset}.day WHERE id < 5 ORDER BY id"
    assert stage.sql(numbers) == [(1, 1000), (2, 1000), (3, 1000), (4, 95)]
    unconfirmed = given.restore(*command, "--replace")
    assert (unconfirmed.code, "--yes" in unconfirmed.text) == (2, True)
    done = given.restore(*command, "--replace", "--yes", "--verify")
    assert done.code == 0, done.text
    assert stage.sql(numbers) == [(1, 5), (2, 10), (3, 19), (4, 95)]
    assert stage.sql(f"SELECT n FROM {stage.dataset}.day WHERE id = 6") == [(1000,)]


def test_partitions_are_restored_next_to_the_live_table_and_from_python(given: Given) -> None:
    given.export("day", "numbers")
    stage = given.stage
    done = given.restore("--into", stage.dataset, "--partitions", "day$20240201", "--as", "day_then", "--verify")
    assert done.code == 0, done.text
    assert given.ids(stage.dataset, "day_then") == [2, 3]
    result = bqdump.restore(
        bucket=stage.bucket, project=stage.project, into="back", partitions=["numbers$__UNPARTITIONED__"]
    )
    assert [(table.table, table.partitions) for table in result.tables] == [("numbers", ("__UNPARTITIONED__",))]
    assert given.ids("back", "numbers") == [4, 6]


def test_what_cannot_be_restored_is_refused_in_one_sentence(given: Given) -> None:
    given.stage.sql("CREATE TABLE plain AS SELECT 1 AS id")
    given.export("day", "numbers")
    for options, sentence in (
        (("day$20240301",), "the export has no partition 20240301. The nearest are 20240201 and 20251231"),
        (("day$20240301..20240401",), "the export has no partition 20240301..20240401"),
        (("day$202402",), "a table partitioned by DAY has no partition '202402'"),
        (("day$20240201..20240131",), "20240201..20240131 ends before it begins. Write 20240131..20240201"),
        (("day$__NULL__..20240131",), "__NULL__ is in no range"),
        (("day",), "expected a table and the id of a partition"),
        (("plain$20240131",), "it is not partitioned"),
        (("dya$20240131",), "matches no object of the export; did you mean 'day'?"),
        (("day$20240201", "--include", "day"), "cannot be used together with --include"),
        (("day$20240201", "--schema-only"), "cannot be used together with --schema-only"),
        (("day$20240201", "--data-only"), "cannot be used together with --data-only"),
        (("day$__NULL__", "--replace", "--yes", "--into", given.stage.dataset), "BigQuery writes to no partition"),
    ):  # fmt: skip
        into = () if "--into" in options else ("--into", "back")
        refused = given.restore("--partitions", *options, *into)
        assert (refused.code, sentence in refused.text.replace("\n", " ")) == (2, True), refused.text


def test_rows_by_a_query_are_billed_within_a_limit_that_the_plan_shows(given: Given) -> None:
    given.export("day", path=WHOLE)
    command = ("--into", "back", "--partitions", "day$20240201")
    plan = given.restore(*command, "--plan")
    assert "only some of its partitions are restored, and its files are not by partition" in plan.out
    refused = given.restore(*command, "--max-bytes-billed", "1MB")
    assert (refused.code, "10.5 MB to cast or choose values" in refused.text) == (2, True), refused.text
    assert not [found.dataset_id for found in given.stage.big.list_datasets() if found.dataset_id == "back"]
    done = given.restore(*command, "--verify", "--json")
    assert (done.code, json.loads(done.out)["verified"]) == (0, 0), done.text
    assert "day: not compared: its files have all partitions" in done.text
    again = given.restore(*command, "--verify")
    assert (again.code, "Nothing was compared value by value." in again.out) == (0, True), again.text


def test_partitions_without_rows_are_named_where_a_query_chooses_the_rows(given: Given) -> None:
    given.export("day", path=WHOLE)
    nothing = given.restore("--into", "back", "--partitions", "day$20990102")
    assert (nothing.code, given.ids("back", "day")) == (0, []), nothing.text
    assert "day: the export has no rows in 20990102: nothing is restored of them" in nothing.text
    chosen = "day$20240201,day$20990102,day$20990101..20990131,day$20240131..20240201"
    some = given.restore("--into", "other", "--partitions", chosen)
    assert (some.code, given.ids("other", "day")) == (0, [1, 2, 3]), some.text
    assert "the export has no rows in 20990102, 20990101..20990131: nothing is restored of them" in some.text


def test_partitions_of_the_first_thousand_years_are_restored(given: Given) -> None:
    stage = given.stage
    days = {1: "0001-01-01", 2: "0001-01-02", 3: "0999-12-31", 4: "1000-01-01"}
    rows = ", ".join(f"({id_}, DATE '{day}', TIMESTAMP '{day} 00:00:00+00')" for id_, day in days.items())
    stage.sql("CREATE TABLE old (id INT64, d DATE, t TIMESTAMP) PARTITION BY d")
    stage.sql(f"INSERT INTO old VALUES {rows}")
    stage.now()
    given.export(path=WHOLE)
    stage.sql(f"UPDATE {stage.dataset}.old SET id = id + 10 WHERE id < 9")
    command = ("--into", stage.dataset, "--partitions", "old$00010102..00010103")
    refused = given.restore(*command)
    assert (refused.code, "table old has rows in 0001" in refused.text) == (2, True), refused.text
    done = given.restore(
        "--into", stage.dataset, "--partitions", "old$00010102..00010103", "--replace", "--yes", "--verify"
    )
    assert done.code == 0, done.text
    assert given.ids(stage.dataset, "old") == [2, 11, 13, 14]
