"""Pruning runs by name: refused as a whole where a law keeps one of them, before anything is deleted."""

from __future__ import annotations

from collections.abc import Collection

from bqdump.core.errors import NotFoundError, UsageError
from bqdump.core.retention.result import Pruned, RetainedRun
from bqdump.core.sizes import listed

PRUNE = "prune"


def refuse_kept(runs: Collection[str], shown: Pruned) -> None:
    """Raise UsageError for a named run that stays, NotFoundError for one that does not exist. shown: a dry run."""
    for run in runs:
        found = [line for line in shown.runs if line.run == run]
        if not found:
            raise NotFoundError("find", f"run {run}", "there is none", "List the runs: {call:runs}")
        if kept := [line for line in found if not line.removed]:
            why = listed(list(dict.fromkeys(reason for line in kept for reason in line.reasons)))
            where = f" of dataset {kept[0].dataset}" if len(found) > 1 else ""
            raise UsageError(PRUNE, f"run {run}", f"it is kept{where}: {why}", _hint(kept[0]))


def _hint(kept: RetainedRun) -> str:
    if any(reason.startswith("tag ") for reason in kept.reasons):
        return "Nothing was deleted. Remove the tag first."
    return "Nothing was deleted. Leave it out."
