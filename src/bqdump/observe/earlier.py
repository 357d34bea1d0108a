"""The run that a time stands for: the newest one whose snapshot time is not later, and whose files are still there.

What grew: the tables of a run compared with those of an earlier one, which a name, a date or a duration chooses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from bqdump.core.documents.changes import TableGrowth, grown, most_first
from bqdump.core.documents.document import FORMAT_VERSION, ByMode, Document, Mode, RunId
from bqdump.core.documents.manifest_index import Contents
from bqdump.core.errors import DocumentError, NotFoundError
from bqdump.core.results import Rows
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted
from bqdump.core.times import EPOCH, AsOf, parse_duration, parse_time, time_of, time_text
from bqdump.observe.history import RunLine
from bqdump.ports.store import ObjectStore
from bqdump.repository.exports import Exports
from bqdump.repository.manifests import contents_of
from bqdump.repository.repository import read, value_of

# In place of a dataset's name: all datasets of a set together, as in set_runs.
WHOLE = ("", "*")


class _Kept(ByMode, msgspec.Struct, frozen=True):
    """Whether a run keeps a folder of its own: the part of its manifest, or of the index, that says so."""

    run: RunId
    mode: Mode
    format_version: int = FORMAT_VERSION


async def run_as_of(exports: Exports, lines: Sequence[RunLine], wanted: AsOf, *, files: bool) -> RunLine:
    """The newest complete or partial run that is not later. lines: all runs, of a set those of each dataset as well.

    files: its files must still be there, instead of its manifest only.

    Raises NotFoundError, which names what is kept.
    """
    runs = [line for line in lines if line.dataset in WHOLE and line.whole and line.snapshot_time]
    runs.sort(key=lambda line: (line.snapshot_time or EPOCH, line.published, line.run), reverse=True)
    earlier = [line for line in runs if line.snapshot_time and line.snapshot_time <= time_of(wanted.until)]
    for line in earlier:
        if not files or await _has_files(exports, line, lines):
            return line
    later = runs[: len(runs) - len(earlier)]
    kept = [line for line in later if not files or await _has_files(exports, line, lines)]
    what = f"a run as of {wanted.words}"
    if not kept and not earlier:
        raise NotFoundError("find", what, NOTHING, FIRST)
    replaced = "the files of earlier runs were replaced by later ones, and " if earlier else ""
    raise NotFoundError("find", what, f"{replaced}{_kept(kept)}", "List the runs: {call:runs}")


def _kept(runs: Sequence[RunLine]) -> str:
    """What is kept, in words. runs: the newest first."""
    if not runs:
        return "no run has its files any more"
    oldest = f"run {runs[-1].run}, with snapshot time {time_text(runs[-1].snapshot_time)}"
    return (
        f"the only one kept is {oldest}" if len(runs) == 1 else f"the oldest of {counted(len(runs), 'run')} is {oldest}"
    )


async def _has_files(exports: Exports, line: RunLine, lines: Sequence[RunLine]) -> bool:
    """Whether no later run has replaced the files of a run."""
    if line.published:
        return True
    parts = {whole.dataset for whole in lines if whole.run == line.run and whole.whole}
    store, settings, _ = next(export for export in exports.each if export.dataset in parts)
    layout = settings.layout.run(line.run)
    for name in (layout.contents.name, layout.manifest.name):
        if kept := await value_of(store, Document(name, _Kept)):
            return not kept.replaces
    return False


NOTHING, FIRST = "nothing has been published there yet", "Start one: {call:run}"
SINCE = "Name a run, a date such as 2026-01-31, or a time before the run such as 7d. List the runs: {call:runs}"


class Growth(NamedTuple):
    """The growth from run `since` to run `run`: the tables whose size differs, what grew most first, out of `of`."""

    run: str
    since: str
    since_time: datetime | None
    tables: tuple[TableGrowth, ...]
    of: int


async def read_growth(exports: Exports, lines: Sequence[RunLine], run: str, since: str) -> Growth:
    """What grew from the run that `since` chooses (default: the one before) to run `run` (default: the published one).

    lines: the runs of all exports together. Tables of a set have their dataset's name.
    """
    after, before = chosen(lines, run, since)
    growth: list[TableGrowth] = []
    for store, settings, dataset in exports.each:
        old, new = [await read_contents(store, settings, end.run) for end in (before, after)]
        growth += grown(old, new, dataset and f"{dataset}.")
    return Growth(after.run, before.run, before.snapshot_time, most_first(growth), len(growth))


def chosen(lines: Iterable[RunLine], run: str, since: str) -> tuple[RunLine, RunLine]:
    """The later and the earlier run. Raises NotFoundError.

    since: the name of a run; or a date, a time, or a duration before the later run, which mean the newest run that is
    as old, or the oldest run where none is.
    """
    every = list(lines)
    whole = {line.run: line for line in every if line.whole and line.snapshot_time and line.dataset in ("", "*")}
    after = whole.get(run) if run else next((line for line in whole.values() if line.published), None)
    if after is None or after.snapshot_time is None:
        if not run and not whole:
            raise NotFoundError("find", "a run", NOTHING, FIRST)
        raise _refusal(every, run, "List the runs: {call:runs}")
    if not since:
        return after, whole[run_before(whole.values(), after.run)]
    if since in whole:
        return after, whole[since]
    until = _time(since, after.snapshot_time)
    if until is None:
        raise _refusal(every, since, SINCE)
    earlier = [line for line in whole.values() if line.snapshot_time and line.snapshot_time < after.snapshot_time]
    if not earlier:
        raise NotFoundError("find", f"a run before run {after.run}", "there is none", "List the runs: {call:runs}")
    dated = sorted(earlier, key=lambda line: (line.snapshot_time, line.run))
    old = [line for line in dated if line.snapshot_time and line.snapshot_time <= until]
    return after, (old or dated[:1])[-1]


def _refusal(lines: Iterable[RunLine], run: str, hint: str) -> NotFoundError:
    """The error about a run (default: the published run) that cannot be compared."""
    line = next((line for line in lines if (line.run == run if run else line.published)), None)
    if line and line.state == "not trusted":
        # As the console has it above what it shows.
        return NotFoundError("show", "what grew", f"run {line.run} is not trusted: {line.problem}", hint)
    what = f"run {run}" if run else "the published run"
    return NotFoundError("find", what, "it does not exist, or is not finished", hint)


def _time(since: str, after: datetime) -> datetime | None:
    """The time that is meant: of a date, its end in UTC; of a duration, so long before the later run."""
    with suppress(ValueError, OverflowError):
        return after - timedelta(seconds=parse_duration(since))
    with suppress(ValueError):
        return datetime.combine(datetime.strptime(since, "%Y-%m-%d").replace(tzinfo=UTC), time.max, UTC)
    with suppress(ValueError, OverflowError):
        return time_of(parse_time(since))
    return None


async def read_contents(store: ObjectStore, settings: Settings, run: str) -> Contents | None:
    """The tables of a finished run, None without a manifest. Raises DocumentError."""
    layout = settings.layout.run(run)
    # Where the index is damaged or not written yet, the manifest says the same.
    with suppress(DocumentError):
        if (contents := await value_of(store, layout.contents)) and contents.run == run:
            return contents
    stored = await read(store, layout.manifest)
    return contents_of(stored.data, layout.manifest.name) if stored else None


def with_growth(lines: Iterable[RunLine], growth: Growth) -> Rows[RunLine]:
    """The same runs, the later one with what grew in it."""
    return Rows(
        replace(line, growth=growth.tables, grown_since=growth.since)
        if line.run == growth.run and line.dataset in ("", "*")
        else line
        for line in lines
    )


def run_before(lines: Iterable[RunLine], after: str = "") -> str:
    """The newest complete run with an earlier snapshot time than `after` (default: the published run).

    Raises NotFoundError where there is none, or no run `after`.
    """
    dated = [(line.snapshot_time, line) for line in lines if line.snapshot_time and line.dataset in ("", "*")]
    newer = next((time for time, line in dated if (line.run == after if after else line.published)), None)
    if newer is None:
        if not after and not dated:
            raise NotFoundError("find", "a run", NOTHING, FIRST)
        what = f"run {after}" if after else "the published run"
        raise NotFoundError("find", what, "it does not exist", "List the runs: {call:runs}")
    earlier = [(time, line.run) for time, line in dated if time < newer and line.state in ("complete", "partial")]
    if not earlier:
        raise NotFoundError("find", "the previous run", "there is no earlier one", "List the runs: {call:runs}")
    return max(earlier)[1]
