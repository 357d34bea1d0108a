"""The report of a run that published nothing (yet): what is done, what failed, and how to resume. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bqdump.core.documents.run import Failure, Plan, Receipt
from bqdump.core.plan.parts import by_table, done_tables
from bqdump.pages.document import document
from bqdump.pages.gantt import bar, gantt
from bqdump.pages.summary import chosen


def render_unpublished(plan: Plan, receipts: Sequence[Receipt], failed: Sequence[Failure]) -> bytes:
    """The page: the verdict first, then totals, failures, the timeline, and what was not exported."""
    return document(
        "unpublished.html",
        f"{plan.project}.{plan.dataset}",
        about=plan,
        done=len(done_tables({receipt.unit: receipt for receipt in receipts}, plan.splits)),
        failed=by_table(failed),
        chart=gantt([bar(receipt) for receipt in receipts]),
        settings=chosen(plan.settings),
    )
