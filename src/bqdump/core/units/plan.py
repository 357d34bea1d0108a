"""From tables and their routes to the plan of an export, and its units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bqdump.core.documents.run import Plan, TablePlan
from bqdump.core.documents.run_layout import unit_id
from bqdump.core.errors import PLAN
from bqdump.core.formats.formats import formats_that_hold, unfit
from bqdump.core.formats.types import columns
from bqdump.core.plan.names import patterns
from bqdump.core.plan.routes import Routed, Routing
from bqdump.core.plan.selection import Selection
from bqdump.core.settings.settings import Settings
from bqdump.core.tables.catalog import Dataset
from bqdump.core.tables.columns import Misfit, as_they_are, refuse
from bqdump.core.units.shares import deal
from bqdump.core.version import VERSION


def refuse_unfit(routed: Sequence[Routed], *, iceberg: bool) -> None:
    """Raise UsageError where tables have columns that their format cannot hold; it names all of them."""
    held = [(item, as_they_are(columns(item.table.definition), item.shape)) for item in routed]
    misfits = [
        Misfit(item.table.name, item.format, unfit_columns)
        for item, exported in held
        if (unfit_columns := unfit(item.format, item.route, exported, iceberg=iceberg))
    ]
    # Another format is one for all tables.
    refuse(PLAN, misfits, formats_that_hold([(item.route, exported) for item, exported in held]) if misfits else [])


class RunToPlan(NamedTuple):
    """A run before it has a plan.

    nonce: a number that no other plan of the run has.
    snapshot: its time, in ms.
    """

    settings: Settings
    run: str
    nonce: str
    dataset: Dataset
    snapshot: int


def make_plan(planning: RunToPlan, selection: Selection, routing: Routing, tasks: int) -> tuple[Plan, bytes]:
    """The plan of a run and its units, one JSON line each, share after share.

    tasks: the number of shares to deal, never more than units.
    Raises UsageError for tables that cannot be exported as the settings require.
    """
    settings, run, nonce, dataset, snapshot = planning
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
        rows=sum(part.rows for item in routed for part in item.partitions or (item.table,)),
        bytes=sum(part.bytes for item in routed for part in item.partitions or (item.table,)),
        skipped=(*selection.skipped, *routing.skipped),
        excluded=selection.excluded,
        by_label=selection.by_label,
        bills=sum(item.bills or 0 for item in routed),
        splits=dealt.splits,
        partitioned=dealt.partitioned,
    )
    return plan, dealt.lines


def unchanged_plans(settings: Settings, plan: Plan, unchanged: Sequence[Routed]) -> list[TablePlan]:
    """Reused tables, as the plan would export them."""
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
