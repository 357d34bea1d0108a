"""Nothing leaves an export unasked: tables that the next one would not have are named, and refused or carried over."""

from __future__ import annotations

import json

import pytest

import bqdump
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.path_template import shard_name
from bqdump.core.documents.target import Latest
from integration.command import Called
from integration.stage import Stage


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

    def command(self, *arguments: str) -> Called:
        """A command below the prefix."""
        return self.stage.command(*arguments, "--prefix", "night")

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


def file_of(table: str, folder: str = "") -> str:
    return shard_name(f"night/{folder}{table}/{table}_*.csv", 0)


def test_excluding_one_more_table_is_refused_and_plan_names_it(night: Night) -> None:
    shown = night.command("plan", "--exclude", "planes", "--json")
    assert shown.code == 2
    (removed,) = json.loads(shown.out)["removed"]
    assert (removed["table"], removed["reason"], removed["run"], removed["rows"]) == ("planes", "excluded", "first", 4)
    assert removed["snapshot_time"] == night.manifest().snapshot_time
    text = night.command("plan", "--exclude", "planes")
    assert "Removed from the published export:" in text.out
    assert "planes" in " ".join(text.errors)
    assert night.run("second", "--exclude", "planes").code == 2
    with pytest.raises(bqdump.UsageError, match="planes"):
        bqdump.run(project=night.stage.project, dataset=night.stage.dataset, bucket=night.stage.bucket,
                   prefix="night", exclude=["planes"])  # fmt: skip


def test_others_are_carried_over_as_they_are(night: Night) -> None:
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
        assert older in night.command(reported).out, reported
    assert json.loads(night.command("status", "--json").out)["carried"] == 3
    assert [line["carried"] for line in json.loads(night.command("runs", "--json").out)] == [3, 0]
    changed = json.loads(night.command("diff", "first", "--json").out)
    assert [change["table"] for change in changed] == ["flights"]
    assert night.command("verify", "--read").code == 0
    assert night.run("third").code == 0
    third = night.manifest()
    assert [entry.carried for entry in third.tables] == [None] * 4
    assert night.files().keys() == before.keys()
    assert not set(night.files().values()) & set(after.values())


def test_a_table_is_carried_over_twice_in_another_format_and_still_read(night: Night) -> None:
    first = night.manifest().snapshot_time
    assert night.run("second", "--include", "flights", "--keep-others", "--format", "avro").code == 0
    other = ("--delimiter", ";", "--no-header", "--path", "{table}_*.{ext}")
    assert night.run("third", "--include", "planes", "--keep-others", *other).code == 0
    of = {entry.table: (entry.carried.run if entry.carried else "third") for entry in night.manifest().tables}
    assert of == {"airports": "first", "carriers": "first", "flights": "second", "planes": "third"}
    assert night.manifest().oldest_snapshot_time == first
    checked = night.command("verify", "--read", "--json")
    assert (checked.code, json.loads(checked.out)["read"]["rows"]) == (0, 10)
    assert night.run("fourth").code == 0
    assert sorted(night.files()) == [file_of(name) for name in ("airports", "carriers", "flights", "planes")]
