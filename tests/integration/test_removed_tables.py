"""Nothing leaves an export unasked: tables that the next one would not have are named, and refused or carried over."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

import bqdump
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.path_template import shard_name
from bqdump.core.documents.target import Latest
from bqdump.core.progress.log_events import LogEvent
from integration.command import Called, call
from integration.stage import Stage, records
from logged import lines_of

KEEPS = "{run}/{table}/{table}_*.{ext}"


class Night:
    """A dataset of four tables, exported below a prefix every night."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        for number, name in enumerate(("airports", "carriers", "flights", "planes"), 1):
            stage.table(name, number)
        assert self.run("first").code == 0

    def run(self, run: str, *arguments: str) -> Called:
        """A night's run."""
        return self.stage.run("--prefix", "night", "--run-id", run, *arguments)

    def latest(self) -> Latest:
        """The pointer that readers follow."""
        name = "night/_bqdump/latest.json"
        return decode(self.stage.read(name), Latest, name)

    def manifest(self) -> Manifest:
        """The published manifest. Every file that it names is there, at its generation."""
        latest = self.latest()
        manifest = decode(self.stage.read(latest.manifest), Manifest, latest.manifest)
        stored = self.stage.objects()
        for entry in manifest.tables:
            assert {file.name: file.generation for file in entry.files}.items() <= stored.items()
        return manifest

    def report(self, run: str) -> str:
        """The page that a run has left."""
        return self.stage.read(f"night/_bqdump/runs/{run}/report.html").decode()

    def files(self) -> dict[str, int]:
        """The data files and their generations."""
        return {name: generation for name, generation in self.stage.objects().items() if "/_bqdump/" not in name}


@pytest.fixture
def night(stage: Stage) -> Night:
    return Night(stage)


@pytest.fixture
def command(stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Called]:
    """Runs a command below the prefix, in this process."""
    for name, value in stage.variables.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: call(capsys, *arguments, "--prefix", "night")


def file_of(table: str, folder: str = "") -> str:
    return shard_name(f"night/{folder}{table}/{table}_*.csv", 0)


def warned(ran: Called, event: LogEvent) -> list[str]:
    """The tables that its WARNING lines of this event are about."""
    lines = lines_of(records(ran.text), event)
    return [line["logging.googleapis.com/labels"]["table"] for line in lines if line["severity"] == "WARNING"]


def test_selecting_a_table_of_a_published_export_is_refused(night: Night) -> None:
    before = night.stage.objects()
    ran = night.run("second", "--include", "flights")
    assert ran.code == 2
    for named in ("airports", "carriers", "planes", "--keep-others", "--allow removed-tables"):
        assert named in ran.text
    assert night.stage.objects() == before
    assert night.latest().run == "first"


def test_excluding_one_more_table_is_refused_and_plan_names_it(night: Night, command: Callable[..., Called]) -> None:
    shown = command("plan", "--exclude", "planes", "--json")
    assert shown.code == 2
    (removed,) = json.loads(shown.out)["removed"]
    assert (removed["table"], removed["reason"], removed["run"], removed["rows"]) == ("planes", "excluded", "first", 4)
    assert removed["snapshot_time"] == night.manifest().snapshot_time
    text = command("plan", "--exclude", "planes")
    assert "Removed from the published export:" in text.out
    assert "planes" in " ".join(text.errors)
    assert night.run("second", "--exclude", "planes").code == 2
    with pytest.raises(bqdump.UsageError, match="planes"):
        bqdump.run(project=night.stage.project, dataset=night.stage.dataset, bucket=night.stage.bucket,
                   prefix="night", exclude=["planes"])  # fmt: skip


def test_removing_excluded_tables_takes_a_word(night: Night) -> None:
    ran = night.run("second", "--include", "flights", "--allow", "removed-tables")
    assert ran.code == 0
    assert warned(ran, LogEvent.TABLE_REMOVED) == ["airports", "carriers", "planes"]
    assert list(night.files()) == [file_of("flights")]
    manifest = night.manifest()
    reported = [(one.table, one.reason, one.run, one.rows) for one in manifest.removed]
    assert reported == [("airports", "excluded", "first", 1), ("carriers", "excluded", "first", 2),
                    ("planes", "excluded", "first", 4)]  # fmt: skip
    page = night.report("second")
    assert "Removed from the published export" in page
    assert "airports" in page
    assert night.run("third", "--include", "flights").code == 0
    assert night.manifest().removed == ()


def test_others_are_carried_over_as_they_are(night: Night, command: Callable[..., Called]) -> None:
    before, first = night.files(), night.manifest()
    night.stage.table("flights", 9)
    night.stage.table("planes", 8)
    ran = night.run("second", "--include", "flights", "--keep-others")
    assert ran.code == 0
    after, manifest = night.files(), night.manifest()
    assert {name for name in after if after[name] != before[name]} == {file_of("flights")}
    assert after.keys() == before.keys()
    of = {entry.table: entry.carried and (entry.carried.run, entry.carried.snapshot_time) for entry in manifest.tables}
    carried = ("first", first.snapshot_time)
    assert of == {"airports": carried, "carriers": carried, "flights": None, "planes": carried}
    assert {entry.table: entry.planned_rows for entry in manifest.tables}["planes"] == 4
    assert (manifest.totals.tables, manifest.totals.carried, manifest.removed) == (4, 3, ())
    assert manifest.oldest_snapshot_time == first.snapshot_time < manifest.snapshot_time
    older = f"3 tables carried over from earlier runs, the oldest as of {first.snapshot_time}"
    assert older in night.report("second")
    for reported in ("status", "runs", "verify"):
        assert older in command(reported).out, reported
    assert json.loads(command("status", "--json").out)["carried"] == 3
    assert [line["carried"] for line in json.loads(command("runs", "--json").out)] == [3, 0]
    changed = json.loads(command("diff", "first", "--json").out)
    assert [change["table"] for change in changed] == ["flights"]
    assert command("verify", "--read").code == 0
    assert night.run("third").code == 0
    third = night.manifest()
    assert [entry.carried for entry in third.tables] == [None] * 4
    assert night.files().keys() == before.keys()
    assert not set(night.files().values()) & set(after.values())


def test_a_table_is_carried_over_twice_in_another_format_and_still_read(
    night: Night, command: Callable[..., Called]
) -> None:
    first = night.manifest().snapshot_time
    assert night.run("second", "--include", "flights", "--keep-others", "--format", "avro").code == 0
    other = ("--delimiter", ";", "--no-header", "--path", "{table}_*.{ext}")
    assert night.run("third", "--include", "planes", "--keep-others", *other).code == 0
    of = {entry.table: (entry.carried.run if entry.carried else "third") for entry in night.manifest().tables}
    assert of == {"airports": "first", "carriers": "first", "flights": "second", "planes": "third"}
    assert night.manifest().oldest_snapshot_time == first
    checked = command("verify", "--read", "--json")
    assert (checked.code, json.loads(checked.out)["read"]["rows"]) == (0, 10)
    assert night.run("fourth").code == 0
    assert sorted(night.files()) == [file_of(name) for name in ("airports", "carriers", "flights", "planes")]


def test_a_name_that_only_changes_its_extension_is_not_removed(night: Night) -> None:
    assert night.run("second", "--format", "json", "--compression", "gzip").code == 0
    assert night.manifest().removed == ()
    assert {name.rpartition("_")[0] for name in night.files()} == {
        file_of(name).rpartition("_")[0] for name in ("airports", "carriers", "flights", "planes")
    }


def test_where_runs_are_kept_the_manifest_names_files_of_the_older_run(stage: Stage) -> None:
    for name in ("a", "b"):
        stage.table(name)
    assert stage.run("--path", KEEPS, "--run-id", "first").code == 0
    refused = stage.run("--path", KEEPS, "--include", "a", "--run-id", "refused")
    assert refused.code == 2
    kept = stage.run("--path", KEEPS, "--include", "a", "--keep-others", "--run-id", "second")
    assert kept.code == 0
    names = [file.name for entry in stage.manifest().tables for file in entry.files]
    assert names == [shard_name("second/a/a_*.csv", 0), shard_name("first/b/b_*.csv", 0)]
    assert len(stage.files()) == 3
    stage.sql("DROP TABLE b")
    full = stage.run("--path", KEEPS, "--run-id", "third")
    assert full.code == 0
    assert [(one.table, one.reason, one.run) for one in stage.manifest().removed] == [("b", "dropped", "first")]
    assert len(stage.files()) == 4


def test_files_are_not_carried_over_into_a_folder_for_each_run(night: Night) -> None:
    before = night.files()
    ran = night.run("second", "--path", KEEPS, "--include", "flights", "--keep-others")
    assert ran.code == 2
    assert "Export all tables once" in ran.text
    assert night.files() == before


def test_a_carried_table_that_was_dropped_leaves_with_the_next_full_run(night: Night) -> None:
    assert night.run("second", "--include", "flights", "--keep-others").code == 0
    night.stage.sql("DROP TABLE planes")
    assert night.run("third", "--include", "flights", "--keep-others").code == 0
    assert file_of("planes") in night.files()
    ran = night.run("fourth")
    assert ran.code == 0
    assert warned(ran, LogEvent.TABLE_REMOVED) == ["planes"]
    assert file_of("planes") not in night.files()
    assert [(one.table, one.reason, one.run, one.rows) for one in night.manifest().removed] == [
        ("planes", "dropped", "first", 4)
    ]


def test_a_failed_table_of_a_partial_export_is_carried_over_as_failed(night: Night) -> None:
    night.stage.stack.jobs(faults=[{"table": "planes", "reason": "invalid", "times": 9}])
    assert night.run("second", "--allow-partial").code == 0
    night.stage.stack.jobs(faults=[])
    before = night.files()
    assert night.run("third", "--include", "flights", "--keep-others").code == 0
    manifest = night.manifest()
    assert (manifest.status, [one.table for one in manifest.failed]) == ("partial", ["planes"])
    assert [table.table for table in manifest.left] == ["planes"]
    assert night.files()[file_of("planes")] == before[file_of("planes")]
    refused = night.run("fourth", "--include", "flights")
    assert refused.code == 2
    assert "planes" in refused.text
    assert night.run("fifth").code == 0
    assert (night.manifest().status, night.manifest().left) == ("complete", ())


def test_an_emptied_dataset_keeps_its_export(night: Night, command: Callable[..., Called]) -> None:
    for name in ("airports", "carriers", "flights", "planes"):
        night.stage.sql(f"DROP TABLE {name}")
    before = night.stage.objects()
    ran = night.run("second")
    assert ran.code == 2
    assert night.stage.objects() == before
    assert {one["reason"] for one in json.loads(command("plan", "--json").out)["removed"]} == {"dataset-empty"}
    assert night.run("third", "--allow", "removed-tables").code == 0
    assert night.files() == {}
    assert [(one.table, one.reason) for one in night.manifest().removed] == [
        (name, "dataset-empty") for name in ("airports", "carriers", "flights", "planes")
    ]


def test_a_dataset_that_is_gone_changes_nothing(night: Night) -> None:
    night.stage.big.delete_dataset(night.stage.dataset, delete_contents=True)
    before = night.stage.objects()
    assert night.run("second", "--allow", "removed-tables").code == 5
    assert night.stage.objects() == before


def test_half_of_the_tables_may_be_dropped_with_a_warning_and_more_may_not(night: Night) -> None:
    night.stage.sql("DROP TABLE airports")
    night.stage.sql("DROP TABLE carriers")
    night.stage.sql("DROP VIEW IF EXISTS nothing")
    ran = night.run("second")
    assert ran.code == 0
    assert warned(ran, LogEvent.TABLE_REMOVED) == ["airports", "carriers"]
    assert [(one.table, one.reason) for one in night.manifest().removed] == [
        ("airports", "dropped"), ("carriers", "dropped")
    ]  # fmt: skip
    assert sorted(night.files()) == [file_of("flights"), file_of("planes")]
    night.stage.sql("DROP TABLE flights")
    night.stage.sql("DROP TABLE planes")
    night.stage.table("another")
    refused = night.run("third")
    assert refused.code == 2
    assert "flights (dropped)" in refused.text
    assert sorted(night.files()) == [file_of("flights"), file_of("planes")]


def test_a_table_that_was_made_again_is_not_removed(night: Night) -> None:
    night.stage.sql("DROP TABLE planes")
    night.stage.table("planes", 2)
    assert night.run("second").code == 0
    assert night.manifest().removed == ()
