"""The simulation finds what it is for: for each law, bugs that break it."""

from __future__ import annotations

import pytest

from simulation.bugs import MUTATIONS, RARE, find, known_seeds
from simulation.law import Law
from simulation.mutations import Mutation, planted

KNOWN = known_seeds()
# Where a seed finds nothing any more. A bug may need thousands of schedules, which take minutes.
SEARCHED = 50


TRIED = [mutation for mutation in MUTATIONS if mutation.name not in RARE]
FIRST = {mutation.law: mutation for mutation in reversed(TRIED)}
OTHERS = [mutation for mutation in TRIED if mutation not in FIRST.values()]


def check(mutation: Mutation) -> None:
    """The bug is found by a schedule in which no law is broken without it."""
    found = find(mutation, KNOWN.get(mutation.name), SEARCHED)
    assert found is not None, f"the law holds: {mutation.law.value}. Find new seeds: python -m tests.simulation --bugs"


@pytest.mark.parametrize("law", Law, ids=lambda law: law.name)
def test_a_known_bug_of_each_law_is_found(law: Law) -> None:
    check(FIRST[law])


@pytest.mark.parametrize("mutation", OTHERS, ids=lambda mutation: mutation.name)
def test_every_other_known_bug_is_found(mutation: Mutation) -> None:
    check(mutation)


def test_every_law_has_a_known_bug() -> None:
    assert set(FIRST) == set(Law)


def test_every_known_bug_can_be_planted() -> None:
    for mutation in MUTATIONS:
        sound = getattr(mutation.where, mutation.attribute)
        with planted(mutation):
            assert getattr(mutation.where, mutation.attribute) != sound, mutation.name
        assert getattr(mutation.where, mutation.attribute) == sound
