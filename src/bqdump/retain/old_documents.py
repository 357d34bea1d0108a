"""Documents that no run owns: of restores, of the executions that took part in them, and of drills.

Those of finished restores, executions and drills go once they are old. A restore that has not finished stays, and is
named. So do the drills that show what was last proven about the runs that are kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bqdump.core.documents.codec import decode
from bqdump.core.documents.document import STATE
from bqdump.core.documents.layout import PROOFS, SIGNATURE, Layout
from bqdump.core.documents.target import Drill
from bqdump.core.errors import BqdumpError, DeniedError, DocumentError
from bqdump.core.restore.documents import DOCUMENTS, RestoreLayout, Restores
from bqdump.core.sizes import counted
from bqdump.ports.store import ObjectInfo, ObjectStore
from bqdump.repository.repository import delete

OLD_DAYS = 30
OLD_MS = OLD_DAYS * 86_400_000
NAMED = 5


class Old(NamedTuple):
    """What goes, and what stays although it is old.

    results: of restores; they go last, so that what an interrupted prune has left is found to have finished.
    executions, drills: how many of them are among `objects`.
    unfinished: the folders of restores.
    left: other objects in the folders of restores that go, and drills that cannot be read.
    """

    objects: tuple[ObjectInfo, ...]
    results: tuple[ObjectInfo, ...]
    executions: int
    drills: int
    unfinished: tuple[str, ...]
    left: tuple[str, ...]

    def notes(self, url: str, *, deleted: bool) -> Iterator[str]:
        """The same for people."""
        counts = ((len(self.results), "restore"), (self.executions, "execution"), (self.drills, "drill"))
        if gone := ", ".join(counted(count, what) for count, what in counts if count):
            done = "Removed" if deleted else "Would remove"
            yield f"{done} documents that are older than {OLD_DAYS} days: {gone}."
        for folder in self.unfinished[:NAMED]:
            what = f"The restore in {url}/{folder} has not finished, and is older than {OLD_DAYS} days"
            yield f"{what}. Repeat its command to finish it, or delete that folder."
        if (more := len(self.unfinished) - NAMED) > 0:
            yield f"{counted(more, 'more restore')} {'has' if more == 1 else 'have'} not finished."

    def without(self, names: Collection[str]) -> Old:
        """The same without objects of these names, which were not deleted."""
        objects = tuple(info for info in self.objects if info.name not in names)
        results = tuple(info for info in self.results if info.name not in names)
        executions, drills = (
            sum(f"{STATE}/{of}/" in info.name and not info.name.endswith((SIGNATURE, PROOFS)) for info in objects)
            for of in ("executions", "drills")
        )
        return self._replace(objects=objects, results=results, executions=executions, drills=drills)


class Documents(NamedTuple):
    """What is listed of restores, executions and drills.

    restores: the objects in the folder of each restore.
    drills: the earliest first, each with its object.
    unreadable: the names of drills that cannot be read.
    signatures: of drills.
    proofs: what drills have proven, by table.
    """

    restores: Mapping[RestoreLayout, Sequence[ObjectInfo]]
    executions: tuple[ObjectInfo, ...]
    drills: tuple[tuple[Drill, ObjectInfo], ...]
    unreadable: tuple[str, ...]
    signatures: tuple[ObjectInfo, ...] = ()
    proofs: tuple[ObjectInfo, ...] = ()


async def list_documents(store: ObjectStore, layout: Layout) -> Documents:
    """List the documents that no run owns, and read those of drills."""
    layouts = Restores(layout)
    folders = await _by_folder(store, layouts.restores)
    executions = [info async for page in store.objects(layouts.executions) for info in page]
    infos = {info.name: info async for page in store.objects(layout.drills) for info in page}
    drills, unreadable = list[tuple[Drill, ObjectInfo]](), list[str]()
    async for page in store.notes(layout.drills):
        for note in page:
            try:
                drills.append((decode(note.data, Drill, note.name), infos[note.name]))
            except (DocumentError, KeyError):
                # It cannot be read, or was written since.
                unreadable += [note.name] if note.name in infos else []
    drills.sort(key=lambda drill: drill[0].began)
    restores = {layouts.restore(name): objects for name, objects in folders.items()}
    signatures = tuple(info for info in infos.values() if info.name.endswith(SIGNATURE))
    proofs = tuple(info for info in infos.values() if info.name.endswith(PROOFS))
    return Documents(restores, tuple(executions), tuple(drills), tuple(unreadable), signatures, proofs)


def old_of(documents: Documents, now: int, kept: Container[str]) -> Old:
    """Which of these are old, and of no use any more.

    now: in milliseconds since 1970 UTC.
    kept: the runs that stay.
    """
    objects, results, unfinished, left = list[ObjectInfo](), list[ObjectInfo](), list[str](), list[str]()
    for names, infos in documents.restores.items():
        if not _are_old(infos, now):
            continue
        own = [info for info in infos if _is_own(names, info.name)]
        result = [info for info in own if info.name == names.result.name]
        if not result:
            unfinished.append(names.root)
            continue
        results += result
        objects += [info for info in own if info not in result]
        left += [info.name for info in infos if info not in own]
    executions = [info for info in documents.executions if _are_old([info], now)]
    drills = _old_drills(documents.drills, now, kept)
    stay = {info.name for _, info in documents.drills if info not in drills}.union(documents.unreadable)
    signatures = [
        info for info in documents.signatures if info.name.removesuffix(SIGNATURE) not in stay and _are_old([info], now)
    ]
    proofs = {drill.proofs for drill, info in documents.drills if info.name in stay}
    signatures += [
        info
        for info in documents.proofs
        if info.name.rpartition("/")[2].removesuffix(PROOFS) not in proofs and _are_old([info], now)
    ]
    return Old(
        (*objects, *executions, *drills, *signatures),
        tuple(results),
        len(executions),
        len(drills),
        tuple(unfinished),
        (*left, *documents.unreadable),
    )


def _is_own(names: RestoreLayout, name: str) -> bool:
    """Whether an object is a document or an upload of this restore."""
    return bool(DOCUMENTS.fullmatch(name, len(names.root))) or name.startswith(names.files)


async def delete_old(store: ObjectStore, old: Old, *, locked: bool = False) -> tuple[str, ...]:
    """Delete these documents, each at the generation that was listed.

    locked: in a place of locked copies, where the pruner may delete less, or the bucket keeps all objects for longer.
    What may not be deleted there is left: its names.
    """
    left = list[str]()
    for infos in (old.objects, old.results):
        if locked:
            left += await delete_unlocked(store, infos)
        else:
            await delete(store, [(info.name, info.generation) for info in infos])
    return tuple(left)


async def delete_unlocked(store: ObjectStore, infos: Iterable[ObjectInfo]) -> list[str]:
    """Delete these objects; the names of those that the store keeps, by a hold or a lock. Raises any other error."""
    objects = [(info.name, info.generation) for info in infos]
    answers = await store.delete(objects) if objects else []
    for answer in answers:
        if isinstance(answer, BqdumpError) and not isinstance(answer, DeniedError):
            raise answer
    return [name for (name, _), answer in zip(objects, answers, strict=True) if isinstance(answer, DeniedError)]


async def with_locks(store: ObjectStore, infos: Sequence[ObjectInfo]) -> list[ObjectInfo]:
    """These objects with the ends of their locks, without those that are gone."""
    if store.abilities.listed_checksums:
        return list(infos)
    asked = [await store.stat(info.name) for info in infos]
    return [info for info in asked if info]


async def _by_folder(store: ObjectStore, root: str) -> dict[str, list[ObjectInfo]]:
    """The objects below each folder of this one, by the folder's name."""
    folders = defaultdict[str, list[ObjectInfo]](list)
    async for page in store.objects(root):
        for info in page:
            folder, slash, _ = info.name.removeprefix(root).partition("/")
            if slash:
                folders[folder].append(info)
    return folders


def _are_old(infos: Iterable[ObjectInfo], now: int) -> bool:
    """Whether none was written within the last days. What has no time is not old."""
    return all(0 < info.updated < now - OLD_MS for info in infos)


def _old_drills(drills: Sequence[tuple[Drill, ObjectInfo]], now: int, kept: Container[str]) -> list[ObjectInfo]:
    """The drills that show nothing any more which is still of interest. drills: the earliest first."""
    needed = [*_newest(drills)]
    for run in {drill.run for drill, _ in drills}:
        if run in kept:
            needed += _newest([drill for drill in drills if drill[0].run == run])
    names = {info.name for _, info in needed}
    # Proofs add up: what the newest drills count was proven by drills since then.
    since = min((drill.oldest for drill, _ in needed if drill.oldest), default=now)
    return [
        info
        for drill, info in drills
        if drill.began < now - OLD_MS and info.name not in names and not (drill.proofs and drill.ended >= since)
    ]


def _newest(drills: Sequence[tuple[Drill, ObjectInfo]]) -> Iterator[tuple[Drill, ObjectInfo]]:
    """Of these drills, the earliest first: the last one, the last proof, and whose turn it was."""
    yield from drills[-1:]
    proves: Sequence[Callable[[Drill], bool]] = (
        lambda drill: drill.proven,
        lambda drill: drill.last != "",
    )
    for shows in proves:
        yield from [drill for drill in drills if shows(drill[0])][-1:]
