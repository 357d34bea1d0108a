"""Known bugs of retention, one at a time put into its steps: what the simulation of prunes must find."""

from __future__ import annotations

from bqdump.core.retention import marks
from bqdump.retain import tombstones
from simulation.law import Law
from simulation.mutations import Mutation
from simulation.prunes import wrong

MUTATIONS = (
    Mutation("files that a kept run names are deleted", Law.PRUNED, marks.Sweep, "mark", wrong.marks_nothing),
    Mutation("prune does not look for runs that rely on files", Law.PRUNED,
             tombstones, "referring", wrong.finds_nobody, here_only=True),
)  # fmt: skip
