"""Which datasets of a set a restore takes, where each one goes, and which patterns concern it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from bqdump.core.errors import UsageError
from bqdump.core.plan.selection import unmatched
from bqdump.core.restore.names import partition_range
from bqdump.core.restore.plan import PLAN, Options
from bqdump.core.restore.request import PLACEHOLDER, RESTORE, filled
from bqdump.core.sizes import named
from bqdump.core.tables.patterns import NO_LABELS, Labels, is_label, matching, select, together

NAMED = 10
OF_A_SET = "only datasets of a set can be chosen, and this is the export of one dataset"


class Choice(NamedTuple):
    """Patterns of the names of datasets; case matters. include: () for all."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


EVERY = Choice()


def refuse_choice(choice: Choice) -> None:
    """Raise UsageError if datasets are chosen, as there is only one."""
    for setting, patterns in (("datasets", choice.include), ("exclude_datasets", choice.exclude)):
        if patterns:
            raise UsageError(RESTORE, "", OF_A_SET, "Leave it out.", setting=setting)


def chosen_datasets(names: Sequence[str], choice: Choice) -> list[str]:
    """Those that the patterns choose, sorted. Raises UsageError for a pattern that matches none, or if none is left."""
    known = sorted(names)
    for setting, patterns in (("datasets", choice.include), ("exclude_datasets", choice.exclude)):
        for pattern in filter(is_label, patterns):
            cause = "a restore chooses datasets by name: their labels are not in the export of the set"
            raise UsageError(RESTORE, repr(pattern), cause, "Name them.", setting=setting)
        for pattern, guess in unmatched(known, patterns, NO_LABELS):
            cause, hint = f"matches no dataset of the set{guess}", f"Its datasets: {named(known, NAMED, 'dataset')}."
            raise UsageError(RESTORE, repr(pattern), cause, hint, setting=setting)
    chosen = [
        name for name, yes in zip(known, select(known, choice.include, choice.exclude, NO_LABELS), strict=True) if yes
    ]
    if not chosen:
        raise UsageError(RESTORE, "", "no dataset of the set is left", setting="exclude_datasets")
    return chosen


def refuse_one_target(options: Options, datasets: Sequence[str]) -> None:
    """Raise UsageError where several datasets would be restored into one."""
    if options.dataset and PLACEHOLDER not in options.dataset and len(datasets) > 1:
        names = named(datasets, NAMED, "dataset")
        cause = f"{options.dataset!r} is one dataset, and the export has {len(datasets)} ({names})"
        hint = f"Write {PLACEHOLDER} for the name of each, such as {options.project}.{PLACEHOLDER}_restored."
        raise UsageError(RESTORE, "", cause, hint, setting="into")


def with_patterns_of(
    options: Options, objects: Mapping[str, list[str]], labels: Mapping[str, Labels]
) -> dict[str, Options]:
    """The options for each dataset with the patterns that match one of its objects, whose names and labels are given.

    Without the datasets that have no object which `include` names. Raises UsageError for a pattern that matches no
    object of any dataset.
    """
    everything = sorted({name for names in objects.values() for name in names})
    for setting, patterns in (("include", options.include), ("exclude", options.exclude)):
        for pattern, guess in unmatched(everything, patterns, together(labels.values())):
            cause = f"matches no object of any dataset{guess}"
            where = "partitions" if options.partitions else setting
            dataset, _, name = pattern.partition(".")
            hint = "{call:ls} lists all."
            if name and dataset in objects:
                both = f"{{setting:datasets={dataset}}}, and its objects with {{setting:{where}={name}}}"
                hint = f"The dataset is chosen with {both}."
            raise UsageError(PLAN, repr(pattern), cause, hint, setting=where)

    def those_of(patterns: tuple[str, ...], dataset: str) -> tuple[str, ...]:
        return tuple(pattern for pattern in patterns if matching(pattern, objects[dataset], labels[dataset]))

    by_dataset = {
        dataset: msgspec.structs.replace(
            options,
            include=those_of(options.include, dataset),
            exclude=those_of(options.exclude, dataset),
            partitions=tuple(some for some in options.partitions if partition_range(some).table in names),
        )
        for dataset, names in objects.items()
    }
    return {dataset: own for dataset, own in by_dataset.items() if own.include or not options.include}


def with_targets(options: Mapping[str, Options]) -> dict[str, Options]:
    """The options of each dataset with the name that it is restored into, and with where the others go.

    Raises UsageError where a name would be too long.
    """
    by_dataset = {name: filled(own, name) for name, own in options.items()}
    moves = [(name, own.dataset) for name, own in by_dataset.items()]
    return {
        name: msgspec.structs.replace(own, others=tuple(move for move in moves if move[0] != name))
        for name, own in by_dataset.items()
    }
