"""How far a run is, read from the bucket alone."""

from __future__ import annotations

from typing import Literal

import msgspec

from bqdump.core.codec import decode
from bqdump.core.documents import Failure, Newest, Plan
from bqdump.core.errors import NotFoundError
from bqdump.core.settings import Settings, moment_text
from bqdump.flow.ledger import read_claims, read_ledger
from bqdump.flow.planning import read_latest
from bqdump.ports import ObjectStore

State = Literal["planning", "running", "failed", "complete", "published"]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A run as its documents tell it; counts are tables."""

    run: str
    state: State
    snapshot_time: str
    tables: int
    done: int
    working: int
    waiting: int
    failed: tuple[Failure, ...]
    skipped: int
    bytes: int
    latest: str


async def newest_run(store: ObjectStore, settings: Settings) -> str:
    """The run that was planned last. Raises NotFoundError when there is none."""
    try:
        stored = await store.read(settings.layout.newest)
    except NotFoundError:
        raise NotFoundError(
            "find", "a run", f"none has been planned in {store.url}/{settings.prefix}", "Start one: bqdump run"
        ) from None
    return decode(stored.data, Newest, settings.layout.newest).run


async def status(store: ObjectStore, settings: Settings, run: str) -> Status:
    """Where this run stands. Raises NotFoundError for a run that nobody has started."""
    layout = settings.layout.run(run)
    latest, _ = await read_latest(store, settings)
    published = latest.run if latest else ""
    try:
        plan = decode((await store.read(layout.plan)).data, Plan, layout.plan)
    except NotFoundError:
        if await store.stat(layout.planner) is None:
            raise NotFoundError("find", f"run {run}", f"{store.url}/{layout.root} is empty") from None
        return Status(run=run, state="planning", snapshot_time="", tables=0, done=0, working=0, waiting=0, failed=(),
                      skipped=0, bytes=0, latest=published)  # fmt: skip
    ledger = await read_ledger(store, layout)
    claims = await read_claims(store, layout)
    failed = tuple(ledger.failed())
    working = len(claims.keys() - ledger.receipts.keys() - ledger.failures.keys())
    done = len(ledger.receipts)
    return Status(
        run=run,
        state=_state(plan, done, len(failed), published, await store.stat(layout.manifest) is not None),
        snapshot_time=moment_text(plan.snapshot),
        tables=plan.tables,
        done=done,
        working=working,
        waiting=plan.tables - done - working - len(failed),
        failed=failed,
        skipped=len(plan.skipped),
        bytes=plan.bytes,
        latest=published,
    )


def _state(plan: Plan, done: int, failed: int, published: str, manifest: bool) -> State:
    if published == plan.run:
        return "published"
    if manifest:
        return "complete"
    return "failed" if failed and done + failed == plan.tables else "running"
