"""Tables that several units share: nothing of one is lost or told twice, and a whole is made of all its parts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.run import Failure, Owner, Plan, Receipt, Split
from bqdump.core.documents.units import Claim, Unit, nth_part, part_count, parts_of
from bqdump.core.errors import DocumentError
from bqdump.core.plan.routes import route_tables
from bqdump.core.plan.selection import Selection
from bqdump.core.plan.summary import planned
from bqdump.core.progress.tally import Progress
from bqdump.core.risks import Risk
from bqdump.core.tables.catalog import Dataset, Table
from bqdump.core.units.plan import RunToPlan, make_plan
from bqdump.core.units.shares import read_units
from bqdump.core.units.tables import by_table, done_tables, table_plans
from bqdump.pool.pool import Held
from bqdump.pool.tables import ledger_of
from bqdump.pool.units import UnitLedger
from core.strategies import settings, table

SNAPSHOT = 1_800_000_000_000


def plan_of(tables: list[Table], tasks: int, route: str = "read", split: int = 100) -> tuple[Plan, bytes]:
    chosen = settings(route=route, read_split=split)
    routing = route_tables(chosen, tables) if tables else route_tables(settings(), tables)
    return make_plan(
        RunToPlan(chosen, "run", "0fce", Dataset("proj", "data", "EU"), SNAPSHOT), Selection((), (), 0), routing, tasks
    )


SHARED = msgspec.structs.replace(plan_of([], 1)[0], splits=(Split("t", ("0-0", "0-1", "1-0")),))


def receipt(unit: str, **values: Any) -> Receipt:
    usual: dict[str, Any] = {"table": "t", "job": "s", "attempt": 0, "files": 2, "task": 1}
    times = {"created": 5, "started": 6, "ended": 9}
    return Receipt(unit=unit, **(usual | times | values))


def failure(unit: str, table: str = "t") -> Failure:
    return Failure(unit, table, "", 0, "invalid", f"because of {unit}", Owner("e", 0))


@given(st.integers(0, 10**15), st.integers(1, 1000))
def test_parts_make_up_the_whole_and_are_alike(amount: int, of: int) -> None:
    parts = [nth_part(amount, number, of) for number in range(of)]
    assert sum(parts) == amount
    assert max(parts) - min(parts) <= 1


@pytest.mark.parametrize(
    ("route", "bytes_", "tasks", "least", "parts"),
    [
        ("read", 1000, 10, 100, 10), ("read", 1000, 4, 100, 4), ("read", 199, 4, 100, 1), ("read", 200, 4, 100, 2),
        ("read", 0, 4, 100, 1), ("read", 10**9, 4, 0, 1), ("read", 10**9, 1, 1, 1), ("extract", 10**9, 4, 1, 1),
        ("query", 10**9, 4, 1, 1), ("read", 10**9, 10**6, 1, 1000),
    ],
)  # fmt: skip
def test_a_table_has_as_many_parts_as_tasks_where_each_is_large_enough(
    route: str, bytes_: int, tasks: int, least: int, parts: int
) -> None:
    assert part_count(route, bytes_, tasks, least) == parts


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=8), st.integers(1, 7))
def test_a_plan_has_each_part_once_and_gives_tables_back_whole(sizes: list[int], tasks: int) -> None:
    tables = [table(f"t{number}", size, rows=size // 3) for number, size in enumerate(sizes)]
    plan, lines = plan_of(tables, tasks)
    assert decode(encode(plan), Plan, "plan.json") == plan
    units, parts = read_units(lines, plan), parts_of(plan)
    assert plan.unit_count == len(units) == sum(max(1, min(tasks, size // 100)) for size in sizes)
    assert len({unit.id for unit in units}) == len(units)
    assert {unit.id: unit.table for unit in units if unit.id in parts} == {u: part.table for u, part in parts.items()}
    tables_again = table_plans(units, plan)
    assert [unit.table for unit in tables_again] == sorted(f"t{number}" for number in range(len(sizes)))
    assert {unit.table: (unit.bytes, unit.rows) for unit in tables_again} == {
        item.name: (item.bytes, item.rows) for item in tables
    }
    shown = planned(plan, tables_again)
    assert [(one.table, one.bytes) for one in shown.tables] == [(unit.table, unit.bytes) for unit in tables_again]
    assert sum(one.parts for one in shown.tables) == len(units)
    assert sum(share["bytes"] for share in shown.shares) == sum(sizes)


def test_a_table_larger_than_all_others_is_shared_by_all_tasks_alike() -> None:
    plan, _ = plan_of([table("small", 10), table("large", 10**12), table("other", 10)], 10)
    [split] = plan.splits
    assert split.table == "large"
    assert sorted(int(unit.split("-")[0]) for unit in split.units) == list(range(10))
    assert max(share.bytes for share in plan.shares) <= 10**11 + 20


def test_units_that_do_not_fit_to_their_split_are_refused() -> None:
    plan, lines = plan_of([table("a", 300), table("b", 10)], 3)
    [split] = plan.splits
    units = read_units(lines, plan)

    def told(changed: list[Unit], of: Plan = plan) -> str:
        data = b"".join(encode(unit) + b"\n" for unit in changed)
        short = len(lines) - len(data)
        data = data[:-1] + b" " * short + b"\n"
        with pytest.raises(DocumentError) as refused:
            read_units(data, of)
        return refused.value.cause

    part = next(unit for unit in units if unit.id == split.units[1])
    other = msgspec.structs.replace(part, table="b", pattern="b/b_*.csv")
    assert told([other if unit is part else unit for unit in units]) == f"unit {part.id} is not a part of table a"
    without = msgspec.structs.replace(plan, splits=())
    with pytest.raises(DocumentError, match="a table appears twice"):
        read_units(lines, without)


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        ((Split("a", ("00000-00000", "00000-00000")),), "are not among its units"),
        ((Split("a", ("00000-00000", "00009-00000")),), "are not among its units"),
        ((Split("a", ("00000-00000",)),), "cannot have fewer than 2"),
        ((Split("a", ("00000-00000", "00001-00000")),), "do not add up to 2 tables"),
    ],
)
def test_a_plan_whose_splits_cannot_be_is_refused(splits: tuple[Split, ...], told: str) -> None:
    plan, _ = plan_of([table("a", 300), table("b", 10)], 3)
    with pytest.raises(DocumentError, match=told):
        decode(encode(msgspec.structs.replace(plan, splits=splits)), Plan, "_bqdump/runs/run/plan.json")


def test_a_table_is_done_when_all_its_parts_are() -> None:
    receipts = {
        "0-0": receipt("0-0", rows=3, task=4),
        "0-1": receipt("0-1", rows=0, files=0, created=2, ended=20, risks=(Risk.ROW_POLICIES,)),
        "9-9": receipt("9-9", table="other"),
    }
    assert set(done_tables(receipts, SHARED)) == {"9-9"}
    receipts["1-0"] = receipt("1-0", rows=4)
    done = done_tables(receipts, SHARED)
    assert [part.unit for part in done["0-0"].attempts] == ["0-0", "0-1", "1-0"]
    table_ = done["0-0"].receipt
    assert (table_.unit, table_.files, table_.rows, table_.created, table_.ended) == ("0-0", 4, 7, 2, 20)
    assert (table_.task, table_.risks) == (4, (Risk.ROW_POLICIES,))
    assert done["9-9"].receipt == receipts["9-9"]
    receipts["0-0"] = receipt("0-0")
    assert done_tables(receipts, SHARED)["0-0"].receipt.rows is None


@given(st.sets(st.sampled_from(["0-0", "0-1", "1-0", "x", "y", "z"])), st.data())
def test_tables_are_counted_and_not_their_parts(done: set[str], data: st.DataObject) -> None:
    others = sorted({"0-0", "0-1", "1-0", "x", "y", "z"} - done)
    failed = data.draw(st.sets(st.sampled_from(others)) if others else st.just(set()))
    rest = sorted(set(others) - failed)
    running = data.draw(st.sets(st.sampled_from(rest)) if rest else st.just(set()))
    parts = {"0-0", "0-1", "1-0"}
    table = {unit: "t" if unit in parts else unit for unit in (*parts, "x", "y", "z")}
    held = {unit: Held(Claim(Owner("e", 0), table[unit], 1), 1) for unit in running}
    failures = {unit: [failure(unit, table[unit])] for unit in failed}
    units = UnitLedger({unit: receipt(unit, table=table[unit]) for unit in done}, failures, held, {}, {}, {})
    ledger, progress = ledger_of(SHARED, units), Progress()
    progress.take(SHARED, 0.0)
    progress.take(ledger.seen, 1.0)
    view = progress.view(2.0)
    begun, shared_failed, shared_done = bool(parts & (done | running)), bool(parts & failed), parts <= done
    assert len(ledger.done) == view.done == len(done - parts) + shared_done
    assert len(ledger.failed) == view.failed == len(failed - parts) + shared_failed
    shared_running = begun and not shared_failed and not shared_done
    assert ledger.working == view.running == len(running - parts) + shared_running


def test_a_table_has_failed_once_however_many_of_its_parts_have() -> None:
    told = by_table([failure("0-1", "z"), failure("0-0"), failure("1-0")])
    assert [(one.table, one.unit) for one in told] == [("t", "0-0"), ("z", "0-1")]
