"""This process's place in a run: the run's name, and the owner of what this process claims.

The file of settings.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bqdump.core.documents.document import RUN_ID
from bqdump.core.documents.run import Owner
from bqdump.core.errors import UsageError, open_files_error, out_of_files
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


# The name that tasks of a command without a run id share where their engine has none.
EXECUTION = "BQDUMP_EXECUTION"


def owner_of_command(identity: Identity, environ: Mapping[str, str], command: str) -> Owner:
    """This process among the tasks of a command. Raises UsageError where these have no name in common."""
    shared = environ.get(EXECUTION, "")
    if identity.engine and not identity.execution and identity.tasks > 1 and not shared:
        cause = f"{identity.engine} has no name that all its tasks share"
        raise UsageError(command, "", cause, f"Set {EXECUTION} to the same value for all tasks of this job.")
    if shared and not RUN_ID.fullmatch(shared):
        raise UsageError(command, EXECUTION, "expected up to 100 letters, digits, - and _")
    return Owner(shared, identity.task) if shared else owner(identity, command)


CONFIG = "bqdump.toml"
# By how a message about invalid TOML begins.
TOML_HINTS = {
    "Invalid value": 'Write text in quotes, such as format = "csv".',
    "Illegal character": 'Close the quotes in the same line, such as format = "csv".',
    "Cannot overwrite": "Remove one of the two lines that set it.",
    "Expected '='": 'Write each setting as format = "csv".',
    "Invalid statement": 'Write each setting as format = "csv".',
}


def read_config(file: str | None) -> dict[str, Any]:
    """The content of the settings file; nothing without one. Raises UsageError."""
    path = Path(file or CONFIG)
    if not file and not path.exists():
        return {}
    import tomllib

    from bqdump.core.settings.file import refuse_single_run

    try:
        # Editors of Windows write a mark before the first line.
        values = tomllib.loads(path.read_text("utf-8-sig"))
    except UnicodeDecodeError as error:
        cause = f"it is not valid UTF-8 (byte {error.start + 1})"
        raise UsageError("read the settings", str(path), cause, "Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        hint = next((hint for begin, hint in TOML_HINTS.items() if str(error).startswith(begin)), "")
        raise UsageError("read the settings", str(path), f"invalid TOML: {error}", hint) from None
    except OSError as error:
        if out_of_files(error):
            raise open_files_error("read", str(path)) from None
        hint = "Write one: {call:init}" if isinstance(error, FileNotFoundError) else "Name a file of settings."
        raise UsageError("read the settings", str(path), error.strerror or str(error), hint, setting="config") from None
    refuse_single_run(values, str(path))
    return values
