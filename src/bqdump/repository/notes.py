"""The tags of runs: all of them from one listing, and how they are changed."""

from __future__ import annotations

from collections.abc import Collection

from bqdump.core.documents.codec import decode
from bqdump.core.documents.document import RUN_ID, Notes
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.retention import MOST_TAGS, Tags
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.errors import DocumentError, NotFoundError, UsageError
from bqdump.ports.store import ObjectStore
from bqdump.repository.pruned_runs import is_pruned
from bqdump.repository.repository import exists, notes, swap


async def read_tags(store: ObjectStore, layout: Layout) -> dict[str, tuple[str, ...]]:
    """The tags of each run that has any. Raises DocumentError."""
    tags_by_run: dict[str, tuple[str, ...]] = {}
    async for page in notes(store, Notes(layout.tagged, Tags)):
        tags_by_run.update((note.value.run, note.value.tags) for note in page if note.value.tags)
    return tags_by_run


async def readable_tags(
    store: ObjectStore, layout: Layout
) -> tuple[dict[str, tuple[str, ...]], dict[str, DocumentError]]:
    """The tags of each run that has any, and for other runs why their tags cannot be read."""
    tags_by_run: dict[str, tuple[str, ...]] = {}
    damaged: dict[str, DocumentError] = {}
    async for page in store.notes(layout.tagged):
        for note in page:
            try:
                tags = decode(note.data, Tags, note.name)
            except DocumentError as error:
                damaged[note.name.removeprefix(layout.tagged).removesuffix(".json")] = error
                continue
            if tags.tags:
                tags_by_run[tags.run] = tags.tags
    return tags_by_run, damaged


async def change_tags(
    store: ObjectStore, layout: Layout, run: str, add: Collection[str] = (), remove: Collection[str] = ()
) -> tuple[str, ...]:
    """Add tags to a run and remove others; the tags that it has then.

    Raises NotFoundError for a run that does not exist or is being pruned, UsageError for a tag that it does not have,
    or too many.
    """
    names = layout.run(run)
    if not RUN_ID.fullmatch(run) or not await run_exists(store, names):
        raise _missing(run)
    if await is_pruned(store, layout, run):
        raise _pruned(run)

    async def step(now: Tags | None) -> Tags | None:
        have = now.tags if now else ()
        if lacking := sorted(set(remove).difference(have)):
            raise UsageError("tag", f"run {run}", f"it does not have the tag {lacking[0]}")
        then = tuple(sorted({*have, *add}.difference(remove)))
        if len(then) > MOST_TAGS:
            raise UsageError("tag", f"run {run}", f"it would have {len(then)} tags, and {MOST_TAGS} are the most")
        return None if then == have else Tags(run, then)

    stored = await swap(store, layout.tags(run), step)
    # Prune marks the run first and then reads the tags, so one of the two sees the other.
    if stored and stored.mine and await is_pruned(store, layout, run):
        await store.delete([(layout.tags(run).name, stored.generation)])
        raise _pruned(run)
    return stored.value.tags if stored else ()


async def run_exists(store: ObjectStore, names: RunLayout) -> bool:
    """Whether a run has been planned, or is complete."""
    return await exists(store, names.manifest) or await exists(store, names.plan)


def _pruned(run: str) -> NotFoundError:
    return NotFoundError("tag", f"run {run}", "it was pruned", "{call:runs} lists all runs.")


def _missing(run: str) -> NotFoundError:
    return NotFoundError("tag", f"run {run[:100]}", "there is none", "{call:runs} lists all runs.")
