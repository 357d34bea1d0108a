"""The report of a run that published nothing (yet): what is done, what failed, and how to resume. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bqdump.core.documents.run import Failure, Plan, Receipt
from bqdump.core.settings.file import resume_command
from bqdump.pages.document import document
from bqdump.pages.gantt import bar, gantt
from bqdump.pages.summary import chosen


def render_unpublished(plan: Plan, done: int, receipts: Sequence[Receipt], failed: Sequence[Failure]) -> bytes:
    """The page: the verdict first, then totals, failures, the timeline, and what was not exported.

    done: the number of tables. failed: one failure for each table. receipts: for the timeline.
    """
    return document(
        "unpublished.html",
        f"{plan.project}.{plan.dataset}",
        about=plan,
        done=done,
        failed=failed,
        chart=gantt([bar(receipt) for receipt in receipts]),
        settings=chosen(plan.settings),
        resume=resume_command(plan.run, plan.settings),
    )
