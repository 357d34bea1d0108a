"""bqdump restores: lists restores, and ends one."""

from __future__ import annotations

import sys
from typing import Any

import click

from bqdump import verbs
from bqdump.cli.logs import set_up_work
from bqdump.cli.options import Command, finish, json_option, load_settings, quiet_option, settings_options
from bqdump.cli.output import print_json, print_table
from bqdump.core.restore.listing import AbortedRestore, RestoreList
from bqdump.core.restore.request import parse_via
from bqdump.core.sizes import counted, named, size_text
from bqdump.core.times import time_text
from bqdump.services.opened import serve

SHOWN = 5


@click.command(cls=Command, needs=("bucket",))
@click.option(
    "--abort",
    metavar="RESTORE",
    default="",
    help="End this restore; delete its jobs, scratch tables, uploads and documents.",
)
@click.option("--via", metavar="gs://BUCKET[/PREFIX]", default="", help="Bucket for the restores' documents.")
@json_option(RestoreList)
@quiet_option
@settings_options("abandoned_after")
def restores(abort: str, via: str, quiet: bool, as_json: bool, **options: Any) -> None:
    """List the restores of an export: running, stopped (the same command resumes), abandoned, or done.

    \b
    Examples:
      bqdump restores --bucket my-exports
      bqdump restores --bucket my-exports --abort 0123456789ab-1
    """
    if abort:
        set_up_work({}, quiet=quiet)
    settings = load_settings(options, ("bucket",))
    through = parse_via(via)
    shown = finish(serve(settings, lambda services: verbs.list_restores(services, settings, through, abort)))
    if as_json:
        print_json(shown)
    elif not quiet:
        _print(shown)


def _print(shown: RestoreList) -> None:
    if shown.aborted:
        _print_aborted(shown.aborted)
    if not shown.restores:
        sys.stdout.write("No restores.\n" if not shown.damaged else "")
        _print_damaged(shown)
        return
    print_table(
        ("restore", "state", "run", "into", "began", "last change", "restored", "failed"),
        [
            (
                restore.restore,
                restore.state,
                f"{restore.source}/{restore.run}" if restore.source else restore.run,
                f"{restore.project}.{restore.dataset}",
                time_text(restore.began),
                time_text(restore.changed) if restore.changed else "?",
                f"{restore.restored:,}",
                f"{len(restore.failed):,}",
            )
            for restore in shown.restores
        ],
        right=(6, 7),
    )
    _print_damaged(shown)


def _print_damaged(shown: RestoreList) -> None:
    for restore, problem in sorted(shown.damaged.items()):
        sys.stdout.write(f"Restore {restore} cannot be listed: {problem}\n")


def _print_aborted(done: AbortedRestore) -> None:
    jobs, tables = counted(done.jobs, "job"), counted(done.tables, "scratch table")
    files, documents = counted(done.files, "file"), counted(done.documents, "document")
    size = f" ({size_text(done.bytes)})" if done.files else ""
    sys.stdout.write(f"Ended {done.restore}: {jobs} cancelled; {tables}, {files}{size} and {documents} deleted.\n")
    if done.begun:
        which = named(done.begun, SHOWN, "table")
        sys.stdout.write(f"It had begun {which}: delete what is empty there, or restore it with --missing-only.\n")
    if done.restored:
        which = named(done.restored, SHOWN, "table")
        lacking = "perhaps without foreign keys, row access policies and expirations, which are set last"
        sys.stdout.write(f"It had restored {which}, {lacking}. To set them, restore with --replace.\n")
    if done.left:
        sys.stdout.write(f"Left, as the restore has not named it: {named(done.left, SHOWN, 'object')}.\n")
    sys.stdout.write("\n")
