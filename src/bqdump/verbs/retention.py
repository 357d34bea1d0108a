"""Which runs are kept: prune, and the tags of runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from bqdump.core.errors import NotFoundError
from bqdump.verbs.either import first_found

if TYPE_CHECKING:
    from bqdump.core.retention.result import Pruned
    from bqdump.core.settings.settings import Settings
    from bqdump.ports.store import ObjectStore
    from bqdump.retain.task import AtWork
    from bqdump.services.opened import Services


async def prune(store: ObjectStore, settings: Settings, at_work: AtWork | None = None, *, delete: bool) -> Pruned:
    """Delete the runs that the retention policy does not keep; of a set, those of each dataset.

    delete: False only shows. at_work: see retain.task.
    """
    from bqdump.core.retention.policy import policy_of
    from bqdump.retain.prune import prune as prune_runs
    from bqdump.retain.task import Task
    from bqdump.sets.prune import prune_set

    now = int(time.time() * 1000)

    async def one(own: Settings) -> Pruned:
        return await prune_runs(Task(store, own, policy_of(own), now, delete, at_work))

    if not settings.names_several:
        found = await one(settings)
        if found.runs:
            return found
        with suppress(NotFoundError):
            return await prune_set(store, settings, one, now)
        return found
    try:
        return await prune_set(store, settings, one, now)
    except NotFoundError:
        return await one(settings)


async def tag(
    store: ObjectStore, settings: Settings, run: str, add: Sequence[str] = (), remove: Sequence[str] = ()
) -> tuple[str, ...]:
    """Add tags to a run and remove others, of a set in each dataset; the tags that it has then."""
    from bqdump.repository.tags import change_tags
    from bqdump.sets.tags import tag_set

    return await first_found(
        lambda: change_tags(store, settings.layout, run, add, remove),
        lambda: tag_set(store, settings, run, add, remove),
    )


async def prune_each(services: Services, settings: Settings, *, delete: bool) -> Pruned:
    """Prune what the targets hold: a set, or the export of one dataset, which is then the only one of them."""
    from msgspec.structs import replace

    from bqdump.repository.published import read_latest
    from bqdump.sets.prune import merged_pruned

    at_work = services.warehouse.at_work if settings.jobs_in else None
    if not settings.names_several:
        return await prune(services.store, settings, at_work, delete=delete)
    pruned = []
    for target, store in services.stores.items():
        own = replace(settings, target=target)
        pruned.append(await prune(store, own, at_work, delete=delete))
        if await read_latest(store, own):
            break
    return merged_pruned(pruned)
