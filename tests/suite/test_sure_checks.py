"""Tests can fail."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from docs.walk import ROOT
from suite.sure_checks import Suite

SURE = {
    "an assertion": "assert found()",
    "each of what is written here": "for one in (1, 2): assert one",
    "each of what was counted": "assert len(found) == 2\n for one in found: assert one",
    "all of what was counted": "assert found\n assert all(found)",
    "either way": "if found(): assert 1\n else: assert 2",
    "an error that is named": "with raises(ValueError, match='no'): found()",
    "an error that is looked at": "with raises(ValueError) as error: found()\n assert error.value",
    "an error of the tests": "with raises(Killed): found()",
    "an error or a result": "problem = ''\n try: found()\n except ValueError as e: problem = str(e)\n assert problem",
    "an end with a check": "try: found()\n except ValueError:\n  assert 2\n  return\n assert 1",
    "a helper": "checked(found())",
    "a function that is passed on": "def use(store): assert store\n run(use)",
    "no check at all": "found()",
}
UNSURE = {
    "each of what a search finds": "for one in found(): assert one",
    "all of what a search finds": "assert all(one for one in found())",
    "all that a search leaves": "assert all(one for one in CONSTANT if one)",
    "one way": "if found(): assert 1",
    "an end without a check": "try: found()\n except ValueError: return\n assert 1",
    "an error of any cause": "with raises(ValueError): found()",
    "errors that are let through": "for one in (1, 2):\n  try: assert found(one)\n  except ValueError: continue",
    "a helper that is not sure": "looked_at(found())",
}
OTHERS = """
CONSTANT = (1, 2)
class Killed(BaseException): pass
def checked(one): assert one
def looked_at(many):
    for one in many: assert one
"""


def unsure(body: str) -> list[str]:
    indented = body.replace("\n", "\n   ")
    return Suite({Path("t"): ast.parse(f"{OTHERS}def test_it():\n    {indented}")}).unsure_tests()


@pytest.mark.parametrize("body", SURE.values(), ids=list(SURE))
def test_a_sure_test_is_accepted(body: str) -> None:
    assert unsure(body) == []


@pytest.mark.parametrize("body", UNSURE.values(), ids=list(UNSURE))
def test_a_test_that_may_end_without_a_check_is_named(body: str) -> None:
    assert unsure(body) == ["t:7 test_it"]


def test_each_claim_about_all_of_what_may_be_nothing_is_named() -> None:
    test = "def test_it():\n    assert 1\n    assert all(found())\n    assert some\n    assert all(one for one in some)"
    assert Suite({Path("t"): ast.parse(test)}).hollow_claims() == ["t:3 test_it"]


def test_no_test_can_end_without_a_check() -> None:
    """The rule, and what else a test can do: see suite.sure_checks."""
    paths = sorted((ROOT / "tests").rglob("*.py"))
    suite = Suite({path.relative_to(ROOT): ast.parse(path.read_text()) for path in paths})
    assert len(paths) > 300
    assert suite.unsure_tests() == []
    assert suite.hollow_claims() == []
