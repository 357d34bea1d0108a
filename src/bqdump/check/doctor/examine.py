"""Every check, in the order of a run."""

from __future__ import annotations

from collections.abc import Callable

from bqdump.check.doctor.checks import Check, Checks
from bqdump.check.doctor.planning import check_plan
from bqdump.check.doctor.source import check_dataset, check_definitions, check_tables
from bqdump.check.doctor.target import check_bucket, check_objects, check_owner
from bqdump.core.settings.settings import Settings
from bqdump.core.wording import PYTHON, Words
from bqdump.export.task import ReadRoute
from bqdump.ports.store import ObjectStore
from bqdump.ports.warehouse import Warehouse


async def examine(
    store: ObjectStore,
    warehouse: Warehouse,
    open_read_route: Callable[[], ReadRoute],
    settings: Settings,
    clock: Callable[[], float],
    words: Words = PYTHON,
) -> list[Check]:
    """Each check builds on the results of those before it.

    open_read_route: see Task. clock: this machine's time, in seconds since 1970 UTC. words: name settings.

    Raises only errors that say nothing about permissions or risks, such as a failed connection.
    """
    checks = Checks(words)
    dataset = await check_dataset(checks, warehouse, settings, clock)
    listed = await check_tables(checks, warehouse, dataset) if dataset else None
    if dataset and listed is not None:
        await check_definitions(checks, warehouse, settings, dataset, listed)
    bucket, writable = await check_bucket(checks, store, settings)
    ours = await check_owner(checks, store, settings)
    await check_objects(checks, store, settings, bucket, writable=writable)
    await check_plan(checks, store, warehouse, open_read_route, settings, bucket, compare=ours)
    return checks.made
