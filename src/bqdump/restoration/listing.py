"""Listing the restores of a place, from their documents and the jobs that are at work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from bqdump.concurrency import gathered
from bqdump.core.documents.layout import Layout
from bqdump.core.restore.documents import Decision, RestoreLayout, Restores
from bqdump.core.restore.listing import ListedRestore, jobs_of, state_of
from bqdump.core.restore.result import NotCreated
from bqdump.core.times import time_of
from bqdump.ports.store import ObjectInfo, ObjectStore
from bqdump.repository.repository import load
from bqdump.restoration.ledger import Ledger, read_ledger

AT_ONCE = 16
# The jobs of a project that are at work since a time, by their ids.
AtWork = Callable[[str, int], Awaitable[set[str]]]


class Place(NamedTuple):
    """Where documents of restores are. dataset: of a set, the exported dataset that they are about; else ""."""

    store: ObjectStore
    layout: Layout
    dataset: str = ""


class Found(NamedTuple):
    """A restore, by its documents. infos: every object in its folder."""

    place: Place
    decision: Decision
    infos: tuple[ObjectInfo, ...]
    ledger: Ledger

    @property
    def layout(self) -> RestoreLayout:
        """The names of its documents."""
        return Restores(self.place.layout).restore(self.decision.restore)

    @property
    def done(self) -> bool:
        """Whether everything is restored."""
        return any(info.name == self.layout.result.name for info in self.infos)

    @property
    def changed(self) -> int:
        """When the last document was written, in ms since 1970 UTC; 0 if not known."""
        return max((info.updated for info in self.infos), default=0)


async def find_restores(places: Sequence[Place]) -> list[Found]:
    """The restores of these places that have a plan, the newest first."""
    named = [(place, name) for place in places for name in await place.store.folders(Restores(place.layout).restores)]
    found = await gathered(lambda name: _find(*name), named, AT_ONCE)
    return sorted(filter(None, found), key=lambda restore: -restore.decision.planned)


async def list_restores(found: Sequence[Found], at_work: AtWork, now: int, abandoned_ms: int) -> list[ListedRestore]:
    """The same as they are listed. now: in ms since 1970 UTC. at_work: is asked once for each project."""
    unfinished = [restore for restore in found if not restore.done]
    jobs: dict[str, set[str]] = {}
    for project in sorted({restore.decision.target.project for restore in unfinished}):
        of_project = [restore for restore in unfinished if restore.decision.target.project == project]
        since = min(restore.decision.planned for restore in of_project)
        jobs[project] = await at_work(project, since)
    return [_listed(restore, jobs.get(restore.decision.target.project, set()), now, abandoned_ms) for restore in found]


async def _find(place: Place, name: str) -> Found | None:
    layout = Restores(place.layout).restore(name)
    stored = await load(place.store, layout.plan)
    if stored is None:
        return None
    infos = [info async for page in place.store.objects(layout.root) for info in page]
    return Found(place, stored.value, tuple(infos), await read_ledger(place.store, layout))


def _listed(found: Found, jobs: set[str], now: int, abandoned_ms: int) -> ListedRestore:
    decision, ledger = found.decision, found.ledger
    last = [max(failures, key=lambda failure: failure.attempt) for failures in ledger.failures.values()]
    failed = [failure for failure in last if failure.number not in ledger.receipts]
    at_work = bool(jobs_of(decision, jobs))
    return ListedRestore(
        restore=decision.restore,
        state=state_of(done=found.done, at_work=at_work, changed=found.changed, now=now, abandoned_ms=abandoned_ms),
        run=decision.run,
        source=found.place.dataset,
        project=decision.target.project,
        dataset=decision.target.name,
        began=time_of(decision.planned),
        changed=time_of(found.changed) if found.changed else None,
        restored=len(ledger.receipts),
        failed=tuple(NotCreated(failure.name, failure.kind, failure.reason, failure.message) for failure in failed),
    )
