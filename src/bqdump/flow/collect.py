"""Collecting: the files that a run has written, found by listing and held against its receipts."""

from __future__ import annotations

from bqdump.core.documents import Plan, Receipt, Unit
from bqdump.core.errors import VerificationError
from bqdump.core.plan import read_units
from bqdump.core.template import shard_name, split_shard
from bqdump.flow.ledger import Ledger
from bqdump.flow.task import Task
from bqdump.ports import ObjectInfo


class Collected:
    """What a run has written. `written`: of each unit its files in order; `surplus`: files that failed attempts
    have left at the same names, beside those or (in keep mode) of a unit that has failed for good."""

    def __init__(self) -> None:
        self.written: dict[str, list[ObjectInfo]] = {}
        self.surplus: list[ObjectInfo] = []


async def all_units(task: Task, plan: Plan) -> list[Unit]:
    """Every unit of the plan, by table."""
    if not plan.tables:
        return []
    stored = await task.store.read(plan.units)
    return sorted(read_units(stored.data), key=lambda unit: unit.table)


def written_pattern(task: Task, plan: Plan, unit: Unit, receipt: Receipt) -> str:
    """Where the job of this receipt has written: staged names, or final ones in keep mode."""
    return task.layout.staged(unit.id, receipt.attempt, unit.pattern) if plan.mode == "replace" else unit.pattern


async def collect(task: Task, plan: Plan, units: list[Unit], ledger: Ledger) -> Collected:
    """Find the files of every unit that has a receipt.

    Raises VerificationError when a file that BigQuery has reported is not there.
    """
    done = {
        written_pattern(task, plan, unit, ledger.receipts[unit.id]): unit
        for unit in units
        if unit.id in ledger.receipts
    }
    # Where failed attempts write to final names, what they have left must not look like an export.
    patterns = done if plan.mode == "replace" else {unit.pattern: unit for unit in units}
    found: dict[str, dict[int, ObjectInfo]] = {unit.id: {} for unit in done.values()}
    collected = Collected()
    async for page in task.store.objects(_common_prefix(task, plan, list(patterns))):
        for info in page:
            if (split := split_shard(info.name, patterns)) is None:
                # Staged by an attempt that failed, or (in keep mode) none of this run's business.
                continue
            pattern, number = split
            receipt = ledger.receipts.get(patterns[pattern].id)
            if receipt and number < receipt.files:
                found[receipt.unit][number] = info
            else:
                collected.surplus.append(info)
    for pattern, unit in done.items():
        files = found[unit.id]
        expected = ledger.receipts[unit.id].files
        for number in range(expected):
            if number not in files:
                raise VerificationError(
                    "publish", f"table {unit.table}",
                    f"BigQuery reported {expected} files, and {shard_name(pattern, number)} is not there",
                    "Something has deleted it: run the export again.",
                )  # fmt: skip
        collected.written[unit.id] = [files[number] for number in range(expected)]
    return collected


def _common_prefix(task: Task, plan: Plan, patterns: list[str]) -> str:
    if plan.mode == "replace":
        return task.layout.staging
    heads = sorted(pattern.partition("*")[0] for pattern in patterns)
    if not heads:
        return task.layout.staging
    first, last = heads[0], heads[-1]
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:same]
