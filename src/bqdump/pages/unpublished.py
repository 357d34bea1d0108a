"""The report of a run that has published nothing (yet): what is done, what failed, and how to go on. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from bqdump.core.documents.run import Failure, Plan, Receipt
from bqdump.core.plan.parts import by_table, done_tables
from bqdump.core.sizes import counted, size_text
from bqdump.pages.document import document
from bqdump.pages.elements import NOTHING, code, heading, moment, tiles
from bqdump.pages.gantt import bar, gantt
from bqdump.pages.sections import failures_table, flags_section, settings_section, skipped_section


def render_unpublished(plan: Plan, receipts: Sequence[Receipt], failed: Sequence[Failure]) -> bytes:
    """The page: verdict first, then totals, the failures, where the time went, and what was not exported."""
    chart = gantt([bar(receipt) for receipt in receipts])
    done = len(done_tables({receipt.unit: receipt for receipt in receipts}, plan.splits))
    failed = by_table(failed)
    numbers = (
        ("tables", f"{plan.tables:,}"),
        ("done", f"{done:,}"),
        ("failed", f"{len(failed):,}"),
        ("rows planned", f"{plan.rows:,}"),
        ("size in BigQuery", size_text(plan.bytes)),
    )
    return document(
        f"{plan.project}.{plan.dataset}",
        (
            _verdict(plan, done, len(failed)),
            tiles(numbers),
            failures_table(failed),
            heading("Where the time went", "time") + chart if chart else NOTHING,
            skipped_section(plan.skipped),
            flags_section(plan.flags),
            settings_section(plan.settings),
        ),
    )


def _verdict(plan: Plan, done: int, failed: int) -> Markup:
    word = "Failed" if failed else "Not published"
    told = f"{counted(failed, 'table')} failed, {done:,} of {plan.tables:,} are done; nothing of it is published, "
    return Markup(
        '<div class="verdict bad"><strong>{}.</strong> {}and readers see what they saw before. '
        "To finish it: {}</div>"
        '<p class="soft small">The dataset as of {} · run {} · {} · bqdump {}</p>'
    ).format(
        word, told, code(f"bqdump run --run-id {plan.run}"), moment(plan.snapshot), code(plan.run), plan.location,
        plan.tool,
    )  # fmt: skip
