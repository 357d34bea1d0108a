"""A dataset of a set as an export of its own: its settings, and which of them apply to it.

The order in which the tasks of a run work on the datasets of a set.

Each task begins with datasets that no other task begins with, and helps with the others afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bqdump.core.dealing import largest_first, share_out
from bqdump.core.documents.sets import SetPlan
from bqdump.core.errors import PLAN, UsageError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.values import prefix
from bqdump.core.tables.catalog import Listed, labels_of
from bqdump.core.tables.patterns import matching, near_hint, select
from bqdump.core.times import rfc3339


def prefix_of(settings: Settings, dataset: str) -> str:
    """The folder of a dataset's export, below the prefix of its set."""
    return f"{settings.target.prefix}{dataset}/"


def one_dataset(settings: Settings, dataset: str) -> Settings:
    """The settings of the export of one dataset of a set: they name it alone, and its own folder.

    Raises UsageError where the folder's name would be too long.
    """
    try:
        folder = prefix(prefix_of(settings, dataset))
    except ValueError as error:
        raise UsageError(PLAN, dataset, f"its folder cannot be {prefix_of(settings, dataset)!r}: {error}") from None
    target = msgspec.structs.replace(settings.target, prefix=folder)
    return msgspec.structs.replace(settings, dataset=dataset, target=target, exclude_datasets=())


def member_settings(settings: Settings, plan: SetPlan, dataset: str, listing: Sequence[Listed]) -> Settings:
    """The same at the set's snapshot time, with the patterns and sections that match a table of this dataset.

    Every pattern matches a table of some dataset: see `refuse_unmatched`.
    """
    own = one_dataset(settings, dataset)
    labels = labels_of(listing)
    return msgspec.structs.replace(
        own,
        snapshot_time=rfc3339(plan.snapshot),
        include=tuple(pattern for pattern in own.include if matching(pattern, labels, labels)),
        exclude=tuple(pattern for pattern in own.exclude if matching(pattern, labels, labels)),
        tables=tuple(section for section in own.tables if matching(section.name, labels, labels)),
    )


def matches_include(settings: Settings, listing: Sequence[Listed]) -> bool:
    """Whether a dataset has a table that --include names; any dataset has where nothing is named."""
    labels = labels_of(listing)
    return not settings.include or any(select(labels, settings.include, (), labels))


def chosen_tables(settings: Settings, listing: Sequence[Listed]) -> int:
    """How many of a dataset's tables the patterns choose."""
    labels = labels_of(listing)
    return sum(select(labels, settings.include, settings.exclude, labels))


def refuse_unmatched(settings: Settings, listings: Sequence[Sequence[Listed]]) -> None:
    """Raise UsageError for a pattern of --include, or a section of a table, that matches no table of any dataset."""
    every = [labels_of(listing) for listing in listings]
    # Two datasets may have a table of one name, with other labels.
    own = {f"{number}.{name}": of for number, labels in enumerate(every) for name, of in labels.items()}
    for pattern in settings.include:
        if not any(matching(pattern, labels, labels) for labels in every):
            hint = near_hint(pattern, {name for labels in every for name in labels}, own)
            raise UsageError(PLAN, repr(pattern), "matches no table of any dataset", hint, setting="include")
    for section in settings.tables:
        if not any(matching(section.name, labels, labels) for labels in every):
            hint = near_hint(section.name, {name for labels in every for name in labels}, own)
            raise UsageError(PLAN, f"[tables.{section.name}]", "matches no table of any dataset", hint)


MOST_AT_ONCE, LEAST_AT_ONCE = 8, 2


def own_datasets(sizes: Sequence[int], task: int, tasks: int) -> list[int]:
    """The numbers of the datasets that a task begins with, dealt by their tables."""
    return share_out([size + 1 for size in sizes], tasks)[task]


def order_of(sizes: Sequence[int], task: int, tasks: int) -> list[int]:
    """The numbers of all datasets in the order of this task."""
    own = own_datasets(sizes, task, tasks)
    mine = set(own)
    rest = [number for number in largest_first(sizes) if number not in mine]
    start = task * len(rest) // tasks if tasks else 0
    return own + rest[start:] + rest[:start]


def at_once(sizes: Sequence[int], task: int, tasks: int) -> int:
    """How many datasets a task works on at once."""
    return max(LEAST_AT_ONCE, min(MOST_AT_ONCE, len(own_datasets(sizes, task, tasks))))
