"""Following a run in other processes until it ends, from the bucket only.

While the run's folder is small, one listing covers it; later, three of its parts are listed. The plan never changes
and is read once. Manifest and log are checked once all tables are done or failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from bqdump.core.documents.run import Plan
from bqdump.core.errors import DocumentError, VerificationError
from bqdump.core.progress.events import Entered, Listener, Stage, ignore
from bqdump.core.settings.settings import Settings
from bqdump.observe.status import Judged, Sight, Status, StatusState, find_judged, judged, status_of
from bqdump.pool.tables import NOTHING, Ledger, list_ledger, read_ledger
from bqdump.ports.store import ObjectStore
from bqdump.repository.published import readable_latest, refuse_pruned
from bqdump.repository.repository import exists, value_of

# A listing of the complete folder includes the staged files. From this many pages on, its parts are listed instead.
PAGES = 3
# A failed run may still be published partially: its publisher's note follows shortly.
FAILED_LOOKS = 3
# Final states, and the stage that each is displayed as.
ENDED: Mapping[StatusState, Stage] = {"published": "published", "superseded": "superseded"}


class Pace(NamedTuple):
    """Seconds between polls: the shortest after a change, up to the longest while nothing changes."""

    shortest: float = 2.0
    longest: float = 30.0


PACE = Pace()


async def follow(
    store: ObjectStore,
    settings: Settings,
    run: str,
    *,
    tell: Listener = ignore,
    pace: Pace | None = None,
    wait: bool = False,
    every_look: bool = False,
) -> AsyncIterator[Status]:
    """The run's status now and after each change, until the run is published, superseded, failed, or damaged.

    Raises NotFoundError once it is pruned. Damaged is a run whose entry in the log or whose manifest cannot be read: no
    task changes that.

    wait: also wait for a run that does not exist yet; otherwise it raises NotFoundError.
    every_look: yield the status of every poll, even if unchanged.
    """
    pace = pace or PACE
    eye = _Eye(store, settings, run)
    before, pause, failed_looks = None, pace.shortest, 0
    while True:
        sight = await eye.look(wait=wait)
        now, damaged, _ = await eye.status(sight)
        failed_looks = failed_looks + 1 if now.state == "failed" and not await eye.publishes() else 0
        _tell(tell, sight, now, failed=damaged or failed_looks > 0)
        if now != before or every_look:
            yield now
        if damaged or now.state in ENDED or failed_looks >= FAILED_LOOKS:
            return
        pause = pace.shortest if now != before else min(pause * 1.5, pace.longest)
        if pause == pace.longest:
            await eye.refuse_pruned()
        before = now
        # Long listings are repeated less often: at most one page per second.
        await asyncio.sleep(max(pause, min(eye.pages, pace.longest) if eye.pages > 1 else 0))


def _tell(tell: Listener, sight: Sight, now: Status, *, failed: bool) -> None:
    if sight.plan:
        tell(sight.plan)
        tell(sight.ledger.seen)
    if sight.settled or (sight.plan is None and now.state != "planning"):
        tell(Entered("failed" if failed else ENDED.get(now.state, "publishing")))


class _Eye:
    """Polls one run and caches what cannot change. pages: of the last listing."""

    def __init__(self, store: ObjectStore, settings: Settings, run: str) -> None:
        self._store, self._settings, self._run = store, settings, run
        self._layout = settings.layout.run(run)
        self._sight: Sight | None = None
        self._copy: Judged | None = None
        self.pages = 1

    async def look(self, *, wait: bool) -> Sight:
        """The current documents of the run."""
        try:
            plan = (self._sight and self._sight.plan) or await value_of(self._store, self._layout.plan)
            ledger = await self._ledger(plan) if plan else NOTHING
        except DocumentError:
            # A complete run needs neither. Of any other, this raises the same error.
            plan, ledger, self._sight = None, NOTHING, None
        if plan is None and not wait and (self._sight is None or self._copy):
            # A copy has no plan: its manifest counts.
            found = await find_judged(self._store, self._settings, self._run)
            self._copy = None if found.status.state == "planning" else found
        last = self._sight
        sight = Sight(self._run, plan, ledger, last.latest if last else None, last.manifest if last else False)
        if last is None or sight.settled:
            latest = await readable_latest(self._store, self._settings)
            manifest = sight.settled and await exists(self._store, self._layout.manifest)
            sight = sight._replace(latest=latest, manifest=manifest)
        self._sight = sight
        return sight

    async def status(self, sight: Sight) -> Judged:
        """The status that these documents show, and whether the run is damaged."""
        if self._copy and sight.plan is None:
            return self._copy
        now = status_of(sight)
        if sight.settled and now.state not in (*ENDED, "failed"):
            # A manifest is there before its signature, which the caller checks at the end.
            with suppress(VerificationError):
                found = await judged(self._store, self._settings, now)
                return found if found.damaged else Judged(now)
        return Judged(now)

    async def refuse_pruned(self) -> None:
        """Raise NotFoundError if the run was pruned meanwhile."""
        await refuse_pruned(self._store, self._settings, "follow", self._run)

    async def publishes(self) -> bool:
        """Whether a task has begun to publish the run."""
        return await exists(self._store, self._layout.publisher)

    async def _ledger(self, plan: Plan) -> Ledger:
        if self.pages >= PAGES:
            return await read_ledger(self._store, self._layout, plan)
        ledger, self.pages = await list_ledger(self._store, self._layout, plan)
        return ledger
