"""Known bugs of copies, one at a time put into their steps: what the simulation of copies must find."""

from __future__ import annotations

from bqdump.copying import finish, move, set_documents
from bqdump.core.copy import manifest
from bqdump.repository import complete_runs, publication
from bqdump.retain import locked
from simulation.law import Law
from simulation.mutations import Mutation, edit

MUTATIONS = (
    Mutation("the manifest is stored before the files are moved", Law.COPIED, move, "move",
             edit("    await work(batches.dealt(room), move_batch)",
                  "    here.update({one.item.target: Here(1, '') for one in plan.files})")),
    Mutation("latest.json of the copies goes back in time", Law.COPIED, publication, "enter",
             edit("later = latest if latest and latest.age > ready.age else None", "later = None")),
    Mutation("runs share a folder where the source replaces its files", Law.COPIED, manifest, "_made_by",
             edit('Template(str(settings["path"])).keeps', "True")),
    Mutation("the copy's manifest has the generations of its source", Law.COPIED, manifest, "copied_manifest",
             edit("generation=here[name].generation", "generation=file.generation")),
    Mutation("files that were there before keep their own locks", Law.LOCKED, finish, "lock_files",
             edit("if task.lock:", "if not task.lock:")),
    Mutation("prune deletes files that another run names", Law.LOCKED, locked, "examine_locked",
             edit("named if plan.reasons[run.run] else deleted", "deleted")),
    Mutation("a pointer counts whatever its manifest is", Law.LOCKED, complete_runs, "_newest_locked",
             edit("await _check_manifest(store, layout, pointer)", "pass")),
    Mutation("a pointer to a run of one dataset counts in the place of a set", Law.LOCKED,
             complete_runs, "_newest_locked", edit("_refuse_kind(pointer, kind)", "pass")),
    Mutation("what says that a place is a set's keeps the lock of the first copy", Law.LOCKED,
             set_documents, "_extend", edit("for one in (*own, *shared)", "for one in own")),
)  # fmt: skip
