"""Planted bugs and the schedules that find them. `seeds.json` has a seed for each, so that a test does not search."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from simulation.copies.mutations import MUTATIONS as OF_COPIES
from simulation.copies.set_vaults import simulate as simulate_vaults
from simulation.copies.world import simulate as simulate_copies
from simulation.incremental import simulate as simulate_incremental
from simulation.law import Law
from simulation.mutations import MUTATIONS as OF_EXPORTS
from simulation.mutations import Mutation, planted
from simulation.prunes.mutations import MUTATIONS as OF_PRUNES
from simulation.prunes.world import simulate as simulate_prunes
from simulation.restores.mutations import MUTATIONS as OF_RESTORES
from simulation.restores.world import simulate as simulate_restores
from simulation.schedule import Verdict
from simulation.sets.mutations import MUTATIONS as OF_SETS
from simulation.sets.nights import simulate as simulate_sets
from simulation.world import simulate

MUTATIONS = (*OF_EXPORTS, *OF_RESTORES, *OF_PRUNES, *OF_COPIES, *OF_SETS)
SIMULATIONS = {
    Law.RESTORED: simulate_restores,
    Law.UNCHANGED: simulate_incremental,
    Law.PRUNED: simulate_prunes,
    Law.COPIED: simulate_copies,
    Law.LOCKED: simulate_vaults,
    Law.SETS: simulate_sets,
}
# No schedule of some thousand finds these, since the steps that share work have changed: `--bugs` goes on searching.
RARE = frozenset(
    {
        "a pointer to a run of one dataset counts in the place of a set",
        "project.json is written before every dataset has ended",
        "what was published while planning counts as what is published",
    }
)
SCHEDULES = 6000
SEEDS = Path(__file__).with_name("seeds.json")


def known_seeds() -> dict[str, int]:
    """The seed that found each bug when it was last searched for, by the bug's name."""
    known: dict[str, int] = json.loads(SEEDS.read_text()) if SEEDS.exists() else {}
    return known


def schedules(mutation: Mutation) -> Callable[[int], Verdict]:
    """The simulation in which a bug is searched for."""
    return SIMULATIONS.get(mutation.law, simulate)


def find(mutation: Mutation, hint: int | None, most: int = SCHEDULES) -> Verdict | None:
    """A schedule in which the bug breaks its law, and in which no law is broken without it; the hint is tried first.

    None where none of the first `most` does. The seeds move whenever the steps of an export or of a restore change.
    """
    schedule = schedules(mutation)
    for seed in range(most) if hint is None else (hint, *range(most)):
        with planted(mutation):
            verdict = schedule(seed)
        if verdict.broken and verdict.broken.law == mutation.law and schedule(seed).broken is None:
            return verdict
    return None


def search(name: str) -> tuple[str, int | None]:
    """The first seed that finds the bug of this name."""
    (mutation,) = (one for one in MUTATIONS if one.name == name)
    found = find(mutation, known_seeds().get(name))
    return name, found.seed if found else None


def write_seeds(seeds: dict[str, int]) -> None:
    """Keep the seeds, in the order of the bugs."""
    SEEDS.write_text(json.dumps({one.name: seeds[one.name] for one in MUTATIONS if one.name in seeds}, indent=2) + "\n")
