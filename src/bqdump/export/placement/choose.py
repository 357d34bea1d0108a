"""The placement of a run: taken from its plan, and chosen here only."""

from __future__ import annotations

from bqdump.core.documents.document import Mode
from bqdump.core.documents.run import Plan
from bqdump.export.placement.keep import Keep
from bqdump.export.placement.replace import Replace
from bqdump.export.task import Placement, RunningExport, Task

PLACEMENTS: dict[Mode, Placement] = {"replace": Replace(), "keep": Keep()}


def placement_of(plan: Plan) -> Placement:
    """How the files of this plan's run get their final names."""
    return PLACEMENTS[plan.mode]


def running_export(task: Task, plan: Plan) -> RunningExport:
    """The task with this plan."""
    return RunningExport(task, plan, placement_of(plan))
