"""bqdump verify: compares the stored files with the manifest."""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import Any

import click

from bqdump import verbs
from bqdump.check.findings import Verified
from bqdump.cli.choices import as_of_option, run_name, run_of
from bqdump.cli.logs import as_json as logs_as_json
from bqdump.cli.logs import labels_of, set_up_work
from bqdump.cli.options import Command, finish, json_option, load_settings, quiet_option, settings_options
from bqdump.cli.output import print_json, print_table
from bqdump.cli.progress import Lines, error_line, following
from bqdump.cli.streams import tell
from bqdump.core.dealing import parts_to_read
from bqdump.core.documents.manifest_index import mixed_times
from bqdump.core.exit_codes import DONE
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted, size_text
from bqdump.core.times import time_text
from bqdump.repository.published import begun
from bqdump.services.opened import Services, serve
from bqdump.verbs.checks import code_of

log = logging.getLogger(__name__)

EVERYTHING = "100%"
# Differences that are logged one by one.
MOST_LOGGED = 100


@click.command(cls=Command, needs=("bucket",))
@click.argument("run", required=False, callback=run_name)
@as_of_option()
@click.option(
    "--read",
    "share",
    is_flag=False,
    flag_value=EVERYTHING,
    metavar="[=SHARE]",
    help="Also read and decode the files, and count their rows. =10%: one tenth of the files, a different one "
    "after each export, so that ten exports cover all files.",
)
@click.option(
    "--source",
    "with_source",
    is_flag=True,
    help="Read all files and compare rows and checksums of columns with BigQuery at the snapshot time, "
    "within time travel. BigQuery bills one query per table.",
)
@json_option(Verified)
@quiet_option
@settings_options("max_bytes_billed", "ping", "trust", "newest_within")
def verify(
    run: str | None,
    as_of: str | None,
    share: str | None,
    with_source: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Compare the files of RUN (default: the published run) with its manifest. Exits with 4 if they differ.

    \b
    Examples:
      bqdump verify --bucket my-exports
      bqdump verify bqdump-x7k2p --json
      bqdump verify --read=10%
      bqdump verify --source --max-bytes-billed 1TB
    """
    hint = f"Before the name of a run write --read={EVERYTHING}."
    parts = parts_to_read(share or "", source=with_source, hint=hint)
    settings = load_settings(options, ("bucket", "project") if with_source else ("bucket",))
    run = run_of(settings, run, as_of, quiet=quiet)
    in_a_job = logs_as_json()
    if in_a_job:
        set_up_work(labels_of(settings, task="0"), quiet=quiet)
    lines = Lines if in_a_job else partial(Lines, say=error_line)
    with following(quiet=quiet or as_json, bars=not in_a_job, lines=lines, stage="listing") as follower:
        check = partial(verbs.verify, run=run, parts=parts, tell=follower.hear)

        async def compare(services: Services) -> Verified:
            warehouse = services.warehouse if with_source else None
            return await check(services.store_at, settings, warehouse=warehouse, bill=_tell_bill)

        verified = finish(serve(settings, compare))
    if in_a_job:
        _log(settings, verified)
    if as_json:
        print_json(verified)
    elif in_a_job:
        return code_of(verified)
    elif not quiet or code_of(verified) != DONE:
        _print(verified)
    return code_of(verified)


def _log(settings: Settings, verified: Verified) -> None:
    """Log the result, as jobs do. What was found is a line each, up to a number of them."""
    run, about = verified.run, {"run": verified.run, "target": str(settings.target)}
    if code_of(verified) == DONE:
        files, size, done = counted(verified.files, "file"), size_text(verified.bytes), LogEvent.RUN_VERIFIED.extra()
        log.info("run %s is as its manifest says: %s, %s", run, files, size, extra=done | about)
        return
    failed = LogEvent.VERIFY_FAILED.extra() | about
    for found in verified.findings[:MOST_LOGGED]:
        text = f"{found.file or found.table}: {found.kind.value}: expected {found.expected}, found {found.found}"
        log.error("%s", text, extra=failed | {"table": found.table})
    for dataset in verified.datasets:
        if dataset.problem or not dataset.run:
            log.error("%s", dataset.problem or "it has no export", extra=failed | {"dataset": dataset.dataset})
    log.error("run %s: %s", run, counted(len(verified.findings), "difference"), extra=failed)


def _tell_bill(bytes_billed: int) -> None:
    if logs_as_json():
        billed = LogEvent.QUERY_BILLED.extra(bytes_billed=bytes_billed)
        log.info("BigQuery bills %s for this comparison", size_text(bytes_billed), extra=billed)
        return
    tell(f"BigQuery bills {size_text(bytes_billed)} for this comparison.")


def _print(verified: Verified) -> None:
    what = (
        f"run {verified.run}, the dataset as of {time_text(verified.snapshot_time)}: "
        f"{counted(verified.tables, 'table')}, {counted(verified.files, 'file')}, {size_text(verified.bytes)}"
    )
    if verified.datasets:
        print_table(
            ("dataset", "run", "differences", "note"),
            [
                (dataset.dataset, dataset.run, f"{dataset.findings:,}", dataset.problem or dataset.note)
                for dataset in verified.datasets
            ],
            right=(2,),
        )
        sys.stdout.write("\n")
    if verified.findings:
        print_table(
            ("what", "table", "file", "expected", "found"),
            [(f.kind.value, f.table, f.file, f.expected, f.found) for f in verified.findings],
        )
        sys.stdout.write("\n")
    sys.stdout.write(f"{what}\n")
    if older := mixed_times(verified.carried, time_text(verified.oldest_snapshot_time)):
        sys.stdout.write(f"{older[:1].upper()}{older[1:]}.\n")
    if verified.copied:
        sys.stdout.write("A copy of the export: its files have other generations, which were not compared.\n")
    if read := verified.read:
        some = f"{read.files:,} of {counted(verified.files, 'file')}"
        share = f" ({100 / read.parts:.2g}% a run)" if read.parts > 1 else ""
        sys.stdout.write(f"Read {some}{share}: {size_text(read.bytes)}, {counted(read.rows, 'row')}.\n")
    if source := verified.source:
        compared, billed = counted(source.tables, "table"), size_text(source.bytes_billed)
        sys.stdout.write(f"Compared {compared} with BigQuery, which billed {billed}.\n")
        if source.not_compared:
            sys.stdout.write(
                f"Not compared, as they were not read at the snapshot time: {', '.join(source.not_compared)}.\n"
            )
    _print_verdict(verified)


def _print_verdict(verified: Verified) -> None:
    if verified.findings:
        sys.stdout.write(f"{counted(len(verified.findings), 'difference')}.\n")
        if verified.finish:
            sys.stdout.write(f"{begun(verified.replaced_by, verified.finish)}\n")
    elif problems := sum(bool(dataset.problem) for dataset in verified.datasets):
        sys.stdout.write(f"{counted(problems, 'dataset')} with a problem; what was verified has no differences.\n")
    elif without := sum(not dataset.run for dataset in verified.datasets):
        sys.stdout.write(f"{counted(without, 'dataset')} without an export; what was verified has no differences.\n")
    elif verified.copied:
        sys.stdout.write("Every file is there, with its size and checksum.\n")
    else:
        sys.stdout.write("Every file is there, with its size, checksum and generation.\n")
