"""The doctor's findings, and how to fix them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from bqdump.check.doctor.checks import Check, CheckOutcome
from bqdump.check.doctor.examine import READS, examine, examine_copies
from bqdump.core.results import Result, public, rows_of
from bqdump.core.settings.settings import Settings
from bqdump.core.wording import PYTHON, Words
from bqdump.export.task import ReadRoute
from bqdump.ports.store import ObjectStore
from bqdump.ports.warehouse import Warehouse
from bqdump.render.deployment import Deployment
from bqdump.render.iam import commands, grant_of

EMULATORS = ("BIGQUERY_EMULATOR_HOST", "STORAGE_EMULATOR_HOST")


@public
class Cure(msgspec.Struct, frozen=True):
    """How to fix a check: the smallest role with the permission, the resource, and the commands that grant it."""

    permission: str
    role: str
    on: str
    commands: list[str]


# From the best outcome to the worst.
SEVERITY = [
    CheckOutcome.OK,
    CheckOutcome.UNTRIED,
    CheckOutcome.WARNING,
    CheckOutcome.REFUSED,
    CheckOutcome.MISSING,
    CheckOutcome.DENIED,
]


@public
class Diagnosis(Result, frozen=True, kw_only=True):
    """The output of `bqdump doctor --json` and result of `bqdump.doctor`. verdict: the worst outcome."""

    verdict: CheckOutcome
    project: str
    dataset: str
    target: str
    checks: list[Check]
    cures: list[Cure]

    def to_dicts(self) -> list[dict[str, Any]]:
        """The checks as dictionaries, for `pandas.DataFrame` or `polars.DataFrame`."""
        return rows_of(self.checks)


async def diagnose(
    store: ObjectStore,
    warehouse: Warehouse,
    open_read_route: Callable[[], ReadRoute],
    settings: Settings,
    service_account: str = "",
    words: Words = PYTHON,
) -> Diagnosis:
    """Every check of the doctor.

    words: how checks name settings.
    service_account: the grantee in the commands ("": that of the deployment).

    Raises only for temporary problems, such as a service that does not respond.
    """
    examined = await examine(store, warehouse, open_read_route, settings, time.time, words)
    return _diagnosis(settings, [*environment(os.environ), *examined], service_account)


async def diagnose_copies(store: ObjectStore, settings: Settings, words: Words = PYTHON) -> Diagnosis:
    """The same for a place that holds copies only. Nothing there is granted with commands of Google Cloud."""
    return _diagnosis(settings, await examine_copies(store, settings, words), "")


def diagnose_together(settings: Settings, diagnoses: Sequence[Diagnosis]) -> Diagnosis:
    """One diagnosis of several datasets: each check and each cure once."""
    checks = list(dict.fromkeys(check for diagnosis in diagnoses for check in diagnosis.checks))
    cures = {(cure.permission, tuple(cure.commands)): cure for diagnosis in diagnoses for cure in diagnosis.cures}
    return Diagnosis(
        verdict=max((diagnosis.verdict for diagnosis in diagnoses), key=SEVERITY.index, default=CheckOutcome.OK),
        project=settings.project,
        dataset=settings.dataset,
        target=str(settings.target),
        checks=checks,
        cures=list(cures.values()),
    )


def environment(environ: Mapping[str, str]) -> list[Check]:
    """Whether the clients connect to Google: emulator variables point them elsewhere."""
    led = [name for name in EMULATORS if environ.get(name)]
    if not led:
        return [Check("environment", "", CheckOutcome.OK, "the clients connect to Google Cloud")]
    if len(led) == 1:
        detail = f"{led[0]} redirects one client only, the other one connects to Google: set both variables or none"
        return [Check("environment", led[0], CheckOutcome.REFUSED, detail)]
    return [
        Check(
            "environment", ", ".join(led), CheckOutcome.WARNING, "the clients connect to stand-ins, not to Google Cloud"
        )
    ]


def _diagnosis(settings: Settings, checks: list[Check], service_account: str) -> Diagnosis:
    lacking = dict.fromkeys(check.permission for check in checks if check.outcome is CheckOutcome.DENIED)
    lacking |= dict.fromkeys(
        check.permission for check in checks if check.outcome is CheckOutcome.WARNING and check.permission
    )
    deployment = Deployment(settings=settings, region="", service_account=service_account, read_route=READS in lacking)
    grants = {permission: grant for permission in lacking if (grant := grant_of(deployment, permission))}
    return Diagnosis(
        verdict=max((check.outcome for check in checks), key=SEVERITY.index),
        project=settings.project,
        dataset=settings.dataset,
        target=str(settings.target),
        checks=checks,
        cures=[Cure(permission, role.role, role.on, commands(role)) for permission, role in grants.items()],
    )
