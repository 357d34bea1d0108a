"""What the files of a table lack by the way it is filled."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bqdump.core.documents.units import Unit
from bqdump.core.plan.hidden_data import Captured, keyed, lacking_flags
from bqdump.core.plan.routes import route_tables
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Shape, Table

KEY: dict[str, Any] = {"tableConstraints": {"primaryKey": {"columns": ["id"]}}}


def table(name: str = "t", kind: str = "TABLE", **definition: Any) -> Table:
    fields = {"schema": {"fields": [{"name": "id", "type": "INTEGER"}]}}
    return Table(name, kind, 1, 1, msgspec.Raw(msgspec.json.encode(fields | definition)))


def unit(route: str = "extract", kind: str = "TABLE", **definition: Any) -> Unit:
    found = table("t", kind, **definition)
    return Unit(id="00000-00000", table="t", kind=kind, route=route, why="", rows=1, bytes=1, pattern="t_*.csv",
                definition=found.definition)  # fmt: skip


def routed(expected: Table, captured: tuple[str, ...] = ("t",), **settings: Any) -> tuple[str, str]:
    three: dict[str, Any] = {"project": "p", "dataset": "d", "target": Target("gs", "b")}
    (only,) = route_tables(Settings(**three | settings), [expected], captured=captured).routed
    return only.route, only.read_at


@pytest.mark.parametrize(
    ("found", "has"),
    [
        (table(**KEY), True),
        (table(), False),
        (table(tableConstraints={"foreignKeys": [{}]}), False),
        (table(description='"primaryKey"'), False),
        (table(kind="SNAPSHOT", **KEY), False),
        (table(kind="VIEW", **KEY), False),
    ],
)
def test_changes_can_be_streamed_into_tables_with_a_primary_key_only(found: Table, has: bool) -> None:
    assert keyed([found]) == (("t",) if has else ())


def test_a_table_with_streamed_changes_takes_a_query_when_it_runs() -> None:
    assert routed(table(**KEY)) == ("query", "job")
    assert routed(table(**KEY), captured=()) == ("extract", "snapshot")


@pytest.mark.parametrize(
    ("settings", "route"),
    [
        ({"route": "extract"}, "extract"),
        ({"target": Target("file", "folder")}, "read"),
        ({"allow": (Risk.UNAPPLIED_CHANGES,)}, "extract"),
    ],
)
def test_it_keeps_another_route_that_is_requested_or_accepted(settings: dict[str, Any], route: str) -> None:
    assert routed(table(**KEY), **settings) == (route, "snapshot")


def test_a_query_is_no_remedy_where_max_staleness_lets_it_lack_changes_as_well() -> None:
    stale: dict[str, Any] = {**KEY, "maxStaleness": "0-0 0 0:10:0"}
    assert routed(table(**stale)) == ("extract", "snapshot")
    (flag,) = lacking_flags([unit("query", **stale)], Captured(("t",), frozenset(("t",))))
    assert flag.risk is Risk.UNAPPLIED_CHANGES
    assert "max_staleness" in flag.detail


@pytest.mark.parametrize("route", ["extract", "read"])
def test_other_routes_lack_changes_that_are_not_applied(route: str) -> None:
    (flag,) = lacking_flags([unit(route, **KEY)], Captured(("t",), frozenset(("t",))))
    assert (flag.risk, flag.table, flag.allowed) == (Risk.UNAPPLIED_CHANGES, "t", False)
    assert list(lacking_flags([unit("query", **KEY)], Captured(("t",), frozenset(("t",))))) == []


def test_what_could_not_be_checked_is_a_risk_of_the_whole_export() -> None:
    (flag,) = lacking_flags([unit(**KEY)], Captured(("t", "u"), None, "because"))
    assert (flag.risk, flag.table, flag.detail) == (
        Risk.UNSEEN_CHANGES, "", "2 tables with a primary key: because"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "partitioning", "lost"),
    [
        ("TABLE", {"type": "DAY"}, True),
        ("SNAPSHOT", {"type": "HOUR"}, True),
        ("TABLE", {"type": "DAY", "field": "day"}, False),
        ("VIEW", {"type": "DAY"}, False),
    ],
)
def test_partitions_by_arrival_lose_their_times(kind: str, partitioning: dict[str, str], lost: bool) -> None:
    for route in ("extract", "query", "read"):
        found = list(lacking_flags([unit(route, kind, timePartitioning=partitioning)], Captured()))
        assert [(flag.risk, flag.columns) for flag in found] == [(Risk.PSEUDO_COLUMNS, ("_PARTITIONTIME",))] * lost


def test_partition_times_in_a_column_are_not_lost() -> None:
    made = unit("query", timePartitioning={"type": "DAY"})
    kept = msgspec.structs.replace(made, shape=Shape(partition_times="bqdump_partition_time"))
    assert list(lacking_flags([kept], Captured())) == []
