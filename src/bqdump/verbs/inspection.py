"""What the documents of a target say about runs, tables and changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bqdump.core.errors import NotFoundError
from bqdump.core.progress.events import Listener, ignore
from bqdump.core.results import Rows
from bqdump.verbs.either import first_found

if TYPE_CHECKING:
    from bqdump.check.query import Export as Queried
    from bqdump.core.documents.changes import TableChange
    from bqdump.core.documents.exported_tables import Manifest
    from bqdump.core.documents.manifest import Manifest as ManifestDocument
    from bqdump.core.documents.manifest import TableEntry
    from bqdump.core.settings.settings import Settings
    from bqdump.observe.growth import Growth
    from bqdump.observe.history import RunLine
    from bqdump.observe.status import Status
    from bqdump.ports.query_shell import QueryShell
    from bqdump.ports.store import ObjectStore
    from bqdump.sets.report import Report


Answer = TypeVar("Answer")


async def status(store: ObjectStore, settings: Settings, run: str = "") -> Status:
    """The progress of a run (default: the run that was planned last), or of a set's run."""
    from bqdump.sets.status import set_status

    name = run or settings.run_id
    return await _either(settings, partial(_status, store, settings, name), partial(set_status, store, settings, name))


async def _status(store: ObjectStore, settings: Settings, run: str) -> Status:
    from msgspec.structs import replace

    from bqdump.core.restore.restorable import restorable
    from bqdump.core.wording import COMMANDS, fill
    from bqdump.observe.status import newest_run
    from bqdump.observe.status import status as read_status
    from bqdump.repository.drills import read_drills
    from bqdump.repository.replacing import read_replacing

    found = await read_status(store, settings, run or await newest_run(store, settings))
    if by := await read_replacing(store, settings):
        found = replace(found, replaced_by=by.run, finish=fill(by.call, COMMANDS))
    return replace(found, restorable=restorable(await read_drills(store, settings.layout)))


async def _either(
    settings: Settings, of_one: Callable[[], Awaitable[Answer]], of_set: Callable[[], Awaitable[Answer]]
) -> Answer:
    """What is there: the export of one dataset or a set. The settings decide only what is looked for first.

    The settings of a set are also those with which people look at one of its datasets.
    """
    return await (first_found(of_set, of_one) if settings.names_several else first_found(of_one, of_set))


async def runs(store: ObjectStore, settings: Settings, *, storage: bool = False) -> Rows[RunLine]:
    """All runs of a target, the latest snapshot time first; of a set, also those of each dataset.

    storage: with what each run shares with others.
    """
    from bqdump.observe.history import list_runs
    from bqdump.sets.runs import set_runs

    of_one = partial(list_runs, storage=storage)
    if settings.names_several:
        try:
            return await set_runs(store, settings, storage=storage)
        except NotFoundError:
            return await of_one(store, settings)
    found: Rows[RunLine] = await of_one(store, settings)
    if not found:
        with suppress(NotFoundError):
            return await set_runs(store, settings, storage=storage)
    return found


async def growth(store: ObjectStore, settings: Settings, run: str = "", since: str = "") -> Growth:
    """What grew from a run (default: the one before) to another (default: the published run), also of a set.

    since: a run, a date, a time, or a duration before the later run.
    """
    from bqdump.core.sets.member import one_dataset
    from bqdump.observe.growth import read_growth

    lines = await runs(store, settings)
    names = sorted({line.dataset for line in lines} - {"", "*"})
    datasets = {f"{name}.": one_dataset(settings, name) for name in names} or {"": settings}
    return await read_growth(store, datasets, lines, run, since)


async def previous_run(store: ObjectStore, settings: Settings, after: str = "") -> str:
    """The run before `after` (default: before the published run). Raises NotFoundError."""
    from bqdump.observe.history import run_before

    return run_before(await runs(store, settings), after)


async def manifest(store: ObjectStore, settings: Settings, run: str = "") -> Manifest:
    """The manifest of a run (default: the published run)."""
    from bqdump.core.documents.exported_tables import readable
    from bqdump.repository.published import read_manifest

    target = settings.target
    address = f"{Path(target.folder).absolute()}/" if target.folder else target.uri("")
    return readable(await read_manifest(store, settings, run or settings.run_id), address)


async def sql(
    store: ObjectStore,
    settings: Settings,
    shell: QueryShell,
    run: str = "",
    reading: Callable[[TableEntry], None] = lambda _: None,
    statement: str = "",
) -> Queried:
    """A run (default: the published run) to query in the shell. reading: hears of each table whose files are read.

    statement: the files of the tables that it names are read at once.
    """
    from bqdump.check.query import Export as Queried
    from bqdump.repository.published import read_manifest

    manifest = await read_manifest(store, settings, run or settings.run_id)
    queried = Queried(settings, manifest, shell, reading)
    if statement:
        await queried.attach(store, statement)
    return queried


async def diff(
    store: ObjectStore,
    settings: Settings,
    before: str = "",
    after: str = "",
    *,
    values: bool = False,
    tell: Listener = ignore,
) -> Rows[TableChange]:
    """What changed from one run (default: the one before) to another (default: the published run), in each dataset.

    values: compare the files' values as well.
    """
    from bqdump.check.compare_values import compare_values
    from bqdump.core.documents.changes import compare
    from bqdump.repository.published import SetError, read_manifest
    from bqdump.services.opening import open_reader
    from bqdump.sets.compare import compare_set

    before = before or await previous_run(store, settings, after)
    reader = open_reader() if values else None

    async def both(old: ManifestDocument, new: ManifestDocument) -> list[TableChange]:
        return await compare_values(store, old, new, reader, tell) if reader else compare(old, new)

    try:
        old, new = await read_manifest(store, settings, before), await read_manifest(store, settings, after)
        return Rows(await both(old, new))
    except SetError:
        return Rows(await compare_set(store, settings, before, after, both))
    finally:
        if reader:
            reader.close()


async def report(store: ObjectStore, settings: Settings, run: str = "", since: str = "") -> Report:
    """The report of a run (default: the published run) as HTML. since: with the changes since that run."""
    from bqdump.export.publish.report import report_page
    from bqdump.repository.published import SetError
    from bqdump.sets.report import Report, set_report

    name = run or settings.run_id
    try:
        return Report(*await report_page(store, settings, name, since))
    except SetError:
        return await set_report(store, settings, name, since)
