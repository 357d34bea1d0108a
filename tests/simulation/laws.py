"""The laws, asserted at the instant of every change in the bucket."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bqdump.adapters.checksums import crc32c
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.documents.path_template import shard_name, split_shard
from bqdump.core.documents.run import Plan
from bqdump.core.documents.run_layout import unit_of
from bqdump.core.documents.target import Latest
from bqdump.core.risks import Risk
from bqdump.core.tables.patterns import NO_LABELS, select
from bqdump.core.units.tables import done_tables, table_plans
from bqdump.ports.store import Copy, ObjectInfo
from simulation.contents import in_order, lines_of
from simulation.history import History
from simulation.lake import Lake
from simulation.law import Law
from simulation.process import Process
from simulation.view import View, all_files, standing

BeforeSnapshot = tuple[bytes, ObjectInfo] | None


class Broken(NamedTuple):
    """A law that does not hold."""

    law: Law
    what: str

    def __str__(self) -> str:
        return f"broken law: {self.law.value}\n{self.what}"


class Laws:
    """Judges every change. `broken`: the first finding; `stop` is called with it."""

    def __init__(
        self, view: View, histories: dict[str, History], foreign: dict[str, int], stop: Callable[[], None]
    ) -> None:
        self.view, self.histories, self.foreign, self.stop = view, histories, foreign, stop
        self._clock = next(iter(histories.values())).clock
        self.broken: Broken | None = None
        self.first_published = ""
        # Tables with row access policies, and since when.
        self.protected: dict[str, int] = {}
        self.completed: dict[str, int] = {}
        # What the settings of each run allow.
        self.allowed: dict[str, tuple[Risk, ...]] = {}
        # Uploads that have arrived after their run or their table had ended: nobody may be there to clear them.
        self.late: set[str] = set()
        self.given_up: dict[tuple[str, str], int] = {}
        self._listed: dict[str, set[str]] = {}
        # By process: the objects that it has seen in listings, and the jobs that it has found at work.
        self._shown: dict[str, set[tuple[str, int]]] = {}
        self._at_work: dict[str, set[str]] = {}
        self._contents: dict[int, bytes] = {}
        self._named: set[tuple[str, int]] = set()
        self.lake = Lake(view, self.hold)

    def blame(self, law: Law, what: str) -> None:
        """Remember a finding, and stop the schedule."""
        if self.broken is None:
            self.broken = Broken(law, what)
            self.stop()

    def hold(self, law: Law, true: bool, what: str) -> None:
        """Blame unless it is true."""
        if not true:
            self.blame(law, what)

    def listed(self, process: Process, tables: list[str]) -> None:
        """Somebody has listed the dataset."""
        self._listed[process.name] = set(tables)

    def shown(self, process: Process, page: list[ObjectInfo]) -> None:
        """Somebody has listed objects."""
        self._shown.setdefault(process.name, set()).update((info.name, info.generation) for info in page)

    def at_work(self, process: Process, jobs: set[str]) -> None:
        """Somebody has asked which jobs are at work."""
        self._at_work[process.name] = jobs

    def uploaded(self, run: str, name: str) -> None:
        """A file of the read route has arrived."""
        plan, publishing = self.view.plan(run), self.view.publishing()
        superseded = plan is not None and publishing is not None and publishing.age > plan.age
        if superseded or run in self.completed or (run, unit_of(name)) in self.given_up:
            self.late.add(name)

    def written(self, process: Process, name: str, before: BeforeSnapshot) -> None:
        """Somebody has written an object."""
        layout, run = self.view.layout, process.run
        self.hold(Law.OWN_FILES, name.startswith(layout.root), f"{run} wrote {name}, which is none of its documents")
        if name == layout.latest.name:
            self._pointed(run, before)
        elif name == layout.publishing.name:
            self._announced(run, before)
        elif name.startswith(layout.iceberg):
            self.lake.written(run, name, before)
        elif name == layout.run(run).manifest.name:
            self.hold(Law.TRUE, before is None, f"the manifest of {run} was written twice")
            self._completed(run)
        elif name.startswith(layout.run(run).receipts) and (unit := unit_of(name)) in self.view.given_up(run):
            self.given_up[run, unit] = self._clock()
        elif name == layout.run(run).plan.name:
            self.hold(Law.RESUMABLE, before is None, f"the plan of {run} was written twice")
            self._planned(run, self._listed.get(process.name, set()))

    def appended(self, run: str, name: str) -> None:
        """Somebody has added to an object."""
        view, plan = self.view, self.view.plan(run)
        staged = name.startswith(view.layout.run(run).staging)
        patterns = {unit.pattern for unit in view.units(plan)} if plan and plan.mode == "keep" else set()
        own = staged or split_shard(name, patterns) is not None
        self.hold(Law.OWN_FILES, own, f"{run} added to {name}, which is none of its files")
        self.hold(Law.TRUE, view.manifest(run) is None, f"{run} added to {name} after its manifest was written")

    def copied(self, run: str, wish: Copy, before: BeforeSnapshot, result: ObjectInfo) -> None:
        """Somebody has copied an object over another."""
        view, name = self.view, wish.target
        found = view.store.peek(name)
        self._contents[result.generation] = found[0] if found else b""
        self.hold(Law.OWN_FILES, wish.source.startswith(view.layout.run(run).staging), f"{run} copied {wish.source}")
        self.hold(Law.OWN_FILES, name not in self.foreign, f"{run} overwrote {name}, which is somebody else's")
        self.hold(Law.COMPLETE, name in view.intent(run), f"{run} wrote {name} without having said so")
        self.hold(Law.TRUE, result.origin.split("/")[0] == run, f"{name} is marked {result.origin!r} by {run}")
        if before is not None and (other := before[1].origin.split("/")[0]):
            ours, theirs = view.plan(run), view.plan(other)
            same = ours is None or theirs is None or ours.dataset == theirs.dataset
            self.hold(Law.OWN_FILES, same, f"{run} put {name} over the file of {other}, of another dataset")
            self.hold(
                Law.FORWARD,
                view.age(other) <= view.age(run),
                f"{run} put {name} over the file of the later run {other}",
            )
        self._readers_see_whole()

    def deleted(self, process: Process, info: ObjectInfo) -> None:
        """Somebody has deleted an object."""
        run = process.run
        may = self._may_clear(process, info) if self._of_another(run, info) else self._may_delete(run, info)
        self.hold(Law.OWN_FILES, may, f"{run} deleted {info.name} (generation {info.generation})")
        self.lake.deleted(run, info)
        if not info.name.startswith(self.view.layout.root):
            latest = self.view.latest()
            manifest = self.view.manifest(latest.run) if latest else None
            given = standing(manifest).get(info.name) if manifest else None
            needed = given is not None and given[1].generation == info.generation
            self.hold(
                Law.COMPLETE, not needed, f"{run} deleted {info.name}, which latest.json's manifest gives to readers"
            )
            self._readers_see_whole()

    def _of_another(self, run: str, info: ObjectInfo) -> bool:
        """Whether it is what another run has staged, or the note that it may have."""
        runs, staged = self.view.layout.runs, self.view.layout.staged
        if info.name.startswith(staged):
            return True
        return info.name.startswith(runs) and not info.name.startswith(self.view.layout.run(run).root)

    def _may_clear(self, process: Process, info: ObjectInfo) -> bool:
        """Whether a published run may delete this of an earlier one: exactly what it has seen there, and no job is
        still writing."""
        view, latest = self.view, self.view.latest()
        if info.name.startswith(view.layout.staged):
            other = info.name.removeprefix(view.layout.staged).removesuffix(".json")
            return other == process.run and view.manifest(other) is not None
        other = info.name.removeprefix(view.layout.runs).partition("/")[0]
        plan = view.plan(other)
        return (
            plan is not None
            and latest is not None
            and plan.age < latest.age
            and info.name.startswith(view.layout.run(other).staging)
            and (info.name, info.generation) in self._shown.get(process.name, ())
            and process.name in self._at_work
            and not any(job.startswith(f"bqdump_{other}_{plan.nonce}_") for job in self._at_work[process.name])
        )

    def _may_delete(self, run: str, info: ObjectInfo) -> bool:
        view, layout = self.view, self.view.layout.run(run)
        if info.name.startswith(layout.staging):
            later = [pointer for pointer in (view.latest(), view.publishing()) if pointer]
            ended = view.manifest(run) is not None or unit_of(info.name) in view.given_up(run)
            # Of two attempts by the read route, the files of the one without the receipt go.
            receipt = view.receipts(run).get(unit_of(info.name))
            folder = info.name.removeprefix(layout.staging).partition("/")[0]
            second = receipt is not None and folder != f"{receipt.unit}.{receipt.attempt}"
            return ended or second or any(pointer.age > view.age(run) for pointer in later)
        plan = view.plan(run)
        if info.name in (layout.planner.name, view.layout.owner.name):
            # Of a run that planned nothing nothing stays.
            return True
        if info.name.startswith(layout.root):
            other = plan is not None and info.name not in (plan.units, plan.definitions)
            return other and ("/units-" in info.name or "/definitions-" in info.name)
        if info.name.startswith(view.layout.iceberg):
            return self.lake.may_delete(run, info)
        if info.name.startswith(view.layout.root) or info.name in self.foreign:
            return False
        if plan is not None and plan.mode == "keep":
            patterns = {unit.pattern for unit in view.units(plan)}
            return split_shard(info.name, patterns) is not None and (info.name, info.generation) not in self._named
        mine = plan is not None and info.origin.split("/")[:2] == [run, plan.nonce]
        return mine or (info.name, info.generation) in self._named or self._taken_over(run, info)

    def _taken_over(self, run: str, info: ObjectInfo) -> bool:
        """Whether this is marked as placed by a run that was never published, in whose place this one was."""
        latest, (other, nonce, *_) = self.view.latest(), (*info.origin.split("/"), "")
        plan = self.view.plan(other) if other else None
        before = {pointer.run for pointer in latest.uncleared} if latest and latest.run == run else ()
        return plan is not None and plan.nonce == nonce and other in before

    def _pointed(self, run: str, before: BeforeSnapshot) -> None:
        view = self.view
        latest = view.latest()
        assert latest is not None
        self.first_published = self.first_published or latest.run
        self.lake.published(latest.run)
        if before is not None:
            old = view.decode_latest(before[0])
            forward = old.age < latest.age or old.run == latest.run
            self.hold(
                Law.OWN_FILES,
                old.dataset == latest.dataset,
                f"{latest.run} took {old.run}'s prefix for another dataset",
            )
            self.hold(
                Law.FORWARD,
                forward,
                f"latest.json went from {old.run} {old.snapshot} to {latest.run} {latest.snapshot}",
            )
        manifest, info = view.manifest(latest.run), view.info(latest.manifest)
        whole = manifest is not None and info is not None and info.generation == latest.manifest_generation
        self.hold(Law.COMPLETE, whole, f"latest.json names {latest.run}, whose manifest is not the one that it says")
        self.lake.is_whole()
        if before is not None and manifest is not None and not self._entered_late(old, latest):
            self._nothing_left_unasked(view.manifest(old.run), manifest)
        self._readers_see_whole()

    def _entered_late(self, old: Latest, now: Latest) -> bool:
        """Whether the older run was entered in the log behind the newer one, so that it never was what is published."""
        entries = [self.view.info(self.view.layout.entry(one.run, one.snapshot).name) for one in (old, now)]
        first, second = (info.generation if info else 0 for info in entries)
        return bool(second) and first > second

    def _nothing_left_unasked(self, before: Manifest | None, now: Manifest) -> None:
        """A table of the export before is in this one, has failed in it, or is named as removed, with the reason."""
        plan = self.view.plan(now.run)
        if before is None or plan is None:
            return
        had = {table for table, _ in standing(before).values()} | {entry.table for entry in before.tables}
        has = {entry.table for entry in now.tables} | {table.table for table in now.left}
        named = {one.table for one in now.failed} | {one.table for one in now.removed}
        lost = had - has - named
        self.hold(Law.ASKED_REMOVALS, not lost, f"{sorted(lost)} of {before.run} left {now.run} unnamed")
        planned = {one.table for one in plan.removed}
        unplanned = {one.table for one in now.removed} - planned
        steady = self.histories[plan.dataset].steady(plan.snapshot)
        self.hold(
            Law.ASKED_REMOVALS,
            not unplanned & steady,
            f"{now.run} has removed {sorted(unplanned)}, which its plan does not name",
        )
        dropped = sum(one.reason == "dropped" and one.table in had for one in now.removed)
        self.hold(
            Law.ASKED_REMOVALS,
            not unplanned or 2 * dropped <= len(had) or Risk.REMOVED_TABLES in self.allowed.get(now.run, ()),
            f"{now.run} has removed {sorted(unplanned)} of {sorted(had)} unasked",
        )
        both = has & planned - {unit.table for unit in self.view.units(plan)}
        self.hold(Law.ASKED_REMOVALS, not both, f"{now.run} has {sorted(both)}, which its plan removes")

    def _removals(self, plan: Plan) -> None:
        """What a plan removes, and whether it is allowed to."""
        before = self.view.manifest(plan.over) if plan.over else None
        if before is None:
            return
        had = {entry.table for entry in before.tables} | {table.table for table in before.left}
        here = {unit.table for unit in self.view.units(plan)} | {one.table for one in plan.reused}
        gone = sorted(had - here)
        chosen = dict(zip(gone, select(gone, (), tuple(plan.settings["exclude"]), NO_LABELS), strict=True))
        kept = {table for table in gone if not chosen[table] and plan.settings["keep_others"]}
        removed = {one.table: one.reason for one in plan.removed}
        self.hold(
            Law.ASKED_REMOVALS,
            set(plan.kept) == kept,
            f"{plan.run} carries over {plan.kept}, and {sorted(kept)} were chosen",
        )
        named = removed.keys() == set(gone) - kept
        self.hold(Law.ASKED_REMOVALS, named, f"{plan.run} names {removed} as removed, of {gone}")
        excluded = {table for table in removed if not chosen[table]}
        told = {table for table, reason in removed.items() if reason == "excluded"}
        self.hold(Law.ASKED_REMOVALS, told == excluded, f"{plan.run} says that {told} were excluded: it was {excluded}")
        asked = Risk.REMOVED_TABLES in self.allowed.get(plan.run, ())
        mass = 2 * (len(removed) - len(excluded)) > len(had)
        self.hold(
            Law.ASKED_REMOVALS,
            asked or not (excluded or mass),
            f"{plan.run} removes {removed} of {sorted(had)} unasked",
        )

    def _carried(self, run: str, manifest: Manifest, entries: list[TableEntry]) -> None:
        """What was carried over is what the export before had."""
        before = self.view.manifest(manifest.over) if manifest.over else None
        theirs = {entry.table: entry for entry in before.tables} if before else {}
        for entry in entries:
            was = theirs.get(entry.table)
            same = was is not None and (was.files, was.definition, was.rows) == (
                entry.files, entry.definition, entry.rows
            )  # fmt: skip
            self.hold(
                Law.ASKED_REMOVALS, same, f"{run} carries over {entry.table}, and {manifest.over} has it otherwise"
            )
            if was is not None and before is not None and entry.carried is not None:
                of = was.carried or before
                told = (entry.carried.run, entry.carried.snapshot) == (of.run, of.snapshot)
                self.hold(
                    Law.ASKED_REMOVALS, told, f"{run} says that {entry.table} is of {entry.carried}: it is of {of.run}"
                )

    def _named_again(self, plan: Plan, manifest: Manifest, entries: list[TableEntry]) -> None:
        """What was not exported again is what the table was, in files as the settings require them."""
        names = sorted(one.table for one in plan.reused)
        there = [entry.table for entry in entries]
        self.hold(Law.UNCHANGED, sorted(there) == names, f"{manifest.run} has {there} of the unchanged {names}")
        for entry in entries:
            told = entry.carried is not None and entry.carried.unchanged_at == plan.snapshot
            self.hold(Law.UNCHANGED, told, f"{manifest.run} says of {entry.table}: {entry.carried}")
            fits = entry.format == plan.settings["format"]
            self.hold(Law.UNCHANGED, fits, f"{manifest.run} names {entry.format} files of {entry.table}")
            contents = [self._contents.get(file.generation, b"") for file in entry.files]
            content = in_order(b"".join(map(lines_of, contents)))
            wanted = self.histories[plan.dataset].content_at(entry.table, plan.snapshot)
            self.hold(
                Law.UNCHANGED,
                content == wanted,
                f"{manifest.run} names files of {entry.table} again, with {content!r}: it was {wanted!r}",
            )

    def _announced(self, run: str, before: BeforeSnapshot) -> None:
        now = self.view.publishing()
        assert now is not None
        if before is not None:
            old = self.view.decode_pointer(before[0])
            forward = old.age < now.age or (old.run == now.run and now.ready is not None)
            self.hold(Law.FORWARD, forward, f"publishing.json went from {old.run} to the earlier {now.run}")

    def _planned(self, run: str, listed: set[str]) -> None:
        plan = self.view.plan(run)
        assert plan is not None
        self._removals(plan)
        named = {unit.table for unit in self.view.units(plan)} | {item.table for item in plan.skipped}
        named |= {one.table for one in plan.reused}
        every = sorted(listed | self.histories[plan.dataset].steady(plan.snapshot))
        choice = select(every, (), tuple(plan.settings["exclude"]), NO_LABELS)
        wanted = {table for table, chosen in zip(every, choice, strict=True) if chosen}
        self.hold(
            Law.NAMED_LOSSES,
            named == wanted,
            f"the plan of {run} names {sorted(named)}, and there are {sorted(wanted)}",
        )
        flagged = {flag.table for flag in plan.flags if flag.risk in (Risk.SKIPPED, Risk.CREATED_LATER)}
        self.hold(
            Law.NAMED_LOSSES,
            flagged == {item.table for item in plan.skipped},
            f"{run} leaves out more than {sorted(flagged)}",
        )

    def _completed(self, run: str) -> None:
        view = self.view
        self.completed[run] = self._clock()
        plan, manifest = view.plan(run), view.manifest(run)
        assert plan is not None
        assert manifest is not None
        self.lake.completed(manifest)
        self._named |= {(file.name, file.generation) for file in all_files(manifest)}
        units = {unit.table: unit for unit in table_plans(view.units(plan), plan)}
        done = done_tables(view.receipts(run), plan)
        failed = {failure.table for failure in manifest.failed if failure.table in units}
        own = [entry for entry in manifest.tables if entry.carried is None]
        again = {one.table for one in plan.reused}
        self._carried(run, manifest, [one for one in manifest.tables if one.carried and one.table not in again])
        self._named_again(plan, manifest, [one for one in manifest.tables if one.table in again])
        there = [entry.table for entry in own]
        planned = {*plan.flags}
        gone = {flag.table for flag in manifest.flags if flag.risk == Risk.DROPPED_TABLES and flag not in planned}
        self.hold(
            Law.TRUE,
            sorted([*there, *failed, *gone]) == sorted(units),
            f"{run}: of {sorted(units)} it has {there}, {failed} failed, {gone} were dropped",
        )
        lost = gone & self.histories[plan.dataset].steady(plan.snapshot)
        self.hold(Law.NAMED_LOSSES, not lost, f"{run} lacks {sorted(lost)}, which were never dropped")
        flagged = {flag.table for flag in manifest.flags if flag.risk == Risk.ROW_POLICIES}
        # No job reports what the read route was shown: where policies cannot be seen, that is what is told.
        never = self._clock() + 1
        unseen = any(flag.risk == Risk.UNSEEN_ROW_POLICIES for flag in manifest.flags)
        hiding = {
            entry.table
            for entry in manifest.tables
            if self.protected.get(entry.table, never) <= entry.started and not (unseen and entry.route == "read")
        }
        self.hold(
            Law.NAMED_LOSSES,
            hiding <= flagged,
            f"{run} is silent on the row access policies of {sorted(hiding - flagged)}",
        )
        self.hold(Law.NAMED_LOSSES, set(plan.flags) <= set(manifest.flags), f"{run} has forgotten flags of its plan")
        self.hold(
            Law.TRUE, (manifest.status == "partial") == bool(manifest.failed), f"{run} is called {manifest.status}"
        )
        publishing = view.publishing()
        replaced = publishing is not None and publishing.age > plan.age
        for entry in own:
            table = done.get(units[entry.table].id)
            parts = table.attempts if table else ()
            numbers = [part.first + number for part in parts for number in range(part.files)]
            self.hold(Law.TRUE, bool(parts) and len(numbers) == len(entry.files), f"{run}: {entry.table} and receipt")
            if plan.mode == "replace":
                numbers = list(range(len(numbers)))
            names = [shard_name(units[entry.table].pattern, number) for number in numbers]
            self.hold(Law.TRUE, [file.name for file in entry.files] == names, f"{run}: files of {entry.table}")
            content = b""
            for file in entry.files:
                found = view.store.peek(file.name)
                if plan.mode == "keep" and found and found[1].generation == file.generation:
                    self._contents[file.generation] = found[0]
                same = found is not None and found[1].generation == file.generation
                self.hold(
                    Law.TRUE, same or replaced, f"{run}: {file.name} of generation {file.generation} is not there"
                )
                data = self._contents.get(file.generation, b"")
                self.hold(
                    Law.TRUE, (len(data), crc32c(data)) == (file.size, file.crc32c), f"{run}: {file.name} differs"
                )
                content += lines_of(data)
            wanted = self.histories[plan.dataset].content_at(entry.table, plan.snapshot)
            silent = (entry.route, entry.format) == ("extract", "csv")
            told = entry.rows == (None if silent else content.count(b"\n"))
            self.hold(Law.TRUE, told, f"{run}: {entry.table} is said to have {entry.rows} rows, it has {content!r}")
            self.hold(
                Law.TRUE,
                in_order(content) == wanted,
                f"{run}: {entry.table} has {content!r}, at its moment it was {wanted!r}",
            )

    def _readers_see_whole(self) -> None:
        """What latest.json's manifest names is there, or a later run is replacing it and has said so."""
        view = self.view
        latest, publishing = view.latest(), view.publishing()
        manifest = view.manifest(latest.run) if latest else None
        if manifest is None:
            return
        replacing = publishing if publishing and publishing.age > manifest.age else None
        for name, (table, file) in standing(manifest).items():
            info = view.info(name)
            if info is not None and (info.generation == file.generation or self.overtaken(manifest, name, info)):
                continue
            if replacing is None:
                self.blame(
                    Law.COMPLETE, f"{name} of the published {manifest.run} is not there, and no later run replaces it"
                )
            elif info is None:
                self._may_be_missing(manifest, replacing.run, name, table)
            else:
                owner = info.origin.split("/")[0]
                self.hold(
                    Law.COMPLETE, bool(owner) and view.age(owner) > manifest.age, f"{name} was replaced by {owner!r}"
                )

    def overtaken(self, manifest: Manifest, name: str, info: ObjectInfo) -> bool:
        """The one exception to COMPLETE and TRUE: a file left from before for a table that failed, in a partial export.

        A run that announces itself keeps earlier runs' copies off the names that it writes, and it does not write
        these. A copy of an earlier run that was under way already may still land there.
        """
        left = any(file.name == name for table in manifest.left for file in table.files)
        return left and self.view.age(info.origin.split("/")[0]) < manifest.age

    def _may_be_missing(self, manifest: Manifest, replacing: str, name: str, table: str) -> None:
        plan, receipts = self.view.plan(replacing), self.view.receipts(replacing)
        # A table that failed in the later run, or has another format there, is not replaced under this name; an earlier
        # run may take back its own copy.
        done = done_tables(receipts, plan) if plan else {}
        ended = [unit for unit in self.view.units(plan) if unit.table == table and unit.id in done] if plan else []
        there = any(name.endswith(unit.pattern.rpartition("*")[2]) for unit in ended)
        gone = name not in self.view.intent(replacing) and not (there and "0" * 12 + "." in name)
        self.hold(Law.COMPLETE, gone, f"{name} of {manifest.run} is missing while {replacing} replaces it")
