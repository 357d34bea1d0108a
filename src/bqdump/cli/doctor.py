"""bqdump doctor: whether a run can succeed here, and what to grant or set where it cannot."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import click
import msgspec

from bqdump.cli.exit_codes import DENIED_OR_NOT_FOUND, DONE, USAGE
from bqdump.cli.options import json_option, load_settings, settings_options
from bqdump.cli.output import print_json, print_table
from bqdump.cli.wiring import open_services
from bqdump.core.settings import Settings
from bqdump.core.sizes import counted
from bqdump.flow.doctor import Check, Doctor, Outcome
from bqdump.render.deployment import Deployment
from bqdump.render.iam import commands, grant_of

EMULATORS = ("BIGQUERY_EMULATOR_HOST", "STORAGE_EMULATOR_HOST")
LACKING = (Outcome.DENIED, Outcome.MISSING)


class Cure(msgspec.Struct, frozen=True):
    """What mends a check: the least role that gives the permission, on what, and the commands that grant it."""

    permission: str
    role: str
    on: str
    commands: list[str]


class Diagnosis(msgspec.Struct, frozen=True):
    """What `bqdump doctor --json` prints. verdict: the worst that was found."""

    verdict: Outcome
    project: str
    dataset: str
    bucket: str
    prefix: str
    checks: list[Check]
    cures: list[Cure]


@click.command()
@json_option(Diagnosis)
@click.option(
    "--service-account", default="", metavar="EMAIL",
    help="Whom the printed commands grant to (default: the account that `bqdump render iam` makes).",
)  # fmt: skip
@settings_options
def doctor(as_json: bool, service_account: str, **options: Any) -> int:
    """Try every right that a run needs, and look for everything that would refuse it, without exporting.

    It writes two small objects below _bqdump/doctor/ and removes them. Exit 5 where a right is missing, 2 where a run
    would be refused for another reason.

    \b
    Examples:
      bqdump doctor --project my-project --dataset sales --bucket my-exports
      bqdump doctor --json
    """
    settings = load_settings(options)
    checks = [*_environment(os.environ), *asyncio.run(_examine(settings))]
    diagnosis = _diagnosis(settings, checks, service_account)
    if as_json:
        print_json(diagnosis)
    else:
        _print(diagnosis)
    return {Outcome.DENIED: DENIED_OR_NOT_FOUND, Outcome.MISSING: DENIED_OR_NOT_FOUND,
            Outcome.REFUSED: USAGE}.get(diagnosis.verdict, DONE)  # fmt: skip


async def _examine(settings: Settings) -> list[Check]:
    services = open_services(settings, 1)
    try:
        return await Doctor(services.store, services.warehouse, settings, time.time).examine()
    finally:
        await services.close()


def _environment(environ: Mapping[str, str]) -> list[Check]:
    """Whether Google itself is asked: variables of emulators lead the clients elsewhere."""
    led = [name for name in EMULATORS if environ.get(name)]
    if not led:
        return [Check("environment", "", Outcome.OK, "Google Cloud is asked")]
    if len(led) == 1:
        told = f"{led[0]} leads one half elsewhere, and the other half asks Google: set both variables or none"
        return [Check("environment", led[0], Outcome.REFUSED, told)]
    return [Check("environment", ", ".join(led), Outcome.WARNING, "stand-ins are asked, not Google Cloud")]


def _diagnosis(settings: Settings, checks: list[Check], service_account: str) -> Diagnosis:
    deployment = Deployment(settings=settings, region="", service_account=service_account)
    lacking = dict.fromkeys(check.permission for check in checks if check.outcome is Outcome.DENIED)
    lacking |= dict.fromkeys(
        check.permission for check in checks if check.outcome is Outcome.WARNING and check.permission
    )
    grants = {permission: grant for permission in lacking if (grant := grant_of(deployment, permission))}
    severity = [Outcome.OK, Outcome.UNTRIED, Outcome.WARNING, Outcome.REFUSED, Outcome.MISSING, Outcome.DENIED]
    return Diagnosis(
        verdict=max((check.outcome for check in checks), key=severity.index),
        project=settings.project,
        dataset=settings.dataset,
        bucket=settings.bucket,
        prefix=settings.prefix,
        checks=checks,
        cures=[Cure(permission, one.role, one.on, commands(one)) for permission, one in grants.items()],
    )


def _print(diagnosis: Diagnosis) -> None:
    print_table(
        ("", "check", "on", "found"),
        [(check.outcome.value, check.name, check.on, check.told) for check in diagnosis.checks],
    )
    by_commands: dict[str, list[Cure]] = {}
    for cure in diagnosis.cures:
        by_commands.setdefault("\n".join(cure.commands), []).append(cure)
    for lines, cures in by_commands.items():
        wanted = ", ".join(cure.permission for cure in cures)
        sys.stdout.write(f"\n# {wanted}: {cures[0].role} on {cures[0].on}\n{lines}\n")
    bad = [check for check in diagnosis.checks if check.outcome in (*LACKING, Outcome.REFUSED)]
    sys.stdout.write(f"\n{counted(len(bad), 'check')} would stop a run.\n" if bad else "\nA run can start.\n")
