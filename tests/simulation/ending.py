"""The end of a schedule: every run is resumed until it is complete, and then everything must be in its place."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.path_template import split_shard
from bqdump.core.errors import TablesFailedError, UsageError, VerificationError
from bqdump.core.risks import Risk
from bqdump.core.tables.patterns import NO_LABELS, select
from bqdump.export.act import TaskResult
from simulation.executions import Execution
from simulation.law import Law
from simulation.view import standing

if TYPE_CHECKING:
    from simulation.world import SimulatedExport


async def finish(world: SimulatedExport) -> None:
    """Resume every run, then hold everything against the laws."""
    _ended_tidily(world)
    for run in world.mistaken:
        await _resume(world, run)
    await _abandon(world)
    runs = [run for run in world.runs if run not in world.mistaken]
    world.rng.shuffle(runs)
    complete = [run for run in runs if await _resume(world, run)]
    # What could not be carried over while another run was half published can be now.
    complete += [run for run in runs if run not in complete and world.view.plan(run) and await _resume(world, run)]
    _all_in_place(world, complete)
    _exported_once(world, complete)
    if complete and world.rng.random() < 0.5:
        before = _published(world)
        await _resume(world, world.rng.choice(complete))
        world.laws.hold(
            Law.RESUMABLE, before == _published(world), "running a finished run again has changed something"
        )


def _ended_tidily(world: SimulatedExport) -> None:
    """Whoever has published, or has stepped aside, has left nothing behind."""
    for run in world.engine.done:
        staged = _staged(world, run)
        world.laws.hold(
            Law.RESUMABLE, not staged, f"a task of {run} has ended it, and its staging still holds {staged}"
        )


async def _abandon(world: SimulatedExport) -> None:
    """At times nobody resumes what has not ended. The next run that is published clears what it has staged."""
    if random.Random(f"{world.seed} abandons").random() < 0.7:
        return
    earlier, last = list(world.runs), Execution("last", "last", 1, world.scenery.settings)
    world.runs[last.run] = last
    world.laws.allowed[last.run] = last.settings.allow
    if not await _resume(world, last.run):
        return
    for run in earlier:
        plan = world.view.plan(run)
        if plan and plan.age < world.view.age(last.run):
            names = world.view.names(world.view.layout.run(run).staging)
            staged = _staged(world, run) if run in world.laws.completed else names
            world.laws.hold(Law.RESUMABLE, not staged, f"{run} is abandoned, and its staging still holds {staged}")


def _staged(world: SimulatedExport, run: str) -> list[str]:
    """What is staged for a run."""
    late = _late(world, run)
    names = world.view.names(world.view.layout.run(run).staging)
    return [name for name in names if name not in world.laws.late and not split_shard(name, late)]


def _late(world: SimulatedExport, run: str) -> set[str]:
    """Patterns of files that nobody may be there to clear: their job has ended after the run had been completed, or
    after its table had been given up, and whoever waited for it may have died."""

    def late(job_id: str) -> bool:
        ended, unit = world.warehouse._jobs[job_id].ended, job_id.split("_")[-2]
        since = (world.laws.completed.get(run, 0), world.laws.given_up.get((run, unit), 0))
        return any(0 < moment < ended for moment in since)

    return {
        request.uri.split("/", 3)[3]
        for job_id, request in world.warehouse.extracted.items()
        if job_id.startswith(f"bqdump_{run}_") and late(job_id)
    }


async def _resume(world: SimulatedExport, run: str) -> bool:
    """Whether the run is complete now; it is not where one of its tables cannot be exported, or has lost rows."""
    first = world.runs[run]
    for number in range(3):
        world.resumed += 1
        execution = Execution(run, f"resume{world.resumed}", world.rng.choice((1, 2)), first.settings)
        ended = await world.engine.once(execution, 0)
        if isinstance(ended, TablesFailedError) and _cannot_complete(world, run):
            return False
        if isinstance(ended, VerificationError) and run in world.lossy:
            return False
        if isinstance(ended, UsageError):
            # The other dataset may have claimed the prefix, and its planner may have died before its plan was stored.
            # A mistaken run has to give it back.
            owner, mine = world.view.owner(), first.settings.dataset
            claimed = owner is not None and owner.dataset != mine and owner.run not in world.mistaken
            plans = [plan for plan in map(world.view.plan, world.runs) if plan]
            lost = claimed or run in world.mistaken or any(plan.dataset != mine for plan in plans)
            world.laws.hold(
                Law.RESUMABLE, lost or _refused_for_a_reason(world, run), f"{run} is refused without a reason"
            )
            return False
        if isinstance(ended, TaskResult) and ended.state != "unfinished":
            return True
        world.trace.add("", "resumed", run, f"{number}: {ended!r}")
    world.laws.blame(Law.RESUMABLE, f"{run} does not complete, however often it is resumed")
    return False


def _cannot_complete(world: SimulatedExport, run: str) -> bool:
    plan = world.view.plan(run)
    steady = world.laws.histories[plan.dataset].steady(plan.snapshot) if plan else set()
    return plan is not None and any(unit.table not in steady for unit in world.view.units(plan))


def _refused_for_a_reason(world: SimulatedExport, run: str) -> bool:
    """Whether a run may be refused: it would remove tables unasked, or cannot carry them over."""
    view, settings, plan, latest = world.view, world.runs[run].settings, world.view.plan(run), world.view.latest()
    published = view.manifest(latest.run) if latest else None
    if latest is None or published is None:
        return False
    publishing = view.publishing()
    had = [*dict.fromkeys([entry.table for entry in published.tables] + [table.table for table in published.left])]
    if plan is not None:
        half = publishing is not None and publishing.run != latest.run
        given_up = view.given_up(run)
        dropped = {unit.table for unit in view.units(plan) if unit.id in given_up}
        most = 2 * len(dropped.intersection(had)) > len(had) and Risk.REMOVED_TABLES not in settings.allow
        return world.switching or half or plan.mode == "keep" or most
    chosen = [name for name, wanted in zip(had, select(had, (), settings.exclude, NO_LABELS), strict=True) if wanted]
    history = world.laws.histories[settings.dataset]
    steady = history.steady(settings.snapshot_ms or history.clock())
    gone = [name for name in chosen if name not in steady]
    if settings.keep_others and len(chosen) < len(had) and settings.template.keeps != (latest.mode == "keep"):
        return True
    unasked = (len(chosen) < len(had) and not settings.keep_others) or 2 * len(gone) > len(had)
    return unasked and Risk.REMOVED_TABLES not in settings.allow


def _all_in_place(world: SimulatedExport, complete: list[str]) -> None:
    view, laws = world.view, world.laws
    for name, generation in world.scenery.foreign.items():
        info = view.info(name)
        laws.hold(
            Law.OWN_FILES, info is not None and info.generation == generation, f"{name}, somebody else's, was touched"
        )
    for run in complete:
        staged = view.names(view.layout.run(run).staging)
        laws.hold(Law.RESUMABLE, not staged, f"{run} is complete, and its staging still holds {staged}")
    latest = view.latest()
    newest = max((view.age(run) for run in complete), default=None)
    laws.hold(
        Law.FORWARD, (latest.age if latest else None) == newest, f"latest.json names {latest}, the newest is {newest}"
    )
    if latest is None:
        return
    laws.hold(Law.RESUMABLE, not latest.uncleared or latest.mode == "keep", f"{latest.uncleared} were never cleared")
    manifests = [manifest for run in complete if (manifest := view.manifest(run))]
    laws.lake.at_the_end([manifest for manifest in manifests if manifest.mode == "keep" or manifest.run == latest.run])
    # Runs that keep their files keep them whatever comes later; of those that replace, the last one counts.
    kept = [manifest for manifest in manifests if manifest.mode == "keep"]
    _nothing_beside(world, kept)
    manifests = kept
    if latest.mode == "replace":
        published = next(manifest for run in complete if (manifest := view.manifest(run)) and run == latest.run)
        _nothing_but(world, published)
        manifests = [*kept, published]
    for manifest in manifests:
        for name, (_, file) in standing(manifest).items():
            info = view.info(name)
            same = info is not None and (info.generation, info.crc32c) == (file.generation, file.crc32c)
            same = same or (info is not None and laws.overtaken(manifest, name, info))
            laws.hold(Law.TRUE, same, f"{name} of {manifest.run} is not what its manifest says: {info}")


def _nothing_but(world: SimulatedExport, manifest: Manifest) -> None:
    """At final names lies what the published manifest names, and what was never ours."""
    view, laws, naive = world.view, world.laws, world.scenery.naive
    first = view.plan(laws.first_published)
    dropped = view.given_up(laws.first_published)
    adopted = {unit.table for unit in view.units(first) if unit.id not in dropped} if first else set()
    template = world.scenery.settings.template
    # Files of another format than the first one's were not its own to replace.
    ext = str(first.settings["format"]) if first else world.scenery.settings.format
    plans = [plan for plan in map(view.plan, world.runs) if plan]
    keeping = {unit.pattern for plan in plans if plan.mode == "keep" for unit in view.units(plan)}
    for info in map(view.info, world.store.names_now()):
        assert info is not None
        if info.name.startswith(view.layout.root) or info.name in world.scenery.foreign:
            continue
        if naive.get(info.name) == info.generation:
            heads = [view.layout.prefix + template.pattern(table=table, ext=ext).split("*")[0] for table in adopted]
            stale = any(info.name.startswith(head) and len(info.name) == len(head) + 13 + len(ext) for head in heads)
            stale = stale and info.name not in standing(manifest) and not keeping
            laws.hold(Law.RESUMABLE, not stale, f"{info.name}, of an export before the first one, is still there")
            continue
        allowed = info.name in standing(manifest) or split_shard(info.name, keeping) or _stays(world, info.origin)
        laws.hold(Law.RESUMABLE, bool(allowed), f"{info.name} (from {info.origin}) lies about")


def _stays(world: SimulatedExport, origin: str) -> bool:
    """Whether a copy may lie about: its run has stepped aside for a later one that keeps, and replaces nothing."""
    run, plans = origin.split("/")[0], map(world.view.plan, world.runs)
    return bool(run) and any(plan and plan.mode == "keep" and plan.age > world.view.age(run) for plan in plans)


def _nothing_beside(world: SimulatedExport, manifests: list[Manifest]) -> None:
    """Where runs stand beside each other: below the names of a complete run lies what its manifest names."""
    state, foreign = world.view.layout.root, world.scenery.foreign
    named = {name for manifest in manifests for name in standing(manifest)}
    complete = {manifest.run for manifest in manifests}
    late = set().union(*(_late(world, run) for run in complete))
    for name in world.store.names_now():
        if not name.startswith(state) and name not in foreign and any(run in name for run in complete):
            told = name in named or split_shard(name, late) is not None
            world.laws.hold(Law.RESUMABLE, told, f"{name} lies about")


def _exported_once(world: SimulatedExport, complete: list[str]) -> None:
    done: dict[str, int] = {}
    for job_id in world.warehouse.extracted:
        job = world.warehouse._jobs[job_id]
        if job.error is None:
            unit = job_id.rsplit("_", 1)[0]
            done[unit] = done.get(unit, 0) + 1
    more = [unit for unit, count in done.items() if count > 1]
    world.laws.hold(Law.RESUMABLE, not more, f"exported more than once: {more}")
    for run in complete:
        plan = world.view.plan(run)
        assert plan is not None
        # Only dropped tables are given up where a partial export is not allowed.
        without = world.view.given_up(run)
        for planned in world.view.units(plan) if not world.scenery.settings.allow_partial else ():
            if planned.route == "read" or planned.id in without:
                # No job of BigQuery: each attempt reads for itself, and one of them has the receipt.
                continue
            wanted = f"bqdump_{run}_{plan.nonce}_{planned.id}"
            world.laws.hold(Law.RESUMABLE, done.get(wanted) == 1, f"{wanted} was exported {done.get(wanted)} times")


def _published(world: SimulatedExport) -> list[tuple[str, int]]:
    """Everything but the notes of those who work: names and generations."""
    state = world.view.layout.root
    infos = [info for info in map(world.view.info, world.store.names_now()) if info]
    kept = ("latest.json", "publishing.json", "plan.json", "manifest.json", "intent.json")
    return [
        (info.name, info.generation) for info in infos if not info.name.startswith(state) or info.name.endswith(kept)
    ]
