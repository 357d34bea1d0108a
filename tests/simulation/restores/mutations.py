"""Known bugs of a restore, one at a time put into its steps: what the simulation of restores must find."""

from __future__ import annotations

from bqdump.core.restore import names, planning, table_requests
from bqdump.export.work import job
from bqdump.restoration import direct, drill, jobs, ledger, objects, obtain, restore, tables, uploads
from simulation import wrong as known
from simulation.law import Law
from simulation.mutations import Mutation, edit
from simulation.restores import wrong

MUTATIONS = (
    Mutation("ids of a restore's jobs lack its id", Law.RESTORED, names, "job_id",
             edit("bqdump-restore-{restore}-", "bqdump-restore-")),
    Mutation("each start makes ids of its own for the jobs of a restore", Law.RESTORED,
             jobs.Jobs, "named", wrong.random_ids),
    Mutation("files are not looked at before a table is put in place", Law.RESTORED, tables, "_build",
             edit("if changed := await changed_files(work.restore, work.step.entry):", "if changed := []:")),
    Mutation("files are not looked at after they were loaded into the table itself", Law.RESTORED,
             direct, "load_directly",
             edit("changed = changed or await changed_files(work.restore, work.step.entry)", "")),
    Mutation("of rows in the table itself, each process decides whether they are the export's", Law.RESTORED,
             direct, "load_directly",
             edit("(await create(work.restore.state, work.restore.layout.loaded(work.number), found)).value", "found")),
    Mutation("rows of replaced files stay in the table", Law.RESTORED, direct, "load_directly",
             edit("if job.rows:", "if False:")),
    Mutation("a load job that is requested late loads files that were replaced", Law.RESTORED, direct, "load_directly",
             edit("if not work.step.load.groups:", "if changed or not work.step.load.groups:")),
    Mutation("each attempt has load jobs of its own for the table itself", Law.RESTORED, jobs.Jobs, "named",
             edit("if step == LOAD:", "if step == LOAD and not self._attempt:")),
    Mutation("files of a copied export are known by their generation only", Law.RESTORED, uploads, "changed_files",
             edit("stored.get(name) != (file.generation, file.crc32c)",
                  "stored.get(name, (0, ''))[0] != file.generation")),
    Mutation("a table has its receipt before its jobs have ended", Law.RESTORED,
             jobs, "ended_job", wrong.requested, here_only=True),
    Mutation("a table is replaced by dropping and creating it", Law.RESTORED,
             tables, "_create", wrong.drops_first, here_only=True),
    Mutation("a failed job of an earlier start is taken for done", Law.RESTORED,
             job, "_job", wrong.believes_attached),
    Mutation("a group of files is forgotten", Law.RESTORED, tables, "_load",
             edit("zip(partitions, load.groups, strict=True)", "zip(partitions, load.groups[:1])")),
    Mutation("scratch tables of killed tasks are not removed", Law.RESTORED,
             restore, "sweep_scratch", known.nothing, here_only=True),
    Mutation("whatever has the name of a table is taken for the restore's own", Law.RESTORED,
             jobs, "_is_ours", known.always),
    Mutation("an empty table is taken for the restore's own", Law.RESTORED, jobs, "_is_ours",
             edit("if labels.get(LABEL) == work.restore.mark:",
                  "if labels.get(LABEL) == work.restore.mark or not table.rows:")),
    Mutation("a task that is late to plan is refused for what others have restored", Law.RESTORED, obtain, "_new",
             edit("await value_of(task.state, Restores(task.layout).restore(id_).plan)", "None")),
    Mutation("tables keep the label of their restore", Law.RESTORED,
             tables, "_finish", known.nothing, here_only=True),
    Mutation("a table that failed is not named", Law.RESTORED, ledger.Ledger, "failure",
             edit("self.last_failure(number, execution)", "None")),
    Mutation("a slow task removes foreign keys", Law.RESTORED, table_requests, "_finish",
             edit(' and "foreignKeys" not in constraints', "")),
    Mutation("a drill leaves its dataset", Law.RESTORED, drill, "_drop", known.nothing, here_only=True),
    Mutation("tables of a drill do not expire", Law.RESTORED, planning, "temporary",
             edit(', "defaultTableExpirationMs": str(LIFETIME_MS)', ""), here_only=True),
    Mutation("views are created in one round", Law.RESTORED, objects, "_in_rounds",
             edit("if len(failed) == len(left):", "if failed:")),
)  # fmt: skip
