"""bqdump status: the progress of a run, read from the target only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from bqdump import verbs
from bqdump.cli.choices import run_name
from bqdump.cli.errors import words
from bqdump.cli.options import Command, finish, json_option, load_settings, quiet_option, settings_options
from bqdump.cli.output import print_json, print_json_line, say, write_whole
from bqdump.cli.progress import Nothing, draws, following
from bqdump.cli.streams import tell
from bqdump.core.documents.manifest_index import mixed_times, unchanged_tables
from bqdump.core.errors import UsageError
from bqdump.core.exit_codes import DIFFERENCE, DONE, TABLES_FAILED
from bqdump.core.metrics import metrics_text
from bqdump.core.restore.drill import Restorable
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted, size_text
from bqdump.core.times import time_text
from bqdump.core.wording import Words
from bqdump.observe.follow import follow
from bqdump.observe.sets import ended
from bqdump.observe.status import SILENT_SECONDS, DatasetStatus, Status, newest_run
from bqdump.repository.published import begun
from bqdump.services.opened import Services, serve

# The states of a run from which tables can be restored.
RESTORABLE = ("published", "complete", "partial", "superseded")
# Seconds between two looks at a set, since each look reads the progress of every dataset.
PAUSE_SECONDS = 3.0


@click.command(cls=Command, needs=("bucket",))
@click.argument("run", required=False, callback=run_name)
@click.option(
    "--watch",
    "-w",
    is_flag=True,
    help="Follow the run to its end; exits with 0 if published or superseded, 3 if failed, 4 if unreadable or not "
    "trusted.",
)
@click.option(
    "--metrics",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write metrics for Prometheus' node exporter to this file.",
)
@json_option(Status, "Print JSON; with --watch, one line per change.")
@quiet_option
@settings_options("trust", "rpo", "rto")
def status(run: str | None, watch: bool, metrics: Path | None, as_json: bool, quiet: bool, **options: Any) -> int:
    """Show the progress of RUN (default: the latest planned run), read from the target only.

    With --rpo or --rto, also the age of each dataset's newest proven run and the expected time of a restore; exits with
    4 if an objective is broken.

    \b
    Examples:
      bqdump status --bucket my-exports
      bqdump status --rpo 26h --rto 4h
      bqdump status bqdump-x7k2p --json
      bqdump status --watch --quiet && echo published
    """
    settings = load_settings(options, ("bucket",))
    name = run or settings.run_id
    if watch and metrics:
        raise UsageError("status", "--metrics", "cannot be used together with --watch", "Leave out one of them.")
    if watch:
        return _follow(settings, name, as_json=as_json, quiet=quiet)
    progress = _look(settings, name, words=words() if metrics or settings.has_objectives else None)
    if metrics:
        write_whole(metrics, metrics_text(progress.recovery, settings, time.time()))
    several = len(progress.recovery) > 1
    broken = [
        f"{recovery.dataset}: {sentence}" if several else sentence
        for recovery in progress.recovery
        for sentence in recovery.broken
    ]
    if as_json:
        print_json(progress)
    elif not quiet:
        sys.stdout.write(_text(progress) + "".join(f"{line}\n" for line in _safety(progress, settings)))
    if not as_json:
        for sentence in broken:
            tell(f"bqdump: {sentence}")
    return DIFFERENCE if broken else DONE


def _safety(progress: Status, settings: Settings) -> Iterator[str]:
    """How safe each dataset is."""
    for recovery in progress.recovery:
        verdict = "objectives broken: " if recovery.broken else "objectives met: " if settings.has_objectives else ""
        yield f"{recovery.dataset}: {verdict}{recovery.point_text}; {recovery.time_text}"


def _follow(settings: Settings, run: str, *, as_json: bool, quiet: bool) -> int:
    """Follow the run of a set or of one dataset, whichever is there."""
    progress = _look(settings, run, drills=False)
    if not progress.datasets:
        return _watch(settings, progress.run, as_json=as_json, quiet=quiet)
    return _watch_set(settings, progress, as_json=as_json, quiet=quiet)


def _look(settings: Settings, run: str, *, drills: bool = True, words: Words | None = None) -> Status:
    def look(services: Services) -> Coroutine[Any, Any, Status]:
        return verbs.status(services.store_at, settings, run, drills=drills, words=words)

    return finish(serve(settings, look))


def _watch(settings: Settings, run: str, *, as_json: bool, quiet: bool) -> int:
    """Follow the run to its end, and return the exit code."""
    bars = draws() and not (as_json or quiet)
    with following(quiet=quiet or as_json, lines=Nothing) as follower:
        reminder = _Reminder((lambda line: None) if quiet else follower.shown.print or tell)

        async def watch(services: Services) -> Status:
            store = services.store
            name, before = run or await newest_run(store, settings), None
            async for progress in follow(store, settings, name, tell=follower.hear, every_look=True):
                if progress != before and as_json:
                    print_json_line(progress)
                elif progress != before and not (quiet or bars):
                    say(f"run {name}: {follower.view().sentence()}")
                reminder.look(progress)
                before = progress
            return progress

        progress = finish(serve(settings, watch, patient=True))
    progress = _signed(settings, progress, as_json=as_json)
    return _ended(progress, _exit_code(progress), as_json=as_json, quiet=quiet)


def _watch_set(settings: Settings, progress: Status, *, as_json: bool, quiet: bool) -> int:
    """Follow the run of a set to its end, and return the exit code."""
    before: Status | None = None
    reminder = _Reminder((lambda line: None) if quiet else tell)
    # A dataset's manifest is there before it is signed: only at the end, its signature is checked.
    followed = replace(settings, trust=())
    progress = _look(followed, progress.run, drills=False) if settings.trust else progress
    while True:
        if progress != before and as_json:
            print_json_line(progress)
        elif progress != before and not quiet:
            done = sum(map(ended, progress.datasets))
            tables = f"{progress.done:,} of {counted(progress.tables, 'table')} done"
            say(f"run {progress.run}: {done} of {counted(len(progress.datasets), 'dataset')} ended, {tables}")
        reminder.look(progress)
        if progress.state not in ("planning", "running"):
            break
        time.sleep(PAUSE_SECONDS)
        before, progress = progress, _look(followed, progress.run, drills=False)
    progress = _signed(settings, progress, as_json=as_json)
    code = TABLES_FAILED if progress.state == "partial" else _exit_code(progress)
    return _ended(progress, code, as_json=as_json, quiet=quiet)


def _signed(settings: Settings, progress: Status, *, as_json: bool) -> Status:
    """The status of a run that has ended; where keys are trusted, with its signatures."""
    if not settings.trust:
        return progress
    progress = _look(settings, progress.run)
    if as_json:
        print_json_line(progress)
    return progress


def _ended(progress: Status, code: int, *, as_json: bool, quiet: bool) -> int:
    """Print how the run ended, also with --quiet unless it ended well; returns the exit code."""
    if not (as_json or quiet):
        sys.stdout.write(_text(progress))
    elif code and not as_json:
        tell(f"bqdump: {_text(progress).rstrip()}")
    return code


def _exit_code(progress: Status) -> int:
    if progress.state in ("unreadable", "not trusted"):
        return DIFFERENCE
    if progress.state in ("complete", "partial") and progress.problem:
        # Its entry in the log cannot be read, so that it is not published.
        return DIFFERENCE
    return TABLES_FAILED if progress.state == "failed" else DONE


class _Reminder:
    """Warns after a long silence, and again each time it has doubled."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._after: float = SILENT_SECONDS

    def look(self, progress: Status) -> None:
        """Take in the current status of the run."""
        silence = progress.silence(time.time())
        if silence >= self._after:
            self._say(_silent(progress, silence))
            self._after = 2 * silence
        elif silence < SILENT_SECONDS:
            self._after = SILENT_SECONDS


def _silent(progress: Status, seconds: float) -> str:
    ago = counted(int(seconds // 60), "minute") if seconds < 7200 else counted(int(seconds // 3600), "hour")
    return f"no table completed for {ago}; if the run's tasks have ended, resume with: {_resume(progress)}"


def _resume(progress: Status) -> str:
    return progress.resume or words().call("run", {"run_id": progress.run})


def _progress(dataset: DatasetStatus) -> str:
    """The state of a dataset, and its tables."""
    parts: list[str] = [dataset.state]
    if dataset.tables or not (dataset.reused or dataset.carried):
        parts.append(f"{dataset.done} of {counted(dataset.tables, 'table')} done")
    parts += [f"{dataset.reused:,} unchanged"] if dataset.reused else []
    parts += [f"{dataset.carried:,} carried over"] if dataset.carried else []
    parts += [f"{len(dataset.failed)} failed"] if dataset.failed else []
    return ", ".join(parts)


def _proven(found: Restorable) -> str:
    return f"proven restorable: {found.text(time.time())}"


def _lines(datasets: Sequence[DatasetStatus]) -> Iterator[str]:
    """Each dataset of a set. Where no drill has looked at any of them, the line about the set says so."""
    drilled = any(found and (found.proven or found.problem) for found in (dataset.restorable for dataset in datasets))
    for dataset in datasets:
        yield f"  {dataset.dataset}: {_progress(dataset)}"
        yield from (f"    {failure.table}: {failure.reason}: {failure.message}" for failure in dataset.failed)
        if dataset.problem and not dataset.failed:
            yield f"    {dataset.problem}"
        if drilled and dataset.restorable:
            yield f"    {_proven(dataset.restorable)}"


def _text(progress: Status) -> str:
    lines = [
        f"run {progress.run}: {progress.state}"
        + (f", {progress.dataset} as of {time_text(progress.snapshot_time)}" if progress.snapshot_time else "")
    ]
    if progress.tables:
        lines.append(
            f"  {progress.done} of {counted(progress.tables, 'table')} done, {progress.working} in progress, "
            f"{progress.waiting} waiting, {len(progress.failed)} failed; {size_text(progress.bytes)} in total"
        )
    lines += [f"  {progress.problem}"] if progress.problem else []
    lines += _lines(progress.datasets)
    lines += [
        f"  {dataset.dataset}: not in this set any more; its last export (run {dataset.run}, as of "
        f"{time_text(dataset.snapshot_time)}) stays"
        for dataset in progress.left
    ]
    if progress.reused:
        lines.append(f"  {unchanged_tables(progress.reused)}")
    if progress.oldest_snapshot_time:
        lines += [
            f"  {older}" for older in [mixed_times(progress.carried, time_text(progress.oldest_snapshot_time))] if older
        ]
    elif progress.carried:
        lines.append(f"  {counted(progress.carried, 'table')} carried over from earlier runs on publishing")
    lines += [f"  {failure.table}: {failure.reason}: {failure.message}" for failure in progress.failed]
    if progress.state == "failed":
        lines.append(f"  fix the cause, then resume with: {_resume(progress)}")
    if (seconds := progress.silence(time.time())) > SILENT_SECONDS:
        lines.append(f"  {_silent(progress, seconds)}")
    if progress.latest != progress.run:
        unseen = progress.latest_problem and f"cannot determine the published run: {progress.latest_problem}"
        unseen = unseen or "nothing has been published here yet"
        seen = f"the published run is {progress.latest}" + (
            ", with a later snapshot time" if progress.state == "superseded" else ""
        )
        lines.append(f"  {seen}" if progress.latest else f"  {unseen}")
    if progress.finish:
        lines.append(f"  {begun(progress.replaced_by, progress.finish)}")
    if progress.state in RESTORABLE and progress.restorable:
        lines.append(f"  {_proven(progress.restorable)}")
    return "\n".join(lines) + "\n"
