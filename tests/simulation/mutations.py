"""Known bugs, one at a time put into the steps of an export: what the simulation must find.

Most are faulty functions in place of sound ones. Where the fault is within a function, its source text is edited, which
fails loudly where the text is no longer there.
"""

from __future__ import annotations
import __future__

import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any, NamedTuple
from unittest import mock

from bqdump import copying, export, repository, restoration, retain, sets
from bqdump import pool as pools
from bqdump.adapters import retry
from bqdump.adapters.google import errors
from bqdump.core.documents import layout, notes
from bqdump.core.plan import record, removal, reuse
from bqdump.core.plan import selection as plan
from bqdump.core.units import shares
from bqdump.export import carry, task
from bqdump.export import run as entrance
from bqdump.export.placement import choose, final_names, replace
from bqdump.export.planning import definitions
from bqdump.export.planning import obtain as planning
from bqdump.export.planning import reuse as planning_reuse
from bqdump.export.publish import abandoned, clear, collect, count, iceberg
from bqdump.export.work import jobs, work
from bqdump.export.work import sessions as policies
from bqdump.pool import pool, units
from bqdump.repository import prefix_owner as prefix
from bqdump.repository import publication
from simulation import wrong
from simulation.law import Law

Fault = Callable[[Any], Any]


class Mutation(NamedTuple):
    """A bug that breaks a law: `fault` makes the faulty object of the sound one, usually a function.

    here_only: only `where` gets the faulty one, and no other module that uses it.
    """

    name: str
    law: Law
    where: ModuleType | type
    attribute: str
    fault: Fault
    here_only: bool = False


def edit(old: str, new: str) -> Fault:
    """A change of a function's source text."""

    def fault(sound: Callable[..., Any]) -> Callable[..., Any]:
        source = textwrap.dedent(inspect.getsource(sound))
        if source.count(old) != 1:
            raise LookupError(f"{sound.__qualname__} does not hold {old!r} once")
        flags = __future__.annotations.compiler_flag
        code = compile(source.replace(old, new), sound.__qualname__, "exec", flags=flags)
        scope = dict(inspect.unwrap(sound).__globals__)
        exec(code, scope)
        faulty: Callable[..., Any] = scope[sound.__name__]
        return faulty

    return fault


MUTATIONS = (
    Mutation("the old export is deleted before the new one is there", Law.COMPLETE,
             final_names, "copy_over", wrong.deletes_first),
    Mutation("files of an earlier export are deleted by name, of whatever generation", Law.COMPLETE,
             clear, "delete", wrong.of_any_generation, here_only=True),
    Mutation("what is published is copied over by another task of its run", Law.COMPLETE,
             replace, "has_ended", wrong.never, here_only=True),
    Mutation("every copy is made over whatever is there", Law.COMPLETE,
             final_names, "copy_over", wrong.over_whatever_is_there),
    Mutation("copies go on although a later run has announced itself", Law.FORWARD,
             final_names, "_still_mine", wrong.always, here_only=True),
    Mutation("a run is published before every receipt is there", Law.TRUE,
             units.UnitLedger, "settled", wrong.settled_by_any_receipt),
    Mutation("a table is read as it is, not as it was at the moment of the run", Law.TRUE,
             jobs, "_extract", wrong.without_snapshot),
    Mutation("a query reads a table as it is, not as it was at the moment of the run", Law.TRUE,
             jobs, "_query", wrong.when_the_job_runs),
    Mutation("a manifest tells other rows than those that were exported", Law.TRUE,
             record, "_entry", wrong.rows_as_planned),
    Mutation("what a failed job has left stays in the export", Law.RESUMABLE,
             collect, "collect", wrong.without_surplus),
    Mutation("a file that is missing is left out of the manifest", Law.TRUE,
             collect, "_files_of", wrong.files_that_are_there),
    Mutation("a receipt does not tell from which read session it is", Law.TRUE,
             units, "session_id", wrong.returns("the session")),
    Mutation("what was read by a session that has been retired counts", Law.RESUMABLE,
             units, "outdated", wrong.finds_none),
    Mutation("of a shared table only the first part is published", Law.TRUE,
             collect, "collect", wrong.first_parts),
    Mutation("rows that a job has left out are not missed", Law.TRUE,
             collect, "expected_rows", wrong.returns(None), here_only=True),
    Mutation("of a block of rows only one is counted", Law.RESUMABLE, count, "_avro_rows",
             edit("rows += block.rows", "rows += min(block.rows, 1)")),
    Mutation("rows that were miscounted once are a difference", Law.RESUMABLE, collect, "prove",
             edit("for _ in range(TIMES_COUNTED):", "for _ in range(1):")),
    Mutation("a file whose part is damaged is not counted again", Law.RESUMABLE,
             count, "TIMES_READ", wrong.once, here_only=True),
    Mutation("a part of the units that is damaged is not read again", Law.RESUMABLE,
             work, "TIMES_READ", wrong.once, here_only=True),
    Mutation("of a part of the units whatever has arrived counts", Law.RESUMABLE,
             shares, "read_units", wrong.complete_lines),
    Mutation("a document that breaks off is not read again", Law.RESUMABLE,
             errors, "BROKEN", wrong.without_connections),
    Mutation("that a table was given up is not settled for all", Law.RESUMABLE,
             units, "give_up", wrong.settles_nothing),
    Mutation("latest.json is pointed at whoever comes last", Law.FORWARD, publication, "enter",
             edit("later = latest if latest and latest.age > ready.age else None", "later = None")),
    Mutation("publishing.json names whoever comes last", Law.FORWARD, final_names, "announce",
             edit("if current and current.age > export.plan.age:", "if False:")),
    Mutation("the claims of another execution bind for ever", Law.RESUMABLE,
             pool.Pool, "takes", wrong.binding_claims),
    Mutation("the end that is recorded last counts", Law.TRUE, pool, "record",
             edit("await makes_room(known, end)", "True")),
    Mutation("a failure binds the tasks of every execution", Law.RESUMABLE, pool.Ledger, "is_open",
             edit("self.last_failure(item, execution) is None", "self.last_failure(item) is None")),
    Mutation("each task makes job ids of its own", Law.RESUMABLE,
             task.RunningExport, "job_id", wrong.random_ids),
    Mutation("a second planner overwrites the plan", Law.RESUMABLE, planning, "_make",
             edit("mine = await replace(task.store, task.layout.plan, plan, 0)",
                  "mine = await overwrite(task.store, task.layout.plan, plan) is None")),
    Mutation("that a file is a receipt or a failure is recorded behind its writing only", Law.RESUMABLE,
             layout, "is_note", wrong.no_receipts_or_failures),
    Mutation("the exports that a new one replaces are not cleared", Law.RESUMABLE, publication, "_show",
             edit("if before and before.replaces and before != nothing_stale_of:", "if False:")),
    Mutation("that a run leaves stale files is overlooked", Law.RESUMABLE, clear, "leaves_stale",
             edit("file.name not in kept for files", "False for files")),
    Mutation("what was published while planning counts as what is published", Law.RESUMABLE,
             task.StoredManifest, "is_of", lambda _: lambda *_: True),
    Mutation("an answer of a batch is believed whatever object it names", Law.TRUE,
             retry, "_own_answer", wrong.any_answer),
    Mutation("HTTP 408 counts as permanent", Law.RESUMABLE,
             errors, "_temporary", wrong.not_408),
    Mutation("a listing goes on by page numbers after an error", Law.RESUMABLE,
             retry, "listed", wrong.by_page_numbers),
    Mutation("a run that keeps its files deletes what was replaced before the switch", Law.OWN_FILES,
             choose.Keep, "clear", wrong.as_when_replacing),
    Mutation("everything below the prefix is taken for an old export", Law.OWN_FILES,
             replace, "split_shard", wrong.any_name_is_a_shard, here_only=True),
    Mutation("staged files are deleted before the manifest names them", Law.OWN_FILES,
             replace.Replace, "place", wrong.clears_staging),
    Mutation("whose a prefix is is looked at while planning, and not claimed", Law.OWN_FILES, prefix, "claim_prefix",
             edit("if generation and owner and not (owner.released or damaged):", "if True:")),
    Mutation("a mistaken run gives a prefix away under a run that has been planned", Law.OWN_FILES,
             prefix, "release_prefix",
             edit("if await _has_plan(store, settings, stored.value):", "if False:")),
    Mutation("whose a prefix is is not looked at again once there is a plan", Law.OWN_FILES, entrance, "obtain",
             edit("    await claim_prefix(task.store, task.settings, task.run)\n", "")),
    Mutation("a mistaken run keeps the prefix", Law.RESUMABLE,
             planning, "release_prefix", wrong.nothing, here_only=True),
    Mutation("staged files of a run whose jobs are running are cleared", Law.OWN_FILES, abandoned, "_clear_all",
             edit('any(job.startswith(other.job_prefix) for job in jobs)', "False")),
    Mutation("staged files of later runs are cleared", Law.OWN_FILES, abandoned, "_clear_all",
             edit("and other.age < export.plan.age", "")),
    Mutation("staged files are cleared by name, of whatever generation", Law.OWN_FILES,
             abandoned, "delete", wrong.of_any_generation, here_only=True),
    Mutation("that a run stages files is forgotten when none are found", Law.OWN_FILES,
             abandoned, "STAGES_NO_MORE_MS", wrong.is_long_ago, here_only=True),
    Mutation("a message that does not fit into a note is cut by its characters", Law.RESUMABLE, notes, "shortened",
             edit("if len(text) <= characters and _size(text) <= bytes_:",
                  "if len(text := text[:characters]) <= characters:")),
    Mutation("a table created after the moment is passed over in silence", Law.NAMED_LOSSES, plan, "choose",
             edit('snapshot)}"\n            skipped.append(', 'snapshot)}"\n            (lambda skip: None)(')),
    Mutation("a policy that comes after planning is passed over in silence", Law.NAMED_LOSSES,
             policies, "_hidden_rows", wrong.planned_policies),
    Mutation("a table that was published after planning is removed unnamed", Law.ASKED_REMOVALS, carry, "_stays",
             edit("kept = sorted(gone.keys() - reasons.keys())", "kept = sorted(export.plan.kept)")),
    Mutation("most tables of an export may be dropped unasked", Law.ASKED_REMOVALS, removal, "removal_flags",
             edit("if mass or table.reason in EXCLUDED", "if table.reason in EXCLUDED")),
    Mutation("tables are excluded from an export unasked", Law.ASKED_REMOVALS, removal, "removal_flags",
             edit("if mass or table.reason in EXCLUDED", "if mass")),
    Mutation("a dropped table leaves an export unnamed", Law.ASKED_REMOVALS, removal, "leaving",
             edit("removed.append(", 'if reason != "dropped" or not chosen:\n            removed.append(')),
    Mutation("tables that were left out are removed although they are to be kept", Law.ASKED_REMOVALS,
             removal, "leaving", edit("if not chosen and settings.keep_others:", "if False:")),
    Mutation("metadata that another task's manifest names is dropped", Law.LAKE, iceberg.Iceberg, "drop",
             edit("named = _names([stored]) if stored else set()", "named = set()")),
    Mutation("snapshots stay whose files were replaced", Law.LAKE, iceberg, "_earlier",
             edit("{} if export.plan.replaces else await", "await")),
    Mutation("metadata that was replaced stays", Law.RESUMABLE, clear, "_listed",
             edit("(table.objects for table in", "(table.files for table in")),
    Mutation("what a superseded run has written of its metadata stays", Law.RESUMABLE,
             iceberg.Iceberg, "withdraw", wrong.nothing),
    Mutation("a table that goes while the run is planned is passed over in silence", Law.NAMED_LOSSES,
             definitions, "describe", wrong.without_dropped_tables),
    Mutation("a look before the files were read is not needed", Law.UNCHANGED, reuse, "unproved",
             edit("        return NO_EARLIER_READING\n    changed", "        return ''\n    changed")),
    Mutation("the look before the files were read may be another one", Law.UNCHANGED, reuse, "unproved",
             edit("changed = difference(entry.look_before, entry.look)", "changed = ''")),
    Mutation("a look after the files were read counts as one before", Law.UNCHANGED, planning_reuse, "find_reusable",
             edit("settled(survey.early.get(name), snapshot)", "reading")),
    Mutation("the current look may be another one", Law.UNCHANGED, reuse, "unproved",
             edit("if changed := difference(entry.look, now):", "if False:")),
    Mutation("a table that was created again counts as unchanged", Law.UNCHANGED, reuse, "difference",
             edit("if before.created != now.created:", "if False:")),
    Mutation("rows and bytes are not compared", Law.UNCHANGED, reuse, "difference",
             edit("if was != is_:", "if False:")),
    Mutation("times are not compared", Law.UNCHANGED, reuse, "difference",
             edit("if before.modified != now.modified:", "if False:")),
    Mutation("unchanged tables are exported again", Law.UNCHANGED, reuse.Comparison, "why_exported",
             edit("unproved(entry, candidate.reading)", "unproved(entry, candidate.reading) or 'again'")),
)  # fmt: skip


@contextmanager
def planted(mutation: Mutation) -> Iterator[None]:
    """Put the bug in, wherever the object is used, and take it out afterwards."""
    sound = getattr(mutation.where, mutation.attribute)
    faulty = mutation.fault(sound)
    with ExitStack() as stack:
        for place in (mutation.where,) if mutation.here_only else (mutation.where, *_modules()):
            if getattr(place, mutation.attribute, None) is sound:
                stack.enter_context(mock.patch.object(place, mutation.attribute, faulty))
        yield


def _modules() -> list[ModuleType]:
    packages = (copying, export, pools, repository, restoration, retain, sets)
    return [
        retry,
        *(
            importlib.import_module(info.name)
            for package in packages
            for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        ),
    ]
