"""From the tables of a dataset to the plan of their export."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bqdump.core.documents.run import Plan, Skipped, TablePlan
from bqdump.core.documents.run_layout import unit_id
from bqdump.core.errors import UsageError
from bqdump.core.formats.types import columns
from bqdump.core.formats.unfit import unfit
from bqdump.core.plan.catalog import Dataset, Listed, select, unknown_kind
from bqdump.core.plan.routes import Routed, Routing
from bqdump.core.plan.table_names import patterns, refuse_name
from bqdump.core.plan.unsupported import Misfit, as_they_are, refuse
from bqdump.core.settings.settings import Settings
from bqdump.core.times import rfc3339
from bqdump.core.units.shares import deal
from bqdump.core.version import VERSION

MOST_RECOMMENDED, TABLES_A_TASK, READ_BYTES_A_TASK = 20, 500, 10 * 10**9
PLAN = "plan the export"


class Selection(msgspec.Struct, frozen=True):
    """The objects of a listing that are exported, those skipped, and the number of tables excluded by patterns."""

    chosen: tuple[Listed, ...]
    skipped: tuple[Skipped, ...]
    excluded: int


def choose(listing: Sequence[Listed], settings: Settings, snapshot: int) -> Selection:
    """Sort a listing into objects that are exported and those that are not.

    Raises UsageError where an include matches no table, or a file cannot have the name of a chosen table.
    """
    names = [item.name for item in listing]
    for pattern in settings.include:
        if not any(select(names, (pattern,), ())):
            import difflib

            close = difflib.get_close_matches(pattern, names, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else "{call:plan} without {setting:include} lists all tables."
            raise UsageError(PLAN, repr(pattern), f"matches no table of {settings.dataset}", hint, setting="include")
    chosen, skipped, excluded = [], [], 0
    for item, included in zip(listing, select(names, settings.include, settings.exclude), strict=True):
        if not included:
            excluded += 1
        elif item.created > snapshot:
            reason = f"created after the snapshot time {rfc3339(snapshot)}"
            skipped.append(Skipped(item.name, item.kind, reason))
        elif reason := unknown_kind(item.kind):
            skipped.append(Skipped(item.name, item.kind, reason))
        else:
            refuse_name(item.name)
            chosen.append(item)
    return Selection(tuple(chosen), tuple(skipped), excluded)


def unmatched(names: list[str], patterns: Sequence[str]) -> list[tuple[str, str]]:
    """Patterns that match no name, each with a suggestion ("" where there is none)."""
    found = []
    for pattern in patterns:
        if not any(select(names, (pattern,), ())):
            import difflib

            guesses = difflib.get_close_matches(pattern, names, n=1)
            found.append((pattern, f"; did you mean {guesses[0]!r}?" if guesses else ""))
    return found


def refuse_unfit(routed: Sequence[Routed], *, iceberg: bool) -> None:
    """Raise UsageError where tables have columns that their format cannot hold; it names all of them."""
    misfits = [
        Misfit(item.table.name, item.route, item.format, found)
        for item in routed
        if (
            found := unfit(
                item.format, item.route, as_they_are(columns(item.table.definition), item.shape), iceberg=iceberg
            )
        )
    ]
    refuse(PLAN, misfits)


def make_plan(
    settings: Settings,
    run: str,
    nonce: str,
    dataset: Dataset,
    snapshot: int,
    selection: Selection,
    routing: Routing,
    tasks: int,
) -> tuple[Plan, bytes]:
    """The plan of a run and its units, one JSON line each, share after share.

    tasks: the number of shares to deal, never more than units.
    Raises UsageError for tables that cannot be exported as the settings require.
    """
    routed = routing.routed
    refuse_unfit(routed, iceberg=settings.iceberg)
    names = patterns(settings, run, snapshot, routed)
    dealt = deal(settings, routed, names, tasks)
    plan = Plan(
        run=run,
        tool=VERSION,
        nonce=nonce,
        project=dataset.project,
        dataset=dataset.name,
        location=dataset.location,
        snapshot=snapshot,
        mode=settings.template.mode,
        settings=settings.frozen(),
        digest=settings.digest(),
        units=settings.layout.run(run).units(nonce),
        definitions=settings.layout.run(run).definitions(nonce).name,
        shares=dealt.shares,
        tables=len(routed),
        rows=sum(one.rows for item in routed for one in item.partitions or (item.table,)),
        bytes=sum(one.bytes for item in routed for one in item.partitions or (item.table,)),
        skipped=(*selection.skipped, *routing.skipped),
        excluded=selection.excluded,
        bills=sum(item.bills or 0 for item in routed),
        splits=dealt.splits,
        partitioned=dealt.partitioned,
    )
    return plan, dealt.lines


def unchanged_plans(settings: Settings, plan: Plan, unchanged: Sequence[Routed]) -> list[TablePlan]:
    """Tables whose files are named again, as the plan would export them."""
    names = patterns(settings, plan.run, plan.snapshot, unchanged)
    return [
        TablePlan(
            id=unit_id(0, 0),
            table=item.table.name,
            kind=item.table.kind,
            route=item.route,
            rows=item.table.rows,
            bytes=item.table.bytes,
            pattern=pattern[""],
            definition=item.table.definition,
            shape=item.shape,
            read_at=item.read_at,
        )
        for item, pattern in zip(unchanged, names, strict=True)
    ]


def recommended_tasks(jobs: int, read_bytes: int = 0) -> int:
    """The recommended number of tasks. Extract jobs run in BigQuery, and one task watches hundreds of them.

    jobs: tables, or partitions that are exported by themselves.

    read_bytes: of the tables on the read route, which each task reads at some hundred MB a second.
    """
    return max(1, min(MOST_RECOMMENDED, max(-(-jobs // TABLES_A_TASK), -(-read_bytes // READ_BYTES_A_TASK))))
