"""bqdump doctor: checks whether a run can succeed, and prints what to grant or set."""

from __future__ import annotations

import sys
from typing import Any

import click

from bqdump import verbs
from bqdump.check.doctor.checks import CheckOutcome
from bqdump.cli.errors import words
from bqdump.cli.options import ALL, Command, finish, json_option, load_settings, settings_options
from bqdump.cli.output import print_json, print_table
from bqdump.core.errors import UsageError
from bqdump.core.exit_codes import DENIED_OR_NOT_FOUND, DONE, USAGE
from bqdump.core.settings.resolve import required_to_check
from bqdump.core.settings.settings import REQUIRED
from bqdump.core.sizes import counted
from bqdump.diagnosis import Cure, Diagnosis
from bqdump.services.opened import serve

LACKING = (CheckOutcome.DENIED, CheckOutcome.MISSING)


@click.command(cls=Command, needs=REQUIRED)
@json_option(Diagnosis)
@click.option(
    "--service-account",
    default="",
    metavar="EMAIL",
    help="Account that the printed commands grant to (default: that of `bqdump render iam`).",
)
@settings_options(*ALL)
def doctor(as_json: bool, service_account: str, **options: Any) -> int:
    """Check permissions and risks before a run, without exporting.

    Writes and deletes two objects below _bqdump/doctor/. For s3://, checks what a copy needs. Exits with 5 for a
    missing permission, 2 for another reason to refuse.

    \b
    Examples:
      bqdump doctor --project my-project --dataset sales --bucket my-exports
      bqdump doctor --json
    """
    settings = load_settings(options, required_to_check)
    if service_account and "@" not in service_account:
        hint = "Write its address, such as bqdump@my-project.iam.gserviceaccount.com."
        raise UsageError("check", f"--service-account {service_account}", "it is not an address", hint)
    diagnosis = finish(serve(settings, lambda services: verbs.doctor(services, settings, service_account, words())))
    if as_json:
        print_json(diagnosis)
    else:
        _print(diagnosis, "copy" if settings.target.holds_copies else "run")
    if diagnosis.verdict in LACKING:
        return DENIED_OR_NOT_FOUND
    return USAGE if diagnosis.verdict is CheckOutcome.REFUSED else DONE


def _print(diagnosis: Diagnosis, what: str) -> None:
    print_table(
        ("", "check", "on", "found"),
        [(check.outcome.value, check.name, check.on, check.detail) for check in diagnosis.checks],
    )
    by_commands: dict[str, list[Cure]] = {}
    for cure in diagnosis.cures:
        by_commands.setdefault("\n".join(cure.commands), []).append(cure)
    for lines, cures in by_commands.items():
        lacking = ", ".join(cure.permission for cure in cures)
        sys.stdout.write(f"\n# {lacking}: {cures[0].role} on {cures[0].on}\n{lines}\n")
    bad = [check for check in diagnosis.checks if check.outcome in (*LACKING, CheckOutcome.REFUSED)]
    sys.stdout.write(f"\n{counted(len(bad), 'check')} would stop a {what}.\n" if bad else f"\nA {what} can start.\n")
