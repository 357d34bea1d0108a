"""The simulation finds what it is for: for each law, bugs that break it."""

from __future__ import annotations

import pytest

from simulation.bugs import SCHEDULES, find, known_seeds
from simulation.mutations import MUTATIONS, Mutation
from simulation.world import simulate

KNOWN = known_seeds()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_known_bug_is_found(mutation: Mutation) -> None:
    found = find(mutation, KNOWN.get(mutation.name))
    assert found is not None, f"none of {SCHEDULES} schedules breaks law {mutation.law}"
    assert simulate(found.seed).broken is None


def test_every_law_has_a_known_bug() -> None:
    assert {mutation.law for mutation in MUTATIONS} == {1, 2, 3, 4, 5, 6, 8}
