"""The commands that a deployment runs as jobs: a row each, from which job, account, schedule and alerts follow.

`python -m bqdump_reference` writes them to deploy/terraform/jobs/rows.json, from which the Terraform module takes them.
"""

from __future__ import annotations

from typing import NamedTuple

from bqdump.core.pages import page
from bqdump.core.progress.log_events import LogEvent

RUN, DRILL, VERIFY, COPY, PRUNE, RESTORE = "run", "drill", "verify", "copy", "prune", "restore"

# What the recovery point objective is about: a run counts once a drill has proven it.
OF_THE_OBJECTIVE = {RUN: "runs", DRILL: "drills"}


class Alert(NamedTuple):
    """What an alert says. section: of the page for operators."""

    title: str
    advice: str
    section: str

    @property
    def help(self) -> str:
        """The address of the section."""
        return page("operate.md", self.section)


class Proof(NamedTuple):
    """The log line by which a command has done its work, and the alert if there is none for too long.

    metric: what counts the lines, by dataset and target.
    counts: a description of what they are about.
    """

    metric: str
    event: LogEvent
    counts: str
    missing: Alert


class Row(NamedTuple):
    """A command.

    failed: the alert on a failed execution.
    extra: of the packages in the image, "" for none.
    alone: it is one task, which is not retried: it would fail again, and might bill again.
    account: the suffix of the account it runs as, "" for that of the export.
    """

    failed: Alert
    proof: Proof | None = None
    extra: str = ""
    alone: bool = False
    memory: str = "512Mi"
    account: str = ""


COMMANDS: dict[str, Row] = {
    RUN: Row(
        Alert(
            "an export failed",
            "The last published export is unchanged, unless the run stopped while it replaced files: `bqdump status` "
            "says so.",
            "An execution failed",
        ),
        Proof(
            "published",
            LogEvent.RUN_PUBLISHED,
            "Exports published",
            Alert("no recent export", "The published export is getting old.", "Nothing was published"),
        ),
    ),
    DRILL: Row(
        Alert("a drill failed", "The export may not be restorable.", "A drill failed"),
        Proof(
            "proven",
            LogEvent.DRILL_PROVEN,
            "Drills that proved the export restorable",
            Alert("no recent proof", "Nothing shows that the export can be restored.", "No drill proved the export"),
        ),
        extra="verify",
        alone=True,
        memory="2Gi",
    ),
    VERIFY: Row(
        Alert("a check failed", "A check of the published files failed.", "A check failed"),
        Proof(
            "verified",
            LogEvent.RUN_VERIFIED,
            "Checks that found no difference",
            Alert("no recent check", "Nothing shows that the published files are unchanged.", "No recent check"),
        ),
        extra="verify",
        alone=True,
        memory="2Gi",
    ),
    COPY: Row(
        Alert("a copy failed", "The copy lacks a run.", "A copy failed"),
        Proof(
            "copied",
            LogEvent.COPY_DONE,
            "Copies that are complete",
            Alert("no recent copy", "The copy is getting old.", "No recent copy"),
        ),
        account="copier",
    ),
    PRUNE: Row(
        Alert("a prune failed", "Runs that no rule keeps stay, and are billed.", "A prune failed"),
        Proof(
            "pruned",
            LogEvent.PRUNE_DONE,
            "Prunes",
            Alert("no recent prune", "Runs that no rule keeps stay, and are billed.", "A prune failed"),
        ),
        alone=True,
        account="pruner",
    ),
    RESTORE: Row(
        Alert("a restore failed", "The restored dataset is not complete.", "A restore failed"), account="restorer"
    ),
}
WORKFLOW_FAILED = Alert(
    "the workflow failed", "Its exports were repeated, and some failed each time.", "The workflow failed"
)
HANGING = Alert("an execution takes too long", "", "An execution takes too long")
CANCELLED = Alert("an execution was cancelled", "What it was doing is not done.", "An execution was cancelled")
WARNED = Alert("a warning", "The command has done its work, and something needs attention.", "A run logged a warning")
NOT_TRUSTED = Alert(
    "not trusted", "An export or a copy is not as a trusted key has signed it.", "An export is not trusted"
)
BILLED = Alert("a large bill", "", "A run billed too much")

# Lines about what no trusted key has signed, or what hides it.
UNTRUSTED_EVENTS = (
    LogEvent.NOT_TRUSTED,
    LogEvent.RUNS_PASSED_OVER,
    LogEvent.MANIFEST_PASSED_OVER,
    LogEvent.OBJECT_HIDDEN,
)
# Warnings that ask an operator to do something.
WARNINGS = (
    LogEvent.TABLE_MISSING,
    LogEvent.TABLE_GIVEN_UP,
    LogEvent.TABLE_DROPPED,
    LogEvent.TABLE_REMOVED,
    LogEvent.DATASET_SKIPPED,
    LogEvent.DATASET_REMOVED,
    LogEvent.SET_PLAN_UNREADABLE,
    LogEvent.RUN_SUPERSEDED,
    LogEvent.NOTHING_EXPORTED,
    LogEvent.MANIFEST_MISSING,
    LogEvent.LATEST_UNREADABLE,
    LogEvent.BUCKET_UNCHECKED,
    LogEvent.ICEBERG_METADATA_LOST,
    LogEvent.PRUNE_FAILED,
    LogEvent.CLEANUP_FAILED,
    LogEvent.DRILL_DATASET_LEFT,
    LogEvent.NOTIFY_FAILED,
    LogEvent.SETTING_UNKNOWN,
)


def job_name(name: str, command: str) -> str:
    """The name of the job of a command, in a deployment of this name."""
    return name if command == RUN else f"{name}-{command}"


def job_names(name: str) -> list[str]:
    """The names of the jobs of all commands."""
    return [job_name(name, command) for command in COMMANDS]
