"""The simulation finds what it is for: for each law, bugs that break it."""

from __future__ import annotations

import pytest

from simulation.mutations import MUTATIONS, Mutation, planted
from simulation.world import simulate

SCHEDULES = 1000


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_known_bug_is_found(mutation: Mutation) -> None:
    with planted(mutation):
        verdicts = (simulate(seed) for seed in range(SCHEDULES))
        found = next((one for one in verdicts if one.broken and one.broken.law == mutation.law), None)
        assert found is not None
        assert simulate(found.seed) == found
    assert simulate(found.seed).broken is None


def test_every_law_has_a_known_bug() -> None:
    assert {mutation.law for mutation in MUTATIONS} == {1, 2, 3, 4, 5, 6, 8}
