"""References to the source dataset are mapped to the target, and nothing else in a text is."""

from __future__ import annotations

import pytest
import sqlglot
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlglot import exp

from bqdump.core.restore.names import Moves, tokens
from bqdump.core.restore.references import mapped
from bqdump.core.tables.catalog import Dataset

SOURCE, TARGET = Dataset("my-proj", "shop", "EU"), Dataset("other", "back", "EU")
NEAR = Dataset("my-proj", "back", "EU")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM `my-proj.shop.orders`", "SELECT * FROM `other.back.orders`"),
        ("SELECT * FROM `my-proj`.`shop`.`orders` o", "SELECT * FROM `other`.`back`.`orders` o"),
        ("SELECT * FROM my-proj.shop.orders", "SELECT * FROM other.back.orders"),
        ("SELECT * FROM `my-proj.shop`.orders", "SELECT * FROM `other.back`.orders"),
        ("SELECT * FROM `my-proj`.shop.orders", "SELECT * FROM `other`.back.orders"),
        ("SELECT * FROM my-proj . shop /* a */ . orders", "SELECT * FROM other . back /* a */ . orders"),
        ("SELECT * FROM shop.orders", "SELECT * FROM `other`.back.orders"),
        ("SELECT * FROM `shop.orders`", "SELECT * FROM `other.back.orders`"),
        ("SELECT * FROM `shop`.orders", "SELECT * FROM `other`.`back`.orders"),
        ("SELECT * FROM shop.2020_sales", "SELECT * FROM `other`.back.2020_sales"),
        ("SELECT * FROM `my-proj.shop.events_*`", "SELECT * FROM `other.back.events_*`"),
        ("SELECT * FROM shop.INFORMATION_SCHEMA.TABLES", "SELECT * FROM `other`.back.INFORMATION_SCHEMA.TABLES"),
        ("FROM a JOIN shop.b USING (x), shop.c", "FROM a JOIN `other`.back.b USING (x), `other`.back.c"),
        ("FROM a, (shop.b JOIN shop.c ON b.x = c.x)", "FROM a, (`other`.back.b JOIN `other`.back.c ON b.x = c.x)"),
        ("SELECT shop.fn(x), SAFE.shop(1)", "SELECT `other`.back.fn(x), SAFE.shop(1)"),
        ("SELECT `my-proj`.shop.fn(shop.g())", "SELECT `other`.back.fn(`other`.back.g())"),
        ("SELECT * FROM shop.tvf(TABLE shop.t, 1)", "SELECT * FROM `other`.back.tvf(TABLE `other`.back.t, 1)"),
        ("SELECT (SELECT MAX(x) FROM shop.t) FROM u", "SELECT (SELECT MAX(x) FROM `other`.back.t) FROM u"),
        ("FROM shop.a |> JOIN shop.b ON TRUE", "FROM `other`.back.a |> JOIN `other`.back.b ON TRUE"),
        ("FROM UNNEST(x) WITH OFFSET AS o, shop.b", "FROM UNNEST(x) WITH OFFSET AS o, `other`.back.b"),
        ("INSERT INTO shop.a (b) SELECT 1", "INSERT INTO `other`.back.a (b) SELECT 1"),
        ("MERGE shop.a USING shop.b ON TRUE", "MERGE `other`.back.a USING `other`.back.b ON TRUE"),
        ("CALL shop.p(1); UPDATE shop.t SET x = 1", "CALL `other`.back.p(1); UPDATE `other`.back.t SET x = 1"),
        ("CREATE TABLE IF NOT EXISTS shop.t (a INT64)", "CREATE TABLE IF NOT EXISTS `other`.back.t (a INT64)"),
        ("CREATE SEARCH INDEX i ON shop.t(ALL COLUMNS)", "CREATE SEARCH INDEX i ON `other`.back.t(ALL COLUMNS)"),
        ("SELECT * FROM ML.PREDICT(MODEL shop.m, TABLE shop.t)",
         "SELECT * FROM ML.PREDICT(MODEL `other`.back.m, TABLE `other`.back.t)"),
        ("SELECT 1 FROM shop.a AS shop UNION ALL SELECT 2 FROM shop.b AS shop",
         "SELECT 1 FROM `other`.back.a AS shop UNION ALL SELECT 2 FROM `other`.back.b AS shop"),
        ("SELECT a FROM shop.t WHERE d = EXTRACT(DAY FROM (SELECT MAX(d) FROM shop.u))",
         "SELECT a FROM `other`.back.t WHERE d = EXTRACT(DAY FROM (SELECT MAX(d) FROM `other`.back.u))"),
    ],
)  # fmt: skip
def test_a_reference_to_the_source_is_mapped(text: str, expected: str) -> None:
    found = mapped(text, Moves(SOURCE, TARGET))
    assert (found.text, found.stays) == (expected, ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM shop.orders, `shop`.b", "SELECT * FROM back.orders, `back`.b"),
        ("SELECT * FROM my-proj.shop.orders", "SELECT * FROM my-proj.back.orders"),
        ("SELECT * FROM `my-proj`.shop.a", "SELECT * FROM `my-proj`.back.a"),
    ],
)
def test_within_a_project_only_the_dataset_changes(text: str, expected: str) -> None:
    assert mapped(text, Moves(SOURCE, NEAR)).text == expected


@pytest.mark.parametrize(
    ("text", "expected", "stays"),
    [
        ("FROM shop.a JOIN crm.b JOIN lab.c", "FROM back.a JOIN old_crm.b JOIN lab.c", ("lab.c",)),
        ("FROM `my-proj.crm.b`, other.crm.b, crm", "FROM `my-proj.old_crm.b`, other.crm.b, crm", ("other.crm.b",)),
        # Each name is mapped once, even where a dataset takes the name of another one.
        ("FROM web.a, shop.b", "FROM shop.a, back.b", ()),
        ("FROM my-proj.crm.INFORMATION_SCHEMA.TABLES", "FROM my-proj.old_crm.INFORMATION_SCHEMA.TABLES", ()),
        ("FROM shop.a AS crm, crm.b", "FROM back.a AS crm, crm.b", ()),
    ],
)
def test_references_to_other_datasets_that_move_are_mapped_as_well(
    text: str, expected: str, stays: tuple[str, ...]
) -> None:
    found = mapped(text, Moves(SOURCE, NEAR, (("crm", "old_crm"), ("web", "shop"))))
    assert (found.text, found.stays) == (expected, stays)


def test_the_dots_of_a_project_are_no_end_of_its_name() -> None:
    source, target = Dataset("example.com:my", "shop", "EU"), Dataset("example.com:my", "back", "EU")
    moves = Moves(source, target, (("my", "x"), ("crm", "y")))
    assert mapped("FROM `example.com:my.crm.t`", moves).text == "FROM `example.com:my.y.t`"


def test_a_name_that_needs_quotes_gets_them() -> None:
    assert mapped("FROM shop.t", Moves(SOURCE, Dataset("my-proj", "2 `back", "EU"))).text == "FROM `2 \\`back`.t"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT shop.id, shop.address.city FROM customers AS shop",
        "SELECT shop.a - my-proj.shop.b FROM t",
        "SELECT x FROM crm.c AS shop, shop.items",
        "SELECT x FROM crm.c shop LEFT JOIN UNNEST(shop.items), shop.tags",
        "SELECT EXTRACT(YEAR FROM shop.day) FROM t AS shop",
        "SELECT a IS DISTINCT FROM shop.b FROM t",
        "SELECT 'FROM shop.t', \"FROM shop.t\", '''FROM 'shop.t''', r'\\' FROM shop.t', b\"FROM shop.t\"",
        "SELECT 1 -- FROM shop.t\n# FROM shop.t\n/* FROM shop.t */",
        "SELECT * FROM Shop.t, SHOP.u, `my-proj.Shop.t`, `my-proj2.shop.t`, `my-proj.shop2.t`, shop",
        "WITH shop AS (SELECT 1 AS x) SELECT shop.x FROM shop",
        "SELECT @shop.t, f(x).shop.t FROM u",
        "SELECT `shop.t` FROM u",
        "SELECT net.host(x), NET.HOST(y)",
        "SELECT * FROM shop.crm.t",
    ],
)
def test_names_that_refer_to_no_table_of_the_source_are_left(text: str) -> None:
    assert mapped(text, Moves(SOURCE, TARGET)).text == text
    assert mapped(text, Moves(Dataset("x", "net", "EU"), TARGET)).text == text


def test_references_to_other_datasets_are_reported() -> None:
    tables = "shop.t AS t, t.items, crm.c, `my-proj.crm.d`, region-eu.INFORMATION_SCHEMA.JOBS"
    found = mapped(f"SELECT crm.fn(1), NET.HOST(x) FROM {tables}", Moves(SOURCE, TARGET))
    assert found.stays == ("crm.c", "crm.fn", "my-proj.crm.d", "region-eu.INFORMATION_SCHEMA.JOBS")


def test_kept_references_are_reported_too() -> None:
    text = "SELECT * FROM shop.t JOIN `my-proj.shop.u`"
    assert mapped(text, Moves(SOURCE, TARGET), keep=True) == (text, ("my-proj.shop.u", "shop.t"))


PIECES = st.sampled_from(
    ["SELECT", "FROM", "JOIN", ",", "(", ")", "shop", ".", "orders", "`my-proj.shop.t`", "`shop`", "my-proj", "AS", " ",
     "'shop.t'", '"""shop.t"""', "r'\\'", "`", "'", "--", "\n", "/*", "*/", "#", "\\", "1.5", "@", ";", "ä", "EXTRACT",
     "UNNEST", "WITH", "ON", "INDEX", "shop.orders", "my-proj.shop.orders", "`a\\x41`", "`\\`"]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=3), max_size=30).map(" ".join) | st.lists(PIECES, max_size=30).map("".join)


@given(TEXTS)
def test_tokens_are_the_text(text: str) -> None:
    assert "".join(token.text for token in tokens(text)) == text
    assert all(token.text for token in tokens(text))


@given(TEXTS)
def test_mapping_to_itself_changes_nothing(text: str) -> None:
    assert mapped(text, Moves(SOURCE, SOURCE)).text == text


@given(TEXTS)
def test_strings_and_comments_never_change(text: str) -> None:
    def fixed(text: str) -> list[str]:
        return [token.text for token in tokens(text) if token.kind in ("string", "space")]

    assert fixed(mapped(text, Moves(SOURCE, TARGET)).text) == fixed(text)


@given(TEXTS)
def test_mapping_there_and_back_names_the_same_tables(text: str) -> None:
    there = mapped(text, Moves(SOURCE, NEAR))
    assume("back" not in text)
    again = mapped(there.text, Moves(NEAR, SOURCE))
    assert mapped(again.text, Moves(SOURCE, TARGET)).text == mapped(text, Moves(SOURCE, TARGET)).text


TABLES = st.sampled_from(["shop.a", "`my-proj.shop.b`", "`my-proj`.shop.c", "my-proj.shop.d", "crm.e", "cte"])


@st.composite
def queries(draw: st.DrawFn, depth: int = 2) -> str:
    """A query over tables of the source and of another dataset, with columns that look like them."""
    sources = [draw(TABLES) + f" AS t{number}" for number in range(draw(st.integers(1, 3)))]
    if depth and draw(st.booleans()):
        sources[0] = f"({draw(queries(depth - 1))}) AS t0"
    joined = sources[0]
    for source in sources[1:]:
        joined += draw(st.sampled_from([", ", " CROSS JOIN "])) + source
    columns = draw(st.sampled_from(["t0.shop.a", "'FROM shop.a' AS s", "t0.x /* shop.a */", "COUNT(*) AS n"]))
    where = f" WHERE EXISTS ({draw(queries(0))})" if depth and draw(st.booleans()) else ""
    query = f"SELECT {columns} FROM {joined}{where}"
    return f"WITH cte AS ({query}) SELECT * FROM cte" if depth == 2 and draw(st.booleans()) else query


@given(queries())
def test_a_parser_finds_no_table_of_the_source_afterwards_and_as_many_tables(query: str) -> None:
    before, after = (
        [(table.catalog, table.db) for table in sqlglot.parse_one(text, read="bigquery").find_all(exp.Table)]
        for text in (query, mapped(query, Moves(SOURCE, TARGET)).text)
    )
    assert after == [("other", "back") if db == "shop" else (catalog, db) for catalog, db in before]
