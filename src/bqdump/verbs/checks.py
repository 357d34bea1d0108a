"""Before an export and after it: permissions and risks, the services themselves, the stored files."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from bqdump.adapters.google.endpoints import LED
from bqdump.check.compare_with_source import Source
from bqdump.check.findings import Verified
from bqdump.check.read_back import ReadOptions
from bqdump.check.verify import verify as verify_run
from bqdump.check.verify_set import verify_set
from bqdump.core.exit_codes import DIFFERENCE, DONE, TABLES_FAILED
from bqdump.core.progress.events import Listener, ignore
from bqdump.core.settings.settings import Settings
from bqdump.core.wording import PYTHON, Words
from bqdump.diagnosis import Diagnosis, diagnose, diagnose_copies, diagnose_together
from bqdump.ports.store import ObjectStore
from bqdump.ports.warehouse import Warehouse
from bqdump.repository.exports import StoreAt, exports_at
from bqdump.services.keys import trusting
from bqdump.services.opened import Services
from bqdump.services.opening import open_reader
from bqdump.sets.obtain import each_export
from bqdump.verbs.pinging import pinged

if TYPE_CHECKING:
    from bqdump_claims.run import Ports


async def doctor(services: Services, settings: Settings, service_account: str = "", words: Words = PYTHON) -> Diagnosis:
    """Check permissions and risks before a run: of its export, or of each one of a set, where it goes to.

    In a place that holds copies only: before a copy.

    service_account, words: see diagnose.
    """
    if settings.target.holds_copies:
        return await diagnose_copies(services.store_at(settings.target), settings, words)

    async def diagnosis(own: Settings) -> Diagnosis:
        store = services.store_at(own.target)
        return await diagnose(store, services.warehouse, services.read_route.open, own, service_account, words)

    return diagnose_together(
        settings, [await diagnosis(own) for own in await each_export(services.warehouse, settings)]
    )


def ports_of(services: Services) -> Ports:
    """What a check of the services works on."""
    from bqdump_claims.run import Ports

    google = not any(os.environ.get(endpoint.variable) for endpoint in LED)
    destination = services.destination
    return Ports(destination, services.store, services.read_route.open, google, destination.stream)


async def verify(
    store_at: StoreAt,
    settings: Settings,
    run: str = "",
    *,
    parts: int = 0,
    warehouse: Warehouse | None = None,
    bill: Callable[[int], None] = lambda _: None,
    tell: Listener = ignore,
) -> Verified:
    """Compare the files of a run (default: the published run) with its manifest; of a set, those of each dataset.

    parts: also read one in this many files (0: none).
    warehouse: compare tables with BigQuery as well, which needs every file; `bill` hears the bytes billed beforehand.
    """
    name = run or settings.run_id
    source = Source(warehouse, settings.max_bytes_billed, bill) if warehouse else None
    reader = open_reader() if parts else None
    reading = ReadOptions(reader, parts, checksums=source is not None) if reader else None

    async def verified(store: ObjectStore, own: Settings, run: str = name) -> Verified:
        return await verify_run(store, own, run, reading, source, tell)

    try:
        async with pinged(settings) as outcome:
            exports = await exports_at(trusting(store_at, settings, name), settings)
            found = await exports.answer(verified, partial(verify_set, run=name, verify=verified))
            outcome.code = code_of(found)
            return found
    finally:
        if reader:
            reader.close()


def code_of(verified: Verified) -> int:
    """The exit code of what was found."""
    if verified.findings or any(dataset.problem for dataset in verified.datasets):
        return DIFFERENCE
    # Such a dataset has no export at all.
    return TABLES_FAILED if any(not dataset.run for dataset in verified.datasets) else DONE
