"""bqdump copy: copies runs to another place."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any

import click

from bqdump import verbs
from bqdump.cli.errors import words
from bqdump.cli.logs import as_json as logs_as_json
from bqdump.cli.logs import labels_of, set_up_work, work_shown
from bqdump.cli.options import Command, finish, flags_given, json_option, load_settings, quiet_option, settings_options
from bqdump.cli.output import print_json, print_table
from bqdump.cli.signals import Endings, until_stopped
from bqdump.cli.streams import tell
from bqdump.core.copy.plan import RULES, STORAGE_CLASSES, Copied, CopiedRun, requested_copy
from bqdump.core.exit_codes import DONE, TABLES_FAILED
from bqdump.core.settings.task_identity import identify
from bqdump.core.sizes import counted, size_text
from bqdump.core.times import time_text
from bqdump.services.process import owner_of_command

RESUME = "Repeat the command to resume the copy."
REPEATED = Endings(RESUME, RESUME, jobs=False)
STATES = {"there": "there before", "missing": "would be copied"}


@click.command(cls=Command, needs=("bucket",))
@click.argument("dest")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--all", "every", is_flag=True, help="Copy all complete runs.")
@click.option(
    "--storage-class",
    metavar="CLASS",
    default="",
    help=f"Storage class of the copied files in Cloud Storage: {', '.join(STORAGE_CLASSES)}.",
)
@click.option("--digest", is_flag=True, help="Between buckets, also read each file for its SHA-256.")
@click.option(
    "--lock",
    metavar="DURATION",
    default="",
    help="Lock all objects for this time, such as 35d.",
)
@click.option(
    "--lock-mode",
    metavar="MODE",
    default="",
    help="governance (default), or compliance: no account can end locks earlier.",
)
@click.option(
    "--limit",
    metavar="SIZE",
    default="",
    help="Bytes of files read per second, such as 50MB, by all tasks together. Not between buckets of Cloud Storage.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be copied.")
@json_option(Copied, "Print the result as JSON, and log lines to standard error.")
@quiet_option
@settings_options(*RULES, "kms_key", "ping", "sign", "trust")
def copy(
    dest: str,
    runs: tuple[str, ...],
    every: bool,
    storage_class: str,
    digest: bool,
    lock: str,
    lock_mode: str,
    limit: str,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Copy RUN (default: the published run) to DEST: gs://BUCKET/PREFIX, s3://BUCKET/PREFIX or a folder.

    Every command works on the copy. Only missing files are copied, and compared with the manifest. Repeat the command
    to resume it. Exits with 3 if runs cannot be copied or trusted.

    \b
    Examples:
      bqdump copy gs://my-second-bucket/sales --bucket my-exports
      bqdump copy s3://my-bucket/sales --bucket my-exports
      bqdump copy /mnt/backup/sales --limit 50MB
      bqdump copy gs://my-archive/sales --all --storage-class ARCHIVE
      bqdump copy gs://my-second-bucket/sales --keep-daily 7 --keep-monthly 12
    """
    settings = load_settings(options, ("bucket",))
    request = requested_copy(
        settings,
        dest,
        runs,
        [name for name in flags_given(options) if name in RULES],
        every=every,
        storage_class=storage_class,
        digests=digest,
        dry=dry_run,
        lock=lock,
        lock_mode=lock_mode,
        limit=limit,
    )
    identity = identify(os.environ)
    me = owner_of_command(identity, os.environ, "copy")
    labels = labels_of(settings, task=str(identity.task))
    set_up_work(labels, quiet=quiet or dry_run)
    with work_shown(labels, quiet=quiet or dry_run) as follower:
        work = verbs.copy(settings, request, me, follower.hear, identity.tasks)
        result = finish(until_stopped(work, follower, REPEATED))
    if as_json:
        print_json(result)
    elif not (quiet or logs_as_json()):
        _print(result, request.target.named)
        if result.copied and not request.target.prefix and words().place("prefix") != "--prefix":
            # With the prefix of a variable or a file, other commands would look for the copy below it.
            sys.stdout.write(f"To use the copy, name it with --to {shlex.quote(dest)} --prefix ''.\n")
    else:
        for run in result.not_copied:
            of = f" of {run.dataset}" if run.dataset else ""
            what = "was not copied" if run.state == "not copied" else "is there, and not trusted"
            tell(f"bqdump: run {run.run}{of} {what}: {run.problem}")
    return TABLES_FAILED if result.not_copied else DONE


def _print(result: Copied, where: str) -> None:
    of_set, locked = any(run.dataset for run in result.runs), any(run.locked_until for run in result.runs)
    rows = [(*((run.dataset,) if of_set else ()), *_row(run, locked=locked)) for run in result.runs]
    sizes = "files", "size", "moved", "bytes moved"
    heads = (
        *(("dataset",) if of_set else ()),
        "run",
        "as of",
        "state",
        *sizes,
        *(("locked until",) if locked else ()),
        "",
    )
    print_table(heads, rows, right=tuple(at + of_set for at in (3, 4, 5, 6)))
    moved = f"{counted(result.files, 'file')}, {size_text(result.bytes)}"
    leaving = f"; {size_text(result.egress)} between locations" if result.egress else ""
    if result.copied:
        sys.stdout.write(f"Copied {moved} to {where}{leaving}.\n")
    else:
        asked = f"{moved}, with about {counted(result.requests, 'request')}"
        sys.stdout.write(f"Would copy {asked} to {where}{leaving}. Nothing was copied.\n")


def _row(run: CopiedRun, *, locked: bool) -> tuple[str, ...]:
    until = (time_text(run.locked_until),) if locked else ()
    if run.state == "not copied":
        return (run.run, "", run.state, "", "", "", "", *until, run.problem)
    taken = time_text(run.snapshot_time) if run.snapshot_time else ""
    sizes = f"{run.files:,}", size_text(run.bytes), f"{run.moved_files:,}", size_text(run.moved_bytes)
    return (run.run, taken, STATES.get(run.state, run.state), *sizes, *until, run.problem)
