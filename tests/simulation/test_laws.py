"""Exports, restores, prunes, copies and sets under faults: the first schedules, with every law asserted at every step.

`.ci/run` goes on with thousands, and `make soak` with many more. That a schedule finds what it is for, the planted bugs
show: each with the seed that found it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from simulation.copies.set_vaults import simulate as simulate_vaults
from simulation.copies.world import simulate as simulate_copies
from simulation.incremental import simulate as simulate_incremental
from simulation.prunes.world import simulate as simulate_prunes
from simulation.restores.world import simulate as simulate_restores
from simulation.schedule import Verdict
from simulation.sets.nights import simulate as simulate_sets
from simulation.world import simulate


def check(schedule: Callable[[int], Verdict], seed: int, option: str = "") -> None:
    """Every law holds in the schedule of this seed; where one does not, say how to replay it."""
    verdict = schedule(seed)
    replay = f"replay: python -m tests.simulation {option}--seed {seed} --trace"
    assert verdict.broken is None, "\n".join((*verdict.trace, str(verdict.broken), replay))


@pytest.mark.parametrize("seed", range(40))
def test_every_law_holds(seed: int) -> None:
    check(simulate, seed)


@pytest.mark.parametrize("seed", range(10))
def test_what_did_not_change_is_not_exported_again(seed: int) -> None:
    check(simulate_incremental, seed, "--incremental ")


@pytest.mark.parametrize("seed", range(40))
def test_a_restored_dataset_equals_its_export(seed: int) -> None:
    check(simulate_restores, seed, "--restores ")


@pytest.mark.parametrize("seed", range(20))
def test_prune_deletes_nothing_that_is_kept(seed: int) -> None:
    check(simulate_prunes, seed, "--prunes ")


@pytest.mark.parametrize("seed", range(20))
def test_a_copy_is_complete_or_not_there(seed: int) -> None:
    check(simulate_copies, seed, "--copies ")


@pytest.mark.parametrize("seed", range(20))
def test_what_is_locked_restores_until_its_date(seed: int) -> None:
    check(simulate_vaults, seed, "--vaults ")


@pytest.mark.parametrize("seed", range(10))
def test_a_set_is_named_once_it_is_published(seed: int) -> None:
    check(simulate_sets, seed, "--sets ")


REPLAYED = """
from simulation.copies.world import simulate as simulate_copies
from simulation.prunes.world import simulate as simulate_prunes
from simulation.restores.world import simulate as simulate_restores
from simulation.sets.nights import simulate as simulate_sets
from simulation.world import simulate

for schedule in (simulate, simulate_restores, simulate_prunes, simulate_copies, simulate_sets):
    for verdict in map(schedule, range(3)):
        print(verdict.steps, verdict.trace)
"""


def test_a_seed_replays_exactly_in_any_process() -> None:
    def replayed(hashes: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": str(Path(__file__).parents[1])}
        program = [sys.executable, "-c", REPLAYED]
        return subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout

    there = replayed("1")
    assert len(there.splitlines()) == 15
    assert replayed("2") == there
