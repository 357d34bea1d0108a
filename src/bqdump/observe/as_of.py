"""The run that a time stands for: the newest one whose snapshot time is not later, and whose files are still there."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bqdump.core.as_of import AsOf
from bqdump.core.documents.document import FORMAT_VERSION, Document, Mode, RunId
from bqdump.core.errors import NotFoundError
from bqdump.core.sizes import counted
from bqdump.core.times import EPOCH, time_of, time_text
from bqdump.observe.history import RunLine
from bqdump.repository.exports import Exports
from bqdump.repository.repository import value_of

# In place of a dataset's name: all datasets of a set together, as in set_runs.
WHOLE = ("", "*")


class _Kept(msgspec.Struct, frozen=True):
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
        raise NotFoundError("find", what, "nothing has been published there yet", "Start one: {call:run}")
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
        if found := await value_of(store, Document(name, _Kept)):
            return found.mode == "keep"
    return False
