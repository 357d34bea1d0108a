"""Known bugs of retention, one at a time put into its steps: what the simulation of prunes must find."""

from __future__ import annotations

from bqdump.check import verify
from bqdump.core.retention import pruned
from bqdump.export.publish import lake_table
from bqdump.restoration import restore as restoring
from bqdump.retain import erase, iceberg, leftovers, sweep, tombstones
from simulation.law import Law
from simulation.mutations import Mutation, edit
from simulation.prunes import wrong

MUTATIONS = (
    Mutation("files that a kept run names are deleted", Law.PRUNED, pruned.Sweep, "mark", wrong.marks_nothing),
    Mutation("prune does not look for runs that rely on files", Law.PRUNED,
             tombstones, "referring", wrong.finds_nobody, here_only=True),
    Mutation("nothing is looked at once the tombstone is stored", Law.PRUNED, tombstones, "mark_deleted",
             edit("objections = await _objections(task, plan, proposed)", "objections = {}")),
    Mutation("a tombstone goes although files of its run are named", Law.PRUNED, sweep, "_close",
             edit("if not files and not left:", "if True:")),
    Mutation("the tombstone of a run stays for files that it has carried over", Law.PRUNED, sweep, "_remaining",
             edit(" if tombstone.run in file.name", "")),
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
