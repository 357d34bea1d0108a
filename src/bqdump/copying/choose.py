"""Which runs are copied: the published run, those that are named, all, or those that a policy keeps."""

from __future__ import annotations

from collections.abc import Sequence

from bqdump.copying.task import Place
from bqdump.core.retention.policy import Policy, Snapshot, apply
from bqdump.observe.history import RunLine, list_runs
from bqdump.repository.copies import published_run
from bqdump.repository.published import missing_run


async def chosen_runs(place: Place, runs: Sequence[str], policy: Policy, now: int, *, every: bool) -> list[str]:
    """The runs to copy, the earliest snapshot time first. Raises NotFoundError for one that does not exist.

    policy: with any rule, the complete runs that it keeps. every: all complete runs.
    """
    if not runs and not policy and not every:
        return [await published_run(place.store, place.settings)]
    lines = {line.run: line for line in await list_runs(place.store, place.settings)}
    for run in runs:
        if run not in lines:
            raise missing_run(run, place.settings, list(lines))
    whole = [line for line in lines.values() if line.whole]
    if runs:
        return sorted(dict.fromkeys(runs), key=lambda run: _age(lines[run]))
    if not whole:
        # Raises the error about a place without an export, or with a set of them.
        return [await published_run(place.store, place.settings)]
    kept = apply(policy, map(_snapshot, whole), now) if policy else {}
    return sorted((copyable.run for copyable in whole if every or kept[copyable.run]), key=lambda run: _age(lines[run]))


def _age(line: RunLine) -> tuple[float, str]:
    return (line.snapshot_time.timestamp() if line.snapshot_time else 0.0, line.run)


def _snapshot(line: RunLine) -> Snapshot:
    taken = round(line.snapshot_time.timestamp() * 1000) if line.snapshot_time else 0
    return Snapshot(
        line.run, ("", ""), taken, line.state == "complete", line.tags, "published" if line.published else ""
    )
