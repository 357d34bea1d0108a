"""What a change leaves in a table's metadata: the readings by which an incremental export decides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from bqdump.core.plan.readings import reading_of
from bqdump.core.sql import statements as sql
from bqdump_claims.claim import Claim, Observed
from bqdump_claims.scratch import Scratch

PAGE = "limits.md#costs"
Change = Callable[[Scratch, str], Awaitable[object]]


async def _new_table(scratch: Scratch, name: str) -> str:
    table = scratch.table(name)
    await scratch.run(f"CREATE TABLE {table} (n INT64)", f"INSERT INTO {table} (n) VALUES (1), (2)")
    return table


async def _readings_around(change: Change, scratch: Scratch) -> Observed:
    """Whether the reading of a table differs after an operation."""
    name = scratch.new("changing")
    await _new_table(scratch, name)
    await scratch.now()
    before, _ = await scratch.described(name)
    await change(scratch, name)
    await scratch.now()
    after, _ = await scratch.described(name)
    looks = reading_of(before.definition), reading_of(after.definition)
    return {
        "looks": "none" if None in looks else "equal" if looks[0] == looks[1] else "different",
        "rows": f"{before.rows}, then {after.rows}",
    }


def _run_statement(text: str) -> Change:
    return lambda scratch, name: scratch.run(text.format(scratch.table(name)))


async def _copy_over(scratch: Scratch, name: str) -> None:
    other = scratch.new("copied")
    await _new_table(scratch, other)
    await scratch.copy(other, name)


async def _recreate(scratch: Scratch, name: str) -> None:
    await scratch.begin(scratch.destination.drop_table(scratch.dataset, name))
    await scratch.now()
    await _new_table(scratch, name)


async def _only_read(scratch: Scratch, name: str) -> None:
    await scratch.extract(name, "csv")
    await scratch.query(name, sql.select(scratch.dataset, name, None), "csv")
    await scratch.ask(f"SELECT COUNT(*) FROM {scratch.table(name)}")


MERGE = "MERGE {} AS t USING (SELECT 1 AS n) AS s ON t.n = s.n WHEN MATCHED THEN UPDATE SET n = 7"
CHANGES: dict[str, tuple[str, Change, str]] = {
    "insert": ("an INSERT", _run_statement("INSERT INTO {} (n) VALUES (3)"), "different"),
    "update": ("an UPDATE that keeps rows and bytes", _run_statement("UPDATE {} SET n = 7 WHERE n = 1"), "different"),
    "delete": ("a DELETE", _run_statement("DELETE FROM {} WHERE n = 1"), "different"),
    "merge": ("a MERGE that keeps rows and bytes", _run_statement(MERGE), "different"),
    "column": (
        "another column, of which all values are NULL",
        _run_statement("ALTER TABLE {} ADD COLUMN m INT64"),
        "different",
    ),
    "replace": (
        "replacing the table by a query with as many rows",
        _run_statement("CREATE OR REPLACE TABLE {} AS SELECT * FROM UNNEST([3, 4]) AS n"),
        "different",
    ),
    "copy": ("a copy job over the table, with as many rows", _copy_over, "different"),
    "recreate": ("dropping the table and making it again with as many rows", _recreate, "different"),
    "reading": ("exporting and querying", _only_read, "equal"),
}
# Tables that are written, changed and read.
BILLED = {
    "insert": 2,
    "update": 2,
    "merge": 2,
    "column": 1,
    "replace": 1,
    "delete": 2,
    "copy": 2,
    "recreate": 2,
    "reading": 3,
}
CLAIMS = tuple(
    Claim(
        f"changes.{id_}",
        sentence=f"the readings before and after {what} are {looks}",
        page=PAGE,
        expected={"looks": looks},
        observe=partial(_readings_around, change),
        reads={f"changes.{id_}": BILLED[id_]},
    )
    for id_, (what, change, looks) in CHANGES.items()
)
