"""Known bugs, one at a time put into the steps of an export: what the simulation must find.

A mutation is a change of the source text of one function. It fails loudly where the text is no longer there.
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

from bqdump import export, repository
from bqdump.adapters import google_errors, retry
from bqdump.core.documents import layout, notes, record
from bqdump.core.plan import draft as plan
from bqdump.core.plan import removal
from bqdump.export import carry, run
from bqdump.export.placement import final_names, keep, replace
from bqdump.export.planning import definitions, planner
from bqdump.export.planning import obtain as planning
from bqdump.export.publish import abandoned, clear, collect, count
from bqdump.export.work import jobs, work
from bqdump.export.work import recheck as policies
from bqdump.repository import ledger, published, read_sessions
from bqdump.repository import prefix_owner as prefix


class Mutation(NamedTuple):
    """A bug that breaks a law: `old` becomes `new` in the function's source."""

    name: str
    law: int
    where: ModuleType | type
    function: str
    old: str
    new: str


BY_NAME = """
            async for page in listing():
                fresh = [item for item in page if place(item) > given] if place and given else page
                yield fresh
                if place and fresh:
                    given = place(fresh[-1])
                    attempts.reset()
"""
BY_NUMBER = """
            number = 0
            async for page in listing():
                number += 1
                if number > (given or 0):
                    yield page
                    given = number
"""
MUTATIONS = (
    Mutation("the old export is deleted before the new one is there", 1, final_names, "copy_over",
             "mark = origin(export.plan)", "mark = origin(export.plan); await delete(export.task, known.items())"),
    Mutation("files of an earlier export are deleted by name, of whatever generation", 1, clear, "clear_stale",
             "[file for files in past for file in files if file.name not in kept]",
             "[info for files in past for file in files for info in [await export.store.stat(file.name)] if info]"),
    Mutation("what is published is copied over by another task of its run", 1, replace.Replace, "place",
             "if latest and latest.age >= export.plan.age and", "if False and"),
    Mutation("every copy is made over whatever is there", 1, final_names, "copy_over",
             "for name, expect in waiting.items()]",
             "for name in waiting for info in [await export.store.stat(name)] "
             "for expect in [info.generation if info else 0]]"),
    Mutation("copies go on although a later run has announced itself", 3, final_names, "copy_over",
             "if conflicts and not await _still_mine(export):", "if False:"),
    Mutation("a run is published before every receipt is there", 2, run, "run",
             "if not ledger.settled(export.plan, export.owner.execution):", "if not ledger.receipts:"),
    Mutation("a table is read as it is, not as it was at the moment of the run", 2, jobs, "_extract",
             "snapshot=export.plan.snapshot", "snapshot=10**15"),
    Mutation("a query reads a table as it is, not as it was at the moment of the run", 2, jobs, "_query",
             'export.plan.snapshot if unit.moment == "snapshot" else None', "None"),
    Mutation("a manifest tells other rows than those that were exported", 2, record, "_entry",
             "else receipt.rows", "else unit.rows"),
    Mutation("what a failed job has left stays in the export", 4, collect, "collect",
             "collected.surplus.append(info)", "pass"),
    Mutation("a file that is missing is left out of the manifest", 2, collect, "_files_of",
             "for number in _numbers(receipt):",
             "for number in sorted(files)[: len(files) - (len(files) > 1)]:"),
    Mutation("a receipt does not tell from which read session it is", 2, read_sessions, "session_id",
             'name.rpartition("/")[2]', '"the session"'),
    Mutation("what was read by a session that has been retired counts", 4, read_sessions, "outdated",
             "if receipt.job != current", "if False"),
    Mutation("of a shared table only the first part is published", 2, collect, "collect",
             "for receipt in done[unit.id].parts\n", "for receipt in done[unit.id].parts[:1]\n"),
    Mutation("rows that a job has left out are not missed", 2, collect, "prove",
             "rows != expected", "False"),
    Mutation("of a block of rows only one is counted", 4, count, "_avro_rows",
             "rows += block.rows", "rows += min(block.rows, 1)"),
    Mutation("that a table was given up is not settled for all", 4, ledger, "give_up",
             "await asyncio.gather(*map(one, failed))", "pass"),
    Mutation("latest.json is pointed at whoever comes last", 3, published, "move_latest",
             "if latest and latest.age > ready.age:", "if False:"),
    Mutation("publishing.json names whoever comes last", 3, final_names, "announce",
             "if current and current.age > export.plan.age:", "if False:"),
    Mutation("the claims of another execution bind for ever", 4, work, "_free",
             "else Free(held.generation)", "else None"),
    Mutation("each task makes job ids of its own", 4, jobs, "job_id",
             "_{attempt}", "_{attempt}{random.randrange(10)}"),
    Mutation("a second planner overwrites the plan", 4, planning, "_make",
             "encode_indented(plan), 0)", "encode_indented(plan), None)"),
    Mutation("a superseded run withdraws nothing", 4, final_names, "withdraw",
             "if current is None or", "if True or"),
    Mutation("that a file is a receipt or a failure is recorded behind its writing only", 4, layout, "is_note",
             "in NOTES", "in NOTES[:2]"),
    Mutation("the exports that a new one replaces are not cleared", 4, published, "move_latest",
             "if latest and latest.replaces:", "if False:"),
    Mutation("an answer of a batch is believed whatever object it names", 2, retry, "_own_answer",
             "if expected not in (None, got):", "if False:"),
    Mutation("HTTP 408 counts as permanent", 4, google_errors, "_passes",
             "(REQUEST_TIMEOUT, TOO_MANY_REQUESTS)", "(TOO_MANY_REQUESTS,)"),
    Mutation("a listing goes on by page numbers after an error", 4, retry, "_listed", BY_NAME, BY_NUMBER),
    Mutation("what was there before the first export of a table that failed is not named", 4, replace.Replace,
             "place", "for table in carry.left}, naive)", "for table in carry.left}, [])"),
    Mutation("a run that keeps its files deletes what was replaced before the switch", 5, keep.Keep, "clear",
             "Earlier exports stay as they are.\"\"\"",
             '"""; from bqdump.export.placement.replace import Replace; await Replace().clear(export, manifest)'),
    Mutation("everything below the prefix is taken for an old export", 5, replace, "_naive_shards",
             "if not ours and (split := split_shard(info.name, tables)):",
             "if (split := split_shard(info.name, tables) or (next(iter(tables), ''), 0)) and not ours and tables:"),
    Mutation("staged files are deleted before the manifest names them", 5, replace.Replace, "place",
             "return Placed(files", "await clear_staging(export.task); return Placed(files"),
    Mutation("whose a prefix is is looked at while planning, and not claimed", 5, prefix, "claim_prefix",
             "if generation and owner and not owner.released:", "if True:"),
    Mutation("a mistaken run gives a prefix away under a run that has been planned", 5, prefix, "release_prefix",
             "if await _has_plan(store, settings, stored.value):", "if False:"),
    Mutation("whose a prefix is is not looked at again once there is a plan", 5, planning, "obtain_plan",
             "    await claim_prefix(task.store, task.settings, task.run)\n", ""),
    Mutation("a mistaken run keeps the prefix", 4, planner, "step_back",
             "await release_prefix(task.store, task.settings, task.run)", "pass"),
    Mutation("staged files of a run whose jobs are running are cleared", 5, abandoned, "_clear_all",
             'any(job.startswith(f"bqdump_{other.run}_{other.nonce}_") for job in jobs)', "False"),
    Mutation("staged files of later runs are cleared", 5, abandoned, "_clear_all",
             "and other.age < export.plan.age", ""),
    Mutation("staged files are cleared by name, of whatever generation", 5, abandoned, "_clear",
             "((info.name, info.generation) for info in page)",
             "[(now.name, now.generation) for info in page for now in [await task.store.stat(info.name)] if now]"),
    Mutation("that a run stages files is forgotten when none are found", 5, abandoned, "_clear_all",
             "elif export.plan.began - other.began > STAGES_NO_MORE_MS:", "else:"),
    Mutation("a message that does not fit into a note is cut by its characters", 4, notes, "shortened",
             "if len(text) <= characters and _size(text) <= bytes_:",
             "if len(text := text[:characters]) <= characters:"),
    Mutation("a table created after the moment is passed over in silence", 6, plan, "choose",
             'snapshot)}"\n            skipped.append(', 'snapshot)}"\n            (lambda skip: None)('),
    Mutation("a policy that comes after planning is passed over in silence", 6, policies, "_hidden_rows",
             "if names else ()", "if False else ()"),
    Mutation("a table that was published after planning is removed unnamed", 8, carry, "carry_over",
             "kept = sorted(gone.keys() - reasons.keys())", "kept = sorted(export.plan.kept)"),
    Mutation("most tables of an export may be dropped unasked", 8, removal, "removal_flags",
             'if mass or one.reason == "excluded"', 'if one.reason == "excluded"'),
    Mutation("tables are excluded from an export unasked", 8, removal, "removal_flags",
             'if mass or one.reason == "excluded"', "if mass"),
    Mutation("a dropped table leaves an export unnamed", 8, removal, "leaving",
             "removed.append(", 'if reason != "dropped" or not chosen:\n            removed.append('),
    Mutation("tables that were left out are removed although they are to be kept", 8, removal, "leaving",
             "if not chosen and settings.keep_others:", "if False:"),
    Mutation("a table that goes while the run is planned is passed over in silence", 6, definitions, "describe",
             "list(await asyncio.gather(*map(one, listed)))",
             '[t for t in await asyncio.gather(*map(one, listed)) if bytes(t.definition) != b"null"]'),
)  # fmt: skip


@contextmanager
def planted(mutation: Mutation) -> Iterator[None]:
    """Put the bug in, wherever the function is used, and take it out afterwards."""
    original: Callable[..., Any] = getattr(mutation.where, mutation.function)
    source = textwrap.dedent(inspect.getsource(original))
    if source.count(mutation.old) != 1:
        raise LookupError(f"{mutation.function} does not hold {mutation.old!r} once")
    code = compile(source.replace(mutation.old, mutation.new), mutation.name, "exec",
                   flags=__future__.annotations.compiler_flag)  # fmt: skip
    scope = dict(inspect.unwrap(original).__globals__)
    exec(code, scope)
    with ExitStack() as stack:
        for place in (mutation.where, *_modules()):
            if getattr(place, mutation.function, None) is original:
                stack.enter_context(mock.patch.object(place, mutation.function, scope[mutation.function]))
        yield


def _modules() -> list[ModuleType]:
    packages = (export, repository)
    return [
        importlib.import_module(info.name)
        for package in packages
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
