"""What bqdump does: one function for each verb, on ports that are open. The command line and the Python API call these.

A front end parses settings and arguments, opens the ports, and renders the result. A module here is imported when one
of its verbs is first used, so that a task of a run loads nothing that only other verbs need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bqdump.verbs.checks import doctor as doctor
    from bqdump.verbs.checks import ports_of as ports_of
    from bqdump.verbs.checks import verify as verify
    from bqdump.verbs.exports import Ended as Ended
    from bqdump.verbs.exports import Start as Start
    from bqdump.verbs.exports import plan as plan
    from bqdump.verbs.exports import run as run
    from bqdump.verbs.exports import run_one as run_one
    from bqdump.verbs.inspection import diff as diff
    from bqdump.verbs.inspection import growth as growth
    from bqdump.verbs.inspection import ls as ls
    from bqdump.verbs.inspection import manifest as manifest
    from bqdump.verbs.inspection import previous_run as previous_run
    from bqdump.verbs.inspection import report as report
    from bqdump.verbs.inspection import run_as_of as run_as_of
    from bqdump.verbs.inspection import runs as runs
    from bqdump.verbs.inspection import sql as sql
    from bqdump.verbs.inspection import status as status
    from bqdump.verbs.restores import drill as drill
    from bqdump.verbs.restores import list_restores as list_restores
    from bqdump.verbs.restores import plan_drill as plan_drill
    from bqdump.verbs.restores import plan_restore as plan_restore
    from bqdump.verbs.restores import restore as restore
    from bqdump.verbs.restores import restore_task as restore_task
    from bqdump.verbs.retention import copy as copy
    from bqdump.verbs.retention import erase as erase
    from bqdump.verbs.retention import prune as prune
    from bqdump.verbs.retention import tag as tag

VERBS = {
    "checks": "doctor ports_of verify",
    "exports": "Ended Start plan run run_one",
    "inspection": "diff growth ls manifest previous_run report run_as_of runs sql status",
    "restores": "drill plan_drill plan_restore restore restore_task list_restores",
    "retention": "copy erase prune tag",
}
_MODULES = {name: module for module, names in VERBS.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
