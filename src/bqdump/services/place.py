"""This process's place in a run: the run's name, and the owner of what this process claims."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from bqdump.core.documents.run import Owner
from bqdump.core.errors import UsageError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.task_identity import Identity


def run_id(settings: Settings, identity: Identity) -> str:
    """The run's name: as set, else the execution's, else the UTC time. Raises UsageError where tasks would disagree."""
    if settings.run_id:
        return settings.run_id
    if identity.execution:
        return identity.execution
    if identity.engine:
        cause = f"{identity.engine} has no name that all its tasks share"
        hint = "Set BQDUMP_RUN_ID to the same value for all tasks of this run, such as the job's id."
        raise UsageError("read the settings", "", cause, hint, setting="run_id")
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}Z"


def owner(identity: Identity, run: str) -> Owner:
    """The identity of this process for other tasks. Without an engine, each process is its own execution."""
    alone = f"{run}-{secrets.token_hex(4)}"
    execution = identity.execution or (run if identity.engine else alone)
    return Owner(execution, identity.task)
