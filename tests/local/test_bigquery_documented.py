"""What BigQuery's reference says about functions and queries, asked of the local stack: the same result, or a refusal.

A result that differs without a refusal is the worst that a stand-in can do, so each of these is answered as documented,
refused as an error of the query, or refused with 501 and the name of what is missing.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError

from local import documented_edges, documented_queries, documented_scalars, documented_times
from local.bigquery_server import Cloud

MODULES = (documented_scalars, documented_times, documented_queries, documented_edges)
STATEMENTS = (
    "SELECT ",
    "WITH ",
    "FROM ",
    "CREATE ",
    "DECLARE ",
    "INSERT ",
    "UPDATE ",
    "DELETE ",
    "MERGE ",
    "TRUNCATE ",
)
SUBJECTS = {
    name: cases
    for module in MODULES
    for name, cases in vars(module).items()
    if isinstance(cases, list) and name.isupper()
}


def test_there_are_hundreds_of_them() -> None:
    assert sum(map(len, SUBJECTS.values())) > 850


@pytest.fixture(scope="module")
def tables(world: Cloud) -> None:
    """The tables of the dataset that queries name `d`."""
    world.client.create_dataset("d")
    for statement in documented_edges.TABLES_OF_D:
        world.sql(statement)


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("subject", SUBJECTS)
def test_documented_results_are_answered_or_refused(world: Cloud, subject: str) -> None:
    different = []
    for text, expected in SUBJECTS[subject]:
        is_query = text.startswith(STATEMENTS)
        found = _answer(world, text if is_query else f"SELECT {text} AS v")
        if not is_query and not isinstance(found, type):
            ((found,),) = found
        if not _same(found, expected):
            different.append(f"{text}: {found!r} instead of {expected!r}")
    assert different == []


def _answer(world: Cloud, query: str) -> Any:
    """The rows of a query, or the class of its error."""
    try:
        return world.sql(query, retry=None, job_retry=None)
    except GoogleAPICallError as error:
        return type(error)


def _same(actual: Any, expected: Any) -> bool:
    """Whether values are equal: NaN equals NaN, FLOAT64 to 12 digits, and types do not mix."""
    if isinstance(actual, float) and isinstance(expected, float):
        return math.isclose(actual, expected, rel_tol=1e-12) or (math.isnan(actual) and math.isnan(expected))
    if isinstance(actual, (list, tuple)) and isinstance(expected, (list, tuple)):
        return len(actual) == len(expected) and all(map(_same, actual, expected))
    return type(actual) is type(expected) and bool(actual == expected)
