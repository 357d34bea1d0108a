"""Filters: whatever the text, one that is taken cannot leave the parentheses that it is put into."""

from __future__ import annotations

import itertools

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from bqdump.core.settings.table_settings import filter_problem
from bqdump.core.sql.statements import select
from bqdump.core.tables.catalog import Dataset

DATASET = Dataset("p", "d", "EU")
GOOD = [
    "x > 1",
    """name = 'it\\'s' OR name LIKE "%;--%\"""",
    "country IN ('CH', 'LI') AND (a OR (b AND c))",
    "`odd ; name) --` IS NOT NULL",
    r"s = 'a\'; DROP TABLE t --'",
    "s = '''it's\n; -- # fine ' '' \\''' '''",
    's = """a " ) "" b"""',
    "s IN ('', \"\", '''''')",
    "id IN (SELECT id FROM d.other WHERE y[OFFSET(0)] = 1)",
    "EXTRACT(YEAR FROM at) = 2026",
    "a > 1\n  AND b < 2",
]
BAD = {
    "": "empty filter",
    "  \n": "empty filter",
    "x > 1; DROP TABLE t": "';' is not allowed",
    "x > 1 -- only some": "comments are not allowed (--)",
    "x > 1 # only some": "comments are not allowed (#)",
    "x /* some */ > 1": "comments are not allowed (/*)",
    "TRUE) UNION ALL SELECT (1": "unmatched )",
    "x) OR (y": "unmatched )",
    "(x > 1": "unclosed (",
    "x[(1])": "unmatched ]",
    "name = 'open": "unclosed '",
    'name = "open': 'unclosed "',
    "`open": "unclosed `",
    "name = '''open''": "unclosed '",
    "name = 'two\nlines'": "unclosed '",
    r"name = 'a\'": "unclosed '",
    r"s = r'\' OR TRUE OR s = 'b'": "unclosed '",
    r"r'\'": "unclosed '",
    "name = @salt_0": "'@' is not allowed",
    "@@project_id = 'x'": "'@' is not allowed",
    "x \\ y": "is not allowed",
    "x > 1\x00": "is not allowed",
    "``": "unclosed `",
}


@pytest.mark.parametrize("text", GOOD)
def test_an_expression_is_taken(text: str) -> None:
    assert filter_problem(text) == ""


@pytest.mark.parametrize("text", BAD)
def test_what_could_leave_its_place_is_refused(text: str) -> None:
    assert BAD[text] in filter_problem(text)


PIECES = st.sampled_from(
    ["'", '"', "`", "'''", '"""', "\\", "\\'", "(", ")", "[", "]", ";", "--", "#", "/*", "*/", "\n", " ", "x", "= 1",
     "AND", "r", "b", "rb'", "@p", "UNION ALL SELECT", "'a'", "`c`", "(1)"]
)  # fmt: skip


def outside_of_quotes(text: str) -> str:
    """The text with a space for each quoted part, read character by character as BigQuery's lexical rules say."""
    left, at = [], 0
    while at < len(text):
        quote = next((q for q in ("'''", '"""', "'", '"', "`") if text.startswith(q, at)), "")
        if not quote:
            left.append(text[at])
            at += 1
            continue
        at += len(quote)
        while not text.startswith(quote, at):
            if at >= len(text):
                raise ValueError("never closed")
            if text[at] == "\n" and len(quote) == 1:
                raise ValueError("a line break in a text of one line")
            at += 2 if text[at] == "\\" else 1
        at += len(quote)
        # What stands on either side of a quoted part is not one mark.
        left.append(" ")
    return "".join(left)


@given(st.lists(PIECES, max_size=14).map("".join))
def test_a_filter_that_is_taken_has_nothing_outside_of_quotes_that_ends_it(text: str) -> None:
    assert filter_problem(text) or ends_nothing(outside_of_quotes(text))


def ends_nothing(text: str) -> bool:
    depths = list(itertools.accumulate({"(": 1, ")": -1}.get(char, 0) for char in text))
    closed = not depths or (min(depths) >= 0 and depths[-1] == 0)
    return closed and not any(mark in text for mark in (";", "--", "#", "/*", "@", "\\"))


@pytest.mark.parametrize("text", GOOD)
def test_a_filter_is_the_only_condition_of_the_one_query(text: str) -> None:
    (statement,) = sqlglot.parse(select(DATASET, "t", None, where=text), read="bigquery")
    assert isinstance(statement, exp.Select)
    assert not any(statement.args.get(part) for part in ("group", "having", "order", "limit", "joins"))
    assert isinstance(statement.args["where"].this, exp.Paren)
