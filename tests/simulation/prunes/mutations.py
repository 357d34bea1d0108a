"""Known bugs of retention, one at a time put into its steps: what the simulation of prunes must find."""

from __future__ import annotations

from bqdump.check import verify
from bqdump.core.retention import pruned
from bqdump.export.publish import lake_table, publish
from bqdump.restoration import restore as restoring
from bqdump.retain import erase, iceberg, leftovers, plan, sweep
from simulation.law import Law
from simulation.mutations import Mutation, edit
from simulation.prunes import wrong

MUTATIONS = (
    Mutation("files that a kept run names are deleted", Law.PRUNED, pruned.Sweep, "mark", wrong.marks_nothing),
    Mutation("a run is published although a run whose files it reuses was pruned 21 hours ago", Law.PRUNED,
             publish, "refuse_late", wrong.does_nothing, here_only=True),
    Mutation("the files of a pruned run do not wait for a day", Law.PRUNED, plan, "plan_of",
             edit("run.age >= DELETABLE_MS", "True")),
    Mutation("files go that a run names which was pruned less than a day ago", Law.PRUNED, sweep, "files_of",
             edit("if run in plan.due or run in leaving:", "if run in {one.run for one in plan.survey.marked}:")),
    Mutation("what an abandoned run has written without a receipt stays", Law.PRUNED, leftovers, "_written",
             edit("                if info.name in counted or split_shard(info.name, own):",
                  "                if split_shard(info.name, own) and info.name not in counted:\n"
                  "                    continue\n"
                  "                if info.name in counted:")),
    Mutation("an erasure passes over all runs but one", Law.PRUNED, erase, "erase",
             edit("for run in record.value.runs:", "for run in record.value.runs[:1]:")),
    Mutation("a verification reports the files of a pruned run as missing", Law.PRUNED,
             verify, "refuse_pruned", wrong.does_nothing, here_only=True),
    Mutation("a restore does not say that its run was pruned", Law.PRUNED,
             restoring, "_refuse_pruned", wrong.does_nothing, here_only=True),
    Mutation("Iceberg metadata lists snapshots of deleted runs", Law.PRUNED,
             iceberg, "forget_snapshots", wrong.does_nothing),
    Mutation("the snapshot of a deleted run stays where that of a kept one has its manifest list", Law.PRUNED,
             iceberg._Rewriting, "_expired", edit(" if info.name not in self._doomed", "")),
    Mutation("a snapshot goes with its run although a kept run has the same files", Law.PRUNED,
             lake_table.LakeTable, "_ages",
             edit("earlier.runs.items()]", "earlier.runs.items() if run in base.runs()]")),
)  # fmt: skip
