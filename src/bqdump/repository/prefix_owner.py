"""Which dataset a prefix belongs to. Two datasets below one prefix would delete each other's files.

`dataset.json` is created before anything else, so that one of two datasets that start at the same time is refused. It
is permanent, with one exception: a run that created it and then planned nothing releases the prefix. That must not
affect a run of the same dataset that plans at the same time, so releasing takes two steps: mark the document as
released, then look for plans. A run stores its plan first and then reads the document. So either the run finds the mark
and removes it, or the plan is found.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import msgspec

from bqdump.core.documents.codec import RELEASE
from bqdump.core.documents.target import SET, PrefixOwner
from bqdump.core.errors import PLAN, DocumentError, UsageError
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.repository.log import log_refused, read_log
from bqdump.repository.published import read_latest
from bqdump.repository.repository import load, replace, value_of


def now() -> int:
    """This machine's clock, in milliseconds since 1970 UTC: for display only."""
    return max(0, int(time.time() * 1000))


async def claim_prefix(store: ObjectStore, settings: Settings, run: str) -> bool:
    """Claim the prefix for this dataset. Raises UsageError if it belongs to another one.

    Call it before planning, and again after reading the stored plan. Returns whether this run is the first there: the
    prefix had no owner, and nothing was published.
    """
    mine = PrefixOwner(settings.project, settings.dataset, run, now())
    while True:
        owner, generation, damaged = await check_prefix(store, settings)
        if generation and owner and not (owner.released or damaged):
            return False
        if await replace(store, settings.layout.owner, mine, generation):
            return owner is None and generation == 0


class Found(NamedTuple):
    """The owner of a prefix, None if it is free, and the generation of the document that records it, 0 without it.

    damaged: it cannot be read. Then, and without it, a published export determines the owner.
    """

    owner: PrefixOwner | None
    generation: int
    damaged: bool = False


async def check_prefix(store: ObjectStore, settings: Settings) -> Found:
    """The owner of the prefix. Raises UsageError if it belongs to another dataset.

    Raises DocumentError where nothing that is published shows whose it is, or another release has recorded it.
    """
    owner, generation, damaged = None, 0, False
    try:
        if stored := await load(store, settings.layout.owner):
            owner, generation = stored.value, stored.generation
    except DocumentError as error:
        owner = await _published_owner(store, settings)
        if owner is None or error.hint == RELEASE:
            raise
        log_refused(error.subject, error)
        info = await store.stat(settings.layout.owner.name)
        generation, damaged = info.generation if info else 0, True
    if owner is None:
        owner = await _published_owner(store, settings)
    if owner is None or owner.source == (settings.project, settings.dataset):
        return Found(owner, generation, damaged)
    if owner.released and not await _has_plan(store, settings, owner):
        return Found(None, generation)
    if owner.dataset == SET:
        own = f"{settings.target.prefix}{settings.dataset}"
        hint = f"Export one dataset below a folder of its own: {{setting:prefix={own}}}."
        raise UsageError(PLAN, str(settings.target), f"it belongs to {owner.owns}", hint)
    named = [settings.layout.owner.name] if generation else []
    if await read_log(store, settings.layout):
        named.append(settings.layout.log)
    raise UsageError(
        PLAN,
        str(settings.target),
        f"it belongs to {owner.owns}",
        "Give each dataset its own {setting:prefix}, also one that was renamed or moved to another project: the runs "
        "here stay, and can be restored. To give them up and use this place, delete "
        f"{' and '.join(f'{store.url}/{name}' for name in named)}.",
    )


async def _published_owner(store: ObjectStore, settings: Settings) -> PrefixOwner | None:
    """Whose export is published there."""
    if latest := await read_latest(store, settings):
        return PrefixOwner(latest.project, latest.dataset, latest.run, latest.snapshot)
    try:
        manifest = await value_of(store, settings.layout.set_manifest)
    except DocumentError:
        if settings.dataset != SET:
            raise
        # The next run of the set writes it again.
        return None
    return PrefixOwner(manifest.project, SET, manifest.run, manifest.snapshot) if manifest else None


async def release_prefix(store: ObjectStore, settings: Settings, run: str) -> None:
    """Release the prefix if this run claimed it and its dataset has no plan there."""
    document = settings.layout.owner
    stored = await load(store, document)
    if stored is None or (stored.value.run, *stored.value.source) != (run, settings.project, settings.dataset):
        return
    released = msgspec.structs.replace(stored.value, released=True)
    if not (generation := await replace(store, document, released, stored.generation)):
        return
    if await _has_plan(store, settings, stored.value):
        await replace(store, document, stored.value, generation)
    else:
        await store.delete([(document.name, generation)])


async def _has_plan(store: ObjectStore, settings: Settings, owner: PrefixOwner) -> bool:
    """Whether a run of this dataset has been planned here. A prefix handed over still has other runs."""
    for run in await store.folders(settings.layout.runs):
        plan = await value_of(store, settings.layout.run(run).plan)
        if plan and (plan.project, plan.dataset) == owner.source:
            return True
    return owner.dataset == SET and await _has_set(store, settings, owner.project)


async def _has_set(store: ObjectStore, settings: Settings, project: str) -> bool:
    for run in await store.folders(settings.layout.set_runs):
        plan = await value_of(store, settings.layout.set_run(run).plan)
        if plan and plan.project == project:
            return True
    return False
