"""bqdump run: this task's part of an export, and its publication once all tasks are done."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from bqdump import verbs
from bqdump.cli.choices import included, tables_from_option
from bqdump.cli.errors import words
from bqdump.cli.logs import as_json as logs_as_json
from bqdump.cli.logs import set_up_work, work_shown
from bqdump.cli.options import (
    ALL,
    Command,
    finish,
    flags_given,
    json_option,
    load_settings,
    quiet_option,
    settings_options,
)
from bqdump.cli.output import json_text
from bqdump.cli.signals import until_signal
from bqdump.cli.streams import OutputError, silence
from bqdump.core.documents.run import Owner
from bqdump.core.errors import UsageError
from bqdump.core.exit_codes import DONE
from bqdump.core.progress.events import Listener, Stage
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.retention.policy import refuse_idle, refuse_short
from bqdump.core.settings.settings import BY_NAME, REQUIRED, RETENTION, Settings
from bqdump.core.settings.target import Target
from bqdump.core.settings.task_identity import identify
from bqdump.core.sizes import counted, size_text
from bqdump.core.times import rfc3339, time_text
from bqdump.services.opened import opened
from bqdump.services.process import owner, run_id

if TYPE_CHECKING:
    from bqdump.core.progress.export import Export
    from bqdump.export.act import TaskResult

log = logging.getLogger(__name__)
STANDING_MS = 12 * 3_600_000


@click.command(cls=Command, needs=REQUIRED)
@click.option("--yes", is_flag=True, help="With --prune: delete even if the rules keep less than a day of runs.")
@json_option("bqdump.core.progress.export.Export", "Print the result as JSON, and log lines to standard error.")
@quiet_option
@tables_from_option("BQDUMP_TABLES_FROM")
@settings_options(*ALL)
def run(yes: bool, quiet: bool, as_json: bool, tables_from: str | None, **options: Any) -> int:
    """Export the dataset: alone, or as one task of many (Cloud Run, Kubernetes, Google Batch, AWS Batch).

    \b
    Examples:
      bqdump run --project my-project --dataset sales --bucket my-exports
      bqdump run --format parquet --compression zstd --prefix nightly
      bqdump run --run-id 20260131T030000Z
      bqdump run --dataset 'sales,ops_*' --bucket my-exports
      bqdump run --json 2>log | jq -r .manifest
    """
    set_up_work({}, quiet=quiet)
    settings = included(load_settings(options), tables_from)
    refuse_idle(flags_given(options), settings)
    refuse_short(settings, yes=yes)
    identity = identify(os.environ)
    name = run_id(settings, identity)
    labels = {"run": name, "task": str(identity.task), "dataset": settings.dataset}
    me = owner(identity, name)
    with work_shown(labels, quiet=quiet) as follower:
        tell_unused_rules(settings)
        tell_new_folder(settings.target)
        attempt = identity.attempt if identity.engine else None
        work = _run(settings, name, me, identity.tasks, follower.hear, attempt, as_json=as_json)
        again = words().call("run", {"run_id": name})
        late: dict[Stage, str] = {
            "publishing": f"Run {name} is exported, but not published. To publish it: {again}",
            "finishing": f"Run {name} is published. To finish its report and cleanup: {again}",
            "published": f"Run {name} is published.{f' To prune: {again}' if settings.prune else ''}",
        }
        done = finish(until_signal(work, f"To resume run {name}: {again}", follower, late))
    if as_json:
        _print(json_text(done.export))
    elif done.sentence and not quiet:
        _print(done.sentence)
    return DONE


class Done(NamedTuple):
    """How a run ended. sentence: what it published, where that is printed instead of logged, else ""."""

    export: Export | None
    sentence: str


def tell_new_folder(target: Target) -> None:
    """Tell that a target whose name could be that of a bucket is a local folder, before the first export into it."""
    if target.folder and not target.folder.startswith((".", "/", "~")) and not Path(target.folder).exists():
        message = "%s is a new local folder; a bucket is written gs://BUCKET/PREFIX"
        log.info(message, target, extra=LogEvent.FOLDER_CREATED.extra())


def tell_unused_rules(settings: Settings) -> None:
    """Tell of variables that would only matter if the run pruned. `bqdump prune` may use them, so they are no error."""
    named = [BY_NAME[name].env for name in RETENTION if BY_NAME[name].env in os.environ]
    if named and not settings.prune:
        message = "no effect on this run, which does not prune (%s): %s"
        log.info(message, BY_NAME["prune"].env, ", ".join(named), extra=LogEvent.RULES_UNUSED.extra())


def _print(result: str) -> None:
    """Print the result. The exit code is about the export, so that a scheduler does not start it once more."""
    try:
        sys.stdout.write(result + "\n")
        sys.stdout.flush()
    except (OSError, OutputError) as error:
        message = "the export is done, but its result could not be printed: %s"
        log.warning(message, error, extra=LogEvent.RESULT_NOT_PRINTED.extra())
        silence(sys.stdout)


async def _run(
    settings: Settings, name: str, me: Owner, tasks: int, tell: Listener, attempt: int | None, *, as_json: bool
) -> Done:
    async with opened(settings, tasks, patient=True) as services:
        ended = await verbs.run(services, verbs.Start(settings, name, me, tasks, tell, attempt))
        if not isinstance(ended, verbs.Ended):
            return Done(ended.whole, _tell_set(settings, ended.whole, as_json=as_json))
        sentence = _tell(settings, ended.result, as_json=as_json)
        _refuse_standing_id(ended.result, me)
        return Done(await ended.export() if as_json else None, sentence)


def _published(message: str, *values: object, extra: Mapping[str, object], as_json: bool) -> str:
    """Log what was published where lines or the result are JSON; elsewhere, the sentence to print is the result."""
    if as_json or logs_as_json():
        log.info(message, *values, extra=extra)
        return ""
    return message % values


def _tell_set(settings: Settings, export: Export, *, as_json: bool) -> str:
    if export.state == "superseded":
        message = "run %s was not published: %s has a set with a later snapshot time"
        log.warning(message, export.run, settings.target, extra=LogEvent.RUN_SUPERSEDED.extra())
    elif export.state == "published":
        datasets, tables = counted(len(export.datasets), "dataset"), counted(export.tables, "table")
        files, size = counted(export.files, "file"), size_text(export.bytes)
        done = LogEvent.RUN_DONE.extra(target=str(settings.target))
        message = "done: %s with %s in %s, %s, as of %s, in %s"
        as_of, where = time_text(export.snapshot_time), export.manifest
        return _published(message, datasets, tables, files, size, as_of, where, extra=done, as_json=as_json)
    return ""


def _tell(settings: Settings, result: TaskResult, *, as_json: bool) -> str:
    target, sentence = settings.target, ""
    as_of = rfc3339(result.plan.snapshot)
    if result.state == "superseded":
        message = "run %s was not published: %s has an export with a later snapshot time"
        log.warning(message, result.plan.run, target, extra=LogEvent.RUN_SUPERSEDED.extra())
    elif result.state == "published" and result.totals:
        totals = result.totals
        named = (f"{totals.reused:,} unchanged", totals.reused), (f"{totals.carried:,} carried over", totals.carried)
        kept = ", ".join(words for words, number in named if number)
        kept = f" ({kept})" if kept else ""
        tables, files = counted(totals.tables, "table"), counted(totals.files, "file")
        done = LogEvent.RUN_DONE.extra(target=str(target), bytes_billed=totals.billed)
        message = "done: %s%s in %s, %s, the dataset as of %s, in %s"
        size = size_text(totals.bytes)
        sentence = _published(message, tables, kept, files, size, as_of, target.named, extra=done, as_json=as_json)
    for failure in result.failed:
        missing = LogEvent.TABLE_MISSING.extra(table=failure.table)
        log.warning("%s is not part of this export: %s", failure.table, failure.message, extra=missing)
    return sentence


def _refuse_standing_id(result: TaskResult, me: Owner) -> None:
    """Raise UsageError where a run id that names an old run keeps a schedule from exporting anything.

    Repeating or resuming a run that is published by now is not an error; it happens within hours.
    """
    again, run = result.again, result.plan.run
    if again is None or time.time() * 1000 - again.ended < STANDING_MS:
        return
    cause = f"run {run} was published already (exported at {rfc3339(again.ended)}), so nothing was exported"
    hint = "Leave BQDUMP_RUN_ID and --run-id out, or give each run an id of its own."
    if not again.same:
        raise UsageError("run", f"run_id {run}", cause, hint)
    if me.execution == run:
        # The execution has no other name, so this may as well be a later one.
        log.warning("%s. %s", cause, hint, extra=LogEvent.NOTHING_EXPORTED.extra())
