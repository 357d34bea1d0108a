"""Faulty functions: each makes of a sound one what a known bug would have made of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace
from urllib3.exceptions import HTTPError

from bqdump.adapters.patience import Attempts, Retrying
from bqdump.core.documents.run import Receipt
from bqdump.core.documents.units import Unit
from bqdump.core.errors import BqdumpError
from bqdump.core.plan.record import Placed
from bqdump.core.risks import Risk
from bqdump.export.collected import Collected, Exported
from bqdump.export.placement.replace import Replace
from bqdump.export.publish.clear import clear_staging, delete
from bqdump.export.task import RunningExport
from bqdump.pool.pool import Ledger, Pool
from bqdump.pool.units import UnitLedger, read_unit_ledger
from bqdump.ports.store import Copy, ObjectInfo

Sound = Callable[..., Any]


def returns(value: object) -> Callable[[Sound], Sound]:
    """Always the same value."""
    return lambda _: lambda *_given: value


def never(_: Sound) -> Sound:
    """A question that is always answered with no."""

    async def faulty(*_given: object) -> bool:
        return False

    return faulty


def always(_: Sound) -> Sound:
    """A question that is always answered with yes."""

    async def faulty(*_given: object) -> bool:
        return True

    return faulty


def nothing(_: Sound) -> Sound:
    """A step that is left out."""

    async def faulty(*_given: object) -> None:
        return None

    return faulty


def finds_none(_: Sound) -> Sound:
    """A search without results."""

    async def faulty(*_given: object) -> set[str]:
        return set()

    return faulty


def deletes_first(copy_over: Sound) -> Sound:
    """What is at the final names is deleted, then the new files are copied there."""

    async def faulty(export: RunningExport, staged: object, known: Mapping[str, int]) -> object:
        await delete(export, known.items())
        return await copy_over(export, staged, known)

    return faulty


def of_any_generation(sound: Sound) -> Sound:
    """Objects are deleted whatever has been written at their names since they were listed."""

    async def faulty(export: RunningExport, objects: Iterable[tuple[str, int]]) -> None:
        infos = [await export.store.stat(name) for name, _ in objects]
        await sound(export, [(info.name, info.generation) for info in infos if info])

    return faulty


def over_whatever_is_there(copy_over: Sound) -> Sound:
    """Each copy expects the generation that it finds."""

    class Overwriting:
        def __init__(self, store: Any) -> None:
            self._store = store

        def __getattr__(self, name: str) -> object:
            return getattr(self._store, name)

        async def copy(self, copies: list[Copy], origin: str) -> object:
            infos = [await self._store.stat(wish.target) for wish in copies]
            expected = [info.generation if info else 0 for info in infos]
            pairs = zip(copies, expected, strict=True)
            return await self._store.copy([replace(wish, expect=now) for wish, now in pairs], origin)

    async def faulty(export: RunningExport, staged: object, known: object) -> object:
        store: Any = Overwriting(export.store)
        task = replace(export.task, store=store)
        return await copy_over(replace(export, task=task), staged, known)

    return faulty


def settled_by_any_receipt(_: Sound) -> Sound:
    """One receipt is enough."""

    def faulty(units: UnitLedger, _plan: object, _execution: str) -> bool:
        return bool(units.receipts)

    return faulty


def without_snapshot(extract: Sound) -> Sound:
    """The job reads the table as it is."""
    return lambda *given: replace(extract(*given), snapshot=10**15)


def when_the_job_runs(query: Sound) -> Sound:
    """The query has no snapshot time."""
    return lambda export, unit, attempt: query(export, msgspec.structs.replace(unit, read_at="job"), attempt)


def rows_as_planned(entry: Sound) -> Sound:
    """The manifest has the rows of the plan."""

    def faulty(plan: object, unit: Unit, receipt: Receipt, *rest: object) -> object:
        return entry(plan, unit, msgspec.structs.replace(receipt, rows=unit.rows), *rest)

    return faulty


def without_surplus(collect: Sound) -> Sound:
    """What failed attempts have left is not found."""

    async def faulty(*given: object) -> Collected:
        collected: Collected = await collect(*given)
        collected.surplus.clear()
        return collected

    return faulty


def first_parts(collect: Sound) -> Sound:
    """Of each table only the first part counts."""

    async def faulty(export: RunningExport, units: object, done: Mapping[str, Any]) -> object:
        first = {unit: replace(table, attempts=table.attempts[:1]) for unit, table in done.items()}
        return await collect(export, units, first)

    return faulty


def files_that_are_there(_: Sound) -> Sound:
    """The files that the listing has, however many were reported, and one less."""

    def faulty(
        _unit: Unit, _receipt: Receipt, found: Mapping[str, Mapping[int, ObjectInfo]], pattern: str
    ) -> Iterator[ObjectInfo]:
        files = [found[pattern][number] for number in sorted(found[pattern])]
        yield from files[: len(files) - (len(files) > 1)]

    return faulty


def settles_nothing(_: Sound) -> Sound:
    """That tables are given up is not recorded."""
    return lambda *given: read_unit_ledger(*given[:-1])


def binding_claims(takes: Sound) -> Sound:
    """A claim of another execution is never taken over."""

    def faulty(pool: Pool[Any, Any], ledger: Ledger[Any, Any, Any], item: object) -> int | None:
        held = ledger.claims.get(item)
        theirs = held is not None and held.owner.execution != pool.owner.execution
        found: int | None = takes(pool, ledger, item)
        return None if theirs else found

    return faulty


def random_ids(job_id: Sound) -> Sound:
    """Job ids that no other task can know."""
    return lambda *given: f"{job_id(*given)}{random.randrange(10)}"


def no_receipts_or_failures(is_note: Sound) -> Sound:
    """These are not notes."""
    return lambda name: is_note(name) and not {"receipts", "failures"} & {*name.split("/")}


def any_answer(_: Sound) -> Sound:
    """The answer is the right one, whatever it says."""
    return lambda _wish, answer: answer


def once(_: int) -> int:
    """What is repeated a few times is tried once."""
    return 1


def complete_lines(_: Sound) -> Sound:
    """The units whose lines are complete."""

    def faulty(lines: bytes, *_plan: object) -> list[Unit]:
        return [msgspec.json.decode(line, type=Unit) for line in lines.splitlines(keepends=True) if line[-1:] == b"\n"]

    return faulty


def without_connections(broken: tuple[type[Exception], ...]) -> tuple[type[Exception], ...]:
    """Errors of connections are not among these."""
    return tuple(kind for kind in broken if kind is not HTTPError)


def not_408(temporary: Sound) -> Sound:
    """After HTTP 408 nothing is repeated."""
    return lambda status: temporary(status) and status != 408


def by_page_numbers(_: Sound) -> Sound:
    """A listing that is restarted leaves out as many pages as it has given, whatever is on them now."""

    async def faulty(
        retrying: Retrying, listing: Callable[[str], AsyncIterator[list[Any]]], _place: object
    ) -> AsyncIterator[list[Any]]:
        given, attempts = 0, Attempts(retrying)
        while True:
            number = 0
            try:
                async for page in listing(""):
                    number += 1
                    if number > given:
                        yield page
                        given = number
            except BqdumpError as error:
                pause = attempts.failed(error)
            else:
                return
            await asyncio.sleep(pause)

    return faulty


def as_when_replacing(_: Sound) -> Sound:
    """A run that keeps its files clears as one that replaces files."""
    return Replace.clear


def any_name_is_a_shard(split_shard: Sound) -> Sound:
    """Every object is one of the first table's files."""

    def faulty(name: str, patterns: Iterable[str]) -> object:
        first = next(iter(patterns), None)
        return split_shard(name, patterns) or (None if first is None else (first, 0))

    return faulty


def clears_staging(place: Sound) -> Sound:
    """Staging is cleared before there is a manifest."""

    async def faulty(placement: Replace, export: RunningExport, exported: Exported) -> Placed | None:
        placed: Placed | None = await place(placement, export, exported)
        await clear_staging(export)
        return placed

    return faulty


def is_long_ago(_: object) -> int:
    """Every run is too old to stage anything."""
    return -(10**15)


def planned_policies(hidden_rows: Sound) -> Sound:
    """Only policies that the plan names count."""

    async def faulty(export: RunningExport, unit: Unit, planned: set[Risk]) -> object:
        found = await hidden_rows(export, unit, planned)
        return found if Risk.ROW_POLICIES in planned else ()

    return faulty


def without_dropped_tables(describe: Sound) -> Sound:
    """Tables that are gone when they are looked at are left out."""

    async def faulty(*given: object) -> object:
        described = await describe(*given)
        return described._replace(tables=[one for one in described.tables if bytes(one.definition) != b"null"])

    return faulty
