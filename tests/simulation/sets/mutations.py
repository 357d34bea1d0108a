"""Known bugs of sets, one at a time put into their steps: what the simulation of sets must find."""

from __future__ import annotations

from bqdump.core.errors import BqdumpError
from bqdump.core.plan import reuse
from bqdump.core.sets import member as derived
from bqdump.export.planning import reuse as planning_reuse
from bqdump.sets import obtain, run, task, work
from bqdump.sets import run as flow
from simulation.law import Law
from simulation.mutations import Mutation, edit

MUTATIONS = (
    Mutation("project.json is written before every dataset has ended", Law.SETS, flow, "run_set",
             edit("publish_set(running, progress) if settled else None", "publish_set(running, progress)")),
    Mutation("project.json names whoever comes last", Law.SETS, run, "publish_set",
             edit("if known and known.age > plan.age:", "if False:")),
    Mutation("each dataset is exported at a time of its own", Law.SETS, derived, "member_settings",
             edit("snapshot_time=rfc3339(plan.snapshot)", "snapshot_time=''")),
    Mutation("a dataset that fails ends the task", Law.SETS,
             work, "ENDS_THE_TASK", lambda _: BqdumpError, here_only=True),
    Mutation("a task that is late plans the set again", Law.SETS, obtain, "_make",
             edit("if not await replace(task.store, task.layout.plan, plan, 0):",
                  "if await overwrite(task.store, task.layout.plan, plan) is not None and False:")),
    Mutation("a dataset that a later run is publishing is named as failed", Law.SETS, task, "note_end",
             edit("        return\n", "        raise BqdumpError('find', 'latest.json', 'there is none')\n")),
    Mutation("a reading from after a set's snapshot time counts as an early one", Law.SETS,
             planning_reuse, "find_reusable", edit("settled(survey.early.get(name), snapshot)", "reading")),
    Mutation("a dataset of a set has the early readings of another one", Law.SETS, task, "draft_task",
             edit("listings.early_of(number)", "listings.early_of(number - 1)")),
    Mutation("an early reading of a set counts although its table has changed since", Law.SETS, reuse, "unproved",
             edit("changed = difference(entry.look_before, entry.look)", "changed = ''")),
)  # fmt: skip
