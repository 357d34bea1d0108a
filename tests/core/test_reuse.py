"""Which tables are exported again, and the reason: the rule of three looks, condition by condition."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bqdump.core.documents.manifest import Carried, File
from bqdump.core.documents.run import Flag
from bqdump.core.documents.unchanged import Reading, Reused
from bqdump.core.plan.readings import Published, PublishedTable
from bqdump.core.plan.reuse import Candidate, Comparison, reading_before, reused_table
from bqdump.core.plan.routes import Routed
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Shape, Table
from bqdump.core.version import VERSION

DAY = 86_400_000
NOW = 1_790_000_000_000
SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "b"), incremental=True)
LOOK = Reading(1000, 2000, 3, 30, "s", "p")
OTHER = msgspec.structs.replace(LOOK, rows=4)
FILES = (File("t/t_000000000000.csv", 5, "AAAAAA==", 7),)


def had(**changed: Any) -> PublishedTable:
    values: dict[str, Any] = {
        "table": "t",
        "kind": "TABLE",
        "route": "extract",
        "format": "csv",
        "compression": "none",
        "files": FILES,
        "look": LOOK,
        "look_before": LOOK,
    }
    return PublishedTable(**(values | changed))


def published(entry: PublishedTable, **changed: Any) -> Published:
    values: dict[str, Any] = {
        "run": "r1",
        "snapshot": NOW - DAY,
        "snapshot_time": "",
        "mode": "replace",
        "tables": (entry,),
        "left": (),
        "tool": VERSION,
        "settings": SETTINGS.frozen(),
    }
    return Published(**(values | changed))


def seen(look: Reading | None = LOOK, obstacle: str = "", **changed: Any) -> Candidate:
    routed = Routed(Table("t", "TABLE", 3, 30, msgspec.Raw(b"{}")), "extract", "", "csv", "none")
    return Candidate(msgspec.structs.replace(routed, **changed), look, obstacle)


def why(export: Published | None, now: Candidate, **settings: Any) -> str:
    """The reason for which the table is exported, "" where its files are named again."""
    unchanged, reasons = Comparison(export, msgspec.structs.replace(SETTINGS, **settings), NOW).decide([now])
    assert set(unchanged) | set(reasons) == {"t"}
    return reasons.get("t", "")


def test_three_equal_looks_prove_that_a_table_is_unchanged() -> None:
    unchanged, reasons = Comparison(published(had()), SETTINGS, NOW).decide([seen()])
    assert reasons == {}
    assert unchanged["t"].files == FILES
    assert reused_table(published(had()), unchanged["t"], seen().routed.table) == Reused("t", "r1", NOW - DAY, 3, 30, 1)


def test_a_table_that_was_found_unchanged_before_needs_no_look_from_before() -> None:
    carried = Carried("r0", NOW - 2 * DAY, "", VERSION, {}, unchanged_at=NOW - DAY)
    export = published(had(carried=carried, look_before=None))
    unchanged, _ = Comparison(export, SETTINGS, NOW).decide([seen()])
    assert reused_table(export, unchanged["t"], seen().routed.table).run == "r0"
    carried_only = msgspec.structs.replace(carried, unchanged_at=0)
    assert (
        why(published(had(carried=carried_only, look_before=None)), seen()) == "no reading from before its last export"
    )


@pytest.mark.parametrize(
    ("entry", "now", "reason"),
    [
        ({"look_before": None}, {}, "no reading from before its last export"),
        ({"look": None}, {}, "no reading from before its last export"),
        ({}, {"look": None}, "no reading from before its last export"),
        ({}, {"look": OTHER}, "changed: numRows 3 → 4"),
        ({"look_before": OTHER}, {}, "changed: numRows 4 → 3 (around its last export)"),
        ({}, {"obstacle": "streaming buffer"}, "streaming buffer"),
        ({}, {"compression": "gzip"}, "settings differ: compression"),
        ({}, {"route": "query"}, "settings differ: route"),
        ({}, {"shape": Shape(columns=("a",))}, "settings differ: columns, masks or filter"),
        ({"kind": "SNAPSHOT"}, {}, "settings differ: kind"),
        ({}, {"shape": Shape(where="RAND() < 1")}, "its filter uses RAND"),
        ({"read_at": "job"}, {}, "it was read when its job ran"),
        ({"rows": 4}, {}, "its files have 4 rows, and the table 3"),
    ],
)
def test_each_condition_that_fails_is_the_reason(entry: dict[str, Any], now: dict[str, Any], reason: str) -> None:
    assert why(published(had(**entry)), seen(**now)) == reason


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"delimiter": ";"}, "settings differ: delimiter"),
        ({"path": "x/{table}_*.{ext}"}, "settings differ: path"),
        ({"kms_key": "projects/p/locations/l/keyRings/r/cryptoKeys/k"}, "settings differ: kms key"),
        ({"target": Target("gs", "b", prefix="x/")}, "settings differ: prefix"),
        # These do not decide what the files hold.
        ({"concurrency": 3, "labels": {"a": "b"}, "full_every": 0, "incremental": False}, ""),
        ({"full_every": 86_401}, ""),
        ({"full_every": 86_400}, "older than 1d"),
        ({"full_every": 3600}, "older than 1h"),
    ],
)
def test_settings_that_decide_what_files_hold_must_be_equal(settings: dict[str, Any], reason: str) -> None:
    assert why(published(had()), seen(), **settings) == reason


def test_the_read_route_of_another_release_may_write_other_files() -> None:
    assert why(published(had(route="read"), tool="0.1"), seen(route="read")) == "settings differ: bqdump"
    assert why(published(had(), tool="0.1"), seen()) == ""


def test_a_table_without_a_published_entry_is_exported() -> None:
    assert why(None, seen()) == "nothing is published yet"
    assert why(published(had(table="u")), seen()) == "not in the published export"
    assert why(published(had(table="u"), left=(PublishedTable("t"),)), seen()) == "its last export failed"


def test_an_entry_that_policies_may_have_restricted_is_not_named_again() -> None:
    flag = Flag(Risk.ROW_POLICIES, "t", (), "found while exporting", allowed=True)
    assert why(published(had(), flags=(flag,)), seen()) == "its last export had restrictions"


def test_the_age_of_files_counts_from_when_they_were_read() -> None:
    carried = Carried("r0", NOW - 30 * DAY, "", VERSION, {}, unchanged_at=NOW - DAY)
    assert why(published(had(carried=carried)), seen()) == "older than 30d"


def test_a_look_counts_as_one_from_before_only_if_it_was_taken_before() -> None:
    timed = msgspec.structs.replace(LOOK, by=NOW)
    assert reading_before(None, NOW, chosen=False) is None
    assert reading_before(had(), NOW, chosen=False) == LOOK
    # A chosen snapshot time may be earlier than the look.
    assert reading_before(had(), NOW, chosen=True) is None
    assert reading_before(had(look=timed), NOW, chosen=True) == timed
    assert reading_before(had(look=timed), NOW - 1, chosen=True) is None
