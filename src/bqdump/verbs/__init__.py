"""What bqdump does: one function for each verb, on ports that are open. The command line and the Python API call these.

A front end parses settings and arguments, opens the ports, and renders the result. Each verb imports its packages when
it is called, so that a task of a run loads nothing that only other verbs need.
"""

from bqdump.verbs.checks import check_service, doctor, ports_of, propose_check, verify
from bqdump.verbs.copies import copy
from bqdump.verbs.exports import Ended, plan, run, run_one
from bqdump.verbs.inspection import diff, growth, ls, manifest, previous_run, report, run_as_of, runs, sql, status
from bqdump.verbs.restores import drill, plan_drill, plan_restore, restore, restore_tasks
from bqdump.verbs.retention import prune, tag

__all__ = [
    "Ended",
    "check_service",
    "copy",
    "diff",
    "doctor",
    "drill",
    "growth",
    "ls",
    "manifest",
    "plan",
    "plan_drill",
    "plan_restore",
    "ports_of",
    "previous_run",
    "propose_check",
    "prune",
    "report",
    "restore",
    "restore_tasks",
    "run",
    "run_as_of",
    "run_one",
    "runs",
    "sql",
    "status",
    "tag",
    "verify",
]
