"""No macro of the stack is called within a macro: DuckDB would repeat it wherever the outer one names its parameter."""

from __future__ import annotations

import pytest
from sqlglot import exp

from bqdump.core.formats.types import Column
from bqdump.core.sql.checksums import TEXTS, bigquery_statement, leaves
from bqdump_local.bigquery.functions import calls
from bqdump_local.bigquery.functions.nodes import MACRO
from bqdump_local.bigquery.sql.parsing import parse


def macros(part: exp.Expression) -> list[exp.Expression]:
    return [node for node in part.find_all(exp.Anonymous) if node.name.startswith(MACRO)]


@pytest.mark.parametrize("type_", TEXTS)
@pytest.mark.parametrize("repeated", [False, True])
def test_the_hash_of_a_value_calls_no_macro_within_a_macro(type_: str, repeated: bool) -> None:
    query = bigquery_statement("(SELECT 1)", leaves([Column("a", type_, repeated=repeated)]), "csv")
    found = macros(calls.replace(parse(query)[0]))
    assert found
    assert [str(outer) for outer in found if len(macros(outer)) > 1] == []
