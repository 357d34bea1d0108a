"""Which runs are kept: prune, and the tags of runs."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bqdump.core.errors import UsageError
from bqdump.core.retention.policy import policy_for, refuse_kept
from bqdump.core.retention.pruned import Pruned
from bqdump.core.settings.settings import Settings
from bqdump.repository.exports import StoreAt, exports_at
from bqdump.repository.notes import change_tags, read_tags, run_exists
from bqdump.retain.prune_exports import prune_exports
from bqdump.retain.survey import AtWork


async def prune(
    store_at: StoreAt, settings: Settings, at_work: AtWork | None = None, *, runs: Sequence[str] = (), delete: bool
) -> Pruned:
    """Delete the runs that the retention policy does not keep; of a set, those of each dataset.

    delete: False only shows. at_work: see retain.survey. runs: delete these and no others. Raises UsageError, before
    anything is deleted, if one of them is always kept.
    """

    exports, now, policy = await exports_at(store_at, settings), int(time.time() * 1000), policy_for(settings, runs)
    if runs:
        shown = await prune_exports(exports, policy, now, at_work, delete=False)
        refuse_kept(runs, shown)
        if not delete:
            return shown
    return await prune_exports(exports, policy, now, at_work, delete=delete)


async def tag(
    store_at: StoreAt, settings: Settings, run: str, add: Sequence[str] = (), remove: Sequence[str] = ()
) -> tuple[str, ...]:
    """Add tags to a run and remove others, of a set in each dataset that has it; the tags that it has then."""

    exports = (await exports_at(store_at, settings)).each
    having = [export for export in exports if await run_exists(export.store, export.settings.layout.run(run))]
    before = [(await read_tags(store, own.layout)).get(run, ()) for store, own, _ in having]
    if having and (lacking := sorted(set(remove).difference(*before))):
        raise UsageError("tag", f"run {run}", f"it does not have the tag {lacking[0]}")
    tags = set[str]()
    # Without any, the first one says that there is no such run.
    for (store, own, _), had in zip(having or exports[:1], before or [()], strict=True):
        tags.update(await change_tags(store, own.layout, run, add, set(remove).intersection(had)))
    return tuple(sorted(tags))
