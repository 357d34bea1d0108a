"""The tables of a dataset that an export has, and how many tasks it is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import msgspec

from bqdump.core.documents.run import ByLabel, LabelSetting, Skipped
from bqdump.core.errors import PLAN, UsageError
from bqdump.core.plan.names import refuse_name
from bqdump.core.settings.settings import Settings
from bqdump.core.tables.catalog import Listed, labels_of, same_names, unknown_kind
from bqdump.core.tables.patterns import Labels, is_label, matching, near_hint, pattern_problem, select
from bqdump.core.times import rfc3339
from bqdump.core.wording import close_name

MOST_RECOMMENDED, TABLES_A_TASK, READ_BYTES_A_TASK = 20, 500, 10 * 10**9


class Selection(msgspec.Struct, frozen=True):
    """The objects of a listing that are exported, those skipped, and the number of tables excluded by patterns.

    by_label: what the label patterns have matched.
    """

    chosen: tuple[Listed, ...]
    skipped: tuple[Skipped, ...]
    excluded: int
    by_label: tuple[ByLabel, ...] = ()


def choose(listing: Sequence[Listed], settings: Settings, snapshot: int) -> Selection:
    """Sort a listing into objects that are exported and those that are not.

    Raises UsageError where an include matches no table, or a file cannot have the name of a chosen table.
    """
    names = [item.name for item in listing]
    known, labels = set(names), labels_of(listing)
    for pattern in settings.include:
        if pattern not in known and not matching(pattern, names, labels):
            otherwise = "Separate patterns by commas; without {setting:include}, a plan lists all tables."
            hint = near_hint(pattern, names, labels) or otherwise
            raise UsageError(PLAN, repr(pattern), f"matches no table of {settings.dataset}", hint, setting="include")
    chosen, skipped, excluded = [], [], 0
    for item, included in zip(listing, select(names, settings.include, settings.exclude, labels), strict=True):
        if not included:
            excluded += 1
        elif item.created > snapshot:
            reason = f"created after the snapshot time {rfc3339(snapshot)}"
            skipped.append(Skipped(item.name, item.kind, reason))
        elif reason := unknown_kind(item.kind):
            skipped.append(Skipped(item.name, item.kind, reason))
        else:
            refuse_name(item.name)
            chosen.append(item)
    return Selection(tuple(chosen), tuple(skipped), excluded, tuple(_by_label(settings, listing, chosen)))


def _by_label(settings: Settings, listing: Sequence[Listed], chosen: Sequence[Listed]) -> Iterator[ByLabel]:
    """What each label pattern has matched: of those to include, and of sections, only tables that are exported."""
    every, exported = labels_of(listing), labels_of(chosen)
    sections = tuple(section.name for section in settings.tables)
    of_each: tuple[tuple[LabelSetting, tuple[str, ...], Labels], ...] = (
        ("include", settings.include, exported),
        ("exclude", settings.exclude, every),
        ("tables", sections, exported),
    )
    for setting, patterns, labels in of_each:
        for pattern in filter(is_label, patterns):
            yield ByLabel(setting, pattern, tuple(sorted(matching(pattern, labels, labels))))


def refuse_same_names(names: Sequence[str], dataset: str) -> None:
    """Raise UsageError for tables of a dataset that ignores case of which each name may be read as another one's."""
    if same := same_names(names):
        cause = f"{dataset} ignores case in names (isCaseInsensitive), so each may be read as the other one"
        raise UsageError(PLAN, f"tables {same[0]}", cause, "Rename one, or leave it out with {setting:exclude}.")


def unmatched(names: list[str], patterns: Sequence[str], labels: Labels) -> list[tuple[str, str]]:
    """Patterns that match nothing, each with a suggestion ("" where there is none). Case matters, as in BigQuery."""
    guesses, known = [], set(names)
    for pattern in patterns:
        if pattern in known or matching(pattern, names, labels):
            continue
        if problem := pattern_problem(pattern):
            guesses.append((pattern, f"; {problem}"))
        elif is_label(pattern):
            guesses.append((pattern, ""))
        else:
            folded = [name for name in names if fnmatchcase(name.casefold(), pattern.casefold())]
            guess = next(iter(folded), close_name(pattern, names))
            case = " (case matters)" if folded else ""
            guesses.append((pattern, f"; did you mean {guess!r}?{case}" if guess else ""))
    return guesses


def recommended_tasks(jobs: int, read_bytes: int = 0) -> int:
    """The recommended number of tasks. Extract jobs run in BigQuery, and one task watches hundreds of them.

    jobs: tables, or partitions that are exported by themselves.
    read_bytes: of the tables on the read route, which each task reads at some hundred MB a second.
    """
    return max(1, min(MOST_RECOMMENDED, max(-(-jobs // TABLES_A_TASK), -(-read_bytes // READ_BYTES_A_TASK))))
