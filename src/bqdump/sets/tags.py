"""The tags of a set's run: those of each dataset's part of it."""

from __future__ import annotations

from collections.abc import Sequence

from bqdump.core.errors import NotFoundError, UsageError
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.repository.repository import exists
from bqdump.repository.tags import change_tags, read_tags
from bqdump.sets.datasets import names_in_set


async def tag_set(
    store: ObjectStore, settings: Settings, run: str, add: Sequence[str], remove: Sequence[str]
) -> tuple[str, ...]:
    """Change the tags of a run in each dataset of a set that has it; the tags that it has then.

    Raises NotFoundError without a set or such a run, UsageError for a tag that no dataset's run has.
    """
    layouts = [one_dataset(settings, name).layout for name in await names_in_set(store, settings)]
    having = [layout for layout in layouts if await exists(store, layout.run(run).plan)]
    if not having:
        raise NotFoundError("tag", f"run {run[:100]}", "there is none", "{call:runs} lists all runs.")
    before = [(await read_tags(store, layout)).get(run, ()) for layout in having]
    if lacking := sorted(set(remove).difference(*before)):
        raise UsageError("tag", f"run {run}", f"it does not have the tag {lacking[0]}")
    for layout, tags in zip(having, before, strict=True):
        await change_tags(store, layout, run, add, set(remove).intersection(tags))
    return tuple(sorted(set(add).union(*before).difference(remove)))


def merged_tags(found: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The tags of a run of a set whose datasets are in several targets."""
    return tuple(sorted({tag for tags in found for tag in tags}))
