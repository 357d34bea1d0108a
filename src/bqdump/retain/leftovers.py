"""The files that a run which never finished has left at final names, and that are its own for certain.

Staged files are below the run's folder and need no proof. With a folder for each run ({run} in the path), a file is
the run's own where the plan's pattern has the run's id as a folder of its own, or where a receipt counts it. Where
files are replaced, copies carry the run that made them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from bqdump.concurrency import gathered
from bqdump.core.documents.copying import Expected
from bqdump.core.documents.document import Notes
from bqdump.core.documents.path_template import shard_name, split_shard
from bqdump.core.documents.retention import ObjectVersion
from bqdump.core.documents.run import Plan, Receipt
from bqdump.core.documents.run_layout import ENDS
from bqdump.core.documents.units import Unit
from bqdump.core.units.shares import read_units
from bqdump.ports.store import ObjectInfo
from bqdump.repository.objects import present
from bqdump.repository.repository import notes, value_of
from bqdump.retain.survey import Task

STATS_AT_ONCE = 16


class Leftovers(NamedTuple):
    """Files at final names.

    own: those of the run, for certain.
    unowned: names in the run's folder of which that is not certain.
    """

    own: tuple[ObjectVersion, ...]
    unowned: tuple[str, ...]


async def leftovers_of(task: Task, plan: Plan) -> Leftovers:
    """What a run that never finished has left at final names."""
    files = await (_copies(task, plan) if plan.replaces else _written(task, plan))
    if not plan.settings.get("iceberg"):
        return files
    return files._replace(own=(*files.own, *await metadata_of(task, plan.run)))


async def copies_of(task: Task, run: str, files: Collection[Expected]) -> Leftovers:
    """What a copy that never finished has brought here, some of which other runs may name. files: those of its run.

    Another file under such a name is not the copy's, and stays.
    """
    leftovers = await arrived(task, files)
    return leftovers._replace(own=(*leftovers.own, *await metadata_of(task, run)))


async def arrived(task: Task, files: Collection[Expected]) -> Leftovers:
    """Of these files of copies, those that are here. Another file under such a name is not the copy's."""
    stored = await present(task.store, [file.name for file in files]) if files else {}
    infos = [(info, file) for file in files if (info := stored.get(file.name))]
    own = tuple(_version(info) for info, file in infos if (info.size, info.crc32c) == (file.size, file.crc32c))
    return Leftovers(own, tuple(sorted(stored.keys() - {file.name for file in own})))


async def metadata_of(task: Task, run: str) -> list[ObjectVersion]:
    """The Iceberg metadata that is named after a run, also what its manifest does not name.

    A task that was killed while it published has left such metadata, and prunes and later runs write it for the run.
    """
    # Imported where there are Iceberg tables only.
    from bqdump.core.iceberg.table import run_of

    pages = task.store.objects(task.layout.iceberg)
    return [_version(info) async for page in pages for info in page if run_of(info.name) == run]


async def _copies(task: Task, plan: Plan) -> Leftovers:
    """What the run has copied over final names, of those in its intent."""
    intent = await value_of(task.store, task.layout.run(plan.run).intent)
    mark = f"{plan.run}/{plan.nonce}/{task.settings.target.prefix}"
    infos = await gathered(task.store.stat, intent.names if intent else (), STATS_AT_ONCE)
    return Leftovers(tuple(_version(info) for info in infos if info and info.origin == mark), ())


async def _written(task: Task, plan: Plan) -> Leftovers:
    """What the run has written to its own names, as its plan and its receipts have them."""
    if not plan.tables:
        return Leftovers((), ())
    units = read_units((await task.store.read(plan.units)).data, plan)
    alone = "{run}" in str(plan.settings.get("path", "")).split("/")[:-1]
    patterns = {unit.pattern for unit in units}
    own = patterns if alone else set()
    counted = await _counted(task, plan, units)
    files: dict[str, ObjectVersion] = {}
    unowned: set[str] = set()
    for folder in outermost(unit.pattern[: unit.pattern.rfind("/") + 1] for unit in units):
        async for page in task.store.objects(folder):
            for info in page:
                if info.name in counted or split_shard(info.name, own):
                    files[info.name] = _version(info)
                elif plan.run in info.name.split("/") or split_shard(info.name, patterns):
                    unowned.add(info.name)
    return Leftovers(tuple(files.values()), tuple(sorted(unowned)))


async def _counted(task: Task, plan: Plan, units: Iterable[Unit]) -> set[str]:
    """The files that the run's receipts count."""
    patterns = {unit.id: unit.pattern for unit in units}
    names: set[str] = set()
    async for page in notes(task.store, Notes(task.layout.run(plan.run).receipts, ENDS)):
        for note in page:
            receipt = note.value
            if isinstance(receipt, Receipt) and receipt.unit in patterns:
                numbers = range(receipt.first, receipt.first + receipt.files)
                names.update(shard_name(patterns[receipt.unit], number) for number in numbers)
    return names


def outermost(folders: Iterable[str]) -> list[str]:
    """These folders, without those inside another one."""
    outer: list[str] = []
    for folder in sorted(set(folders)):
        if not outer or not folder.startswith(outer[-1]):
            outer.append(folder)
    return outer


def _version(info: ObjectInfo) -> ObjectVersion:
    return ObjectVersion(info.name, info.generation, info.size)
