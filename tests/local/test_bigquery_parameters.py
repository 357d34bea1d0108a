"""Query parameters of every type, and expressions whose types differ from DuckDB's."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from google.cloud import bigquery
from google.cloud.bigquery import ArrayQueryParameter, RangeQueryParameter, ScalarQueryParameter, StructQueryParameter

from local.bigquery_server import Cloud

Parameter = Any


def ask(world: Cloud, query: str, *parameters: Parameter) -> tuple[Any, list[tuple[Any, ...]]]:
    config = bigquery.QueryJobConfig(query_parameters=list(parameters))
    found = world.client.query_and_wait(query, job_config=config)
    return found.schema, [tuple(row.values()) for row in found]


@pytest.mark.parametrize(
    ("parameter", "kind", "value"),
    [
        (ScalarQueryParameter("p", "BYTES", b"\xde\xad\xbe\xef"), "BYTES", b"\xde\xad\xbe\xef"),
        (ScalarQueryParameter("p", "BIGNUMERIC", Decimal("1.5")), "BIGNUMERIC", Decimal("1.5")),
        (ScalarQueryParameter("p", "NUMERIC", Decimal("1.5")), "NUMERIC", Decimal("1.5")),
        (ScalarQueryParameter("p", "DATE", dt.date(2026, 1, 2)), "DATE", dt.date(2026, 1, 2)),
        (ScalarQueryParameter("p", "TIMESTAMP", dt.datetime(2026, 1, 2, tzinfo=dt.UTC)), "TIMESTAMP",
         dt.datetime(2026, 1, 2, tzinfo=dt.UTC)),
        (ScalarQueryParameter("p", "BYTES", None), "BYTES", None),
        (ArrayQueryParameter("p", "BYTES", [b"a", b"b"]), "BYTES", [b"a", b"b"]),
        (ArrayQueryParameter("p", "INT64", []), "INTEGER", []),
        (ArrayQueryParameter("p", "BIGNUMERIC", [Decimal("2.5")]), "BIGNUMERIC", [Decimal("2.5")]),
        (RangeQueryParameter("DATE", start=dt.date(2016, 8, 11), end=None, name="p"), "RANGE",
         {"start": dt.date(2016, 8, 11), "end": None}),
        (StructQueryParameter("p", ScalarQueryParameter("a", "INT64", 3), ScalarQueryParameter("b", "BYTES", b"x"),
                              ScalarQueryParameter("n", "BIGNUMERIC", Decimal("0.5"))),
         "RECORD", {"a": 3, "b": b"x", "n": Decimal("0.5")}),
        (StructQueryParameter("p", ArrayQueryParameter("l", "STRING", ["x", "y"]),
                              StructQueryParameter("s", ScalarQueryParameter("f", "FLOAT64", 0.5))),
         "RECORD", {"l": ["x", "y"], "s": {"f": 0.5}}),
    ],
)  # fmt: skip
def test_a_parameter_comes_back_with_its_type(world: Cloud, parameter: Parameter, kind: str, value: Any) -> None:
    schema, rows = ask(world, "SELECT @p AS p", parameter)
    assert (schema[0].field_type, rows) == (kind, [(value,)])


def test_a_range_names_the_type_of_its_ends(world: Cloud) -> None:
    schema, _ = ask(world, "SELECT @p AS p", RangeQueryParameter("TIMESTAMP", name="p"))
    assert schema[0].range_element_type.element_type == "TIMESTAMP"


def test_parameters_by_position_have_the_types_of_their_positions(world: Cloud) -> None:
    schema, rows = ask(
        world, "SELECT ? + 1 AS a, ? AS b, ? AS c", ScalarQueryParameter(None, "INT64", 1),
        ScalarQueryParameter(None, "BIGNUMERIC", Decimal("1.5")), ScalarQueryParameter(None, "STRING", "s"),
    )  # fmt: skip
    assert [field.field_type for field in schema] == ["INTEGER", "BIGNUMERIC", "STRING"]
    assert rows == [(2, Decimal("1.5"), "s")]


def test_members_of_a_struct_parameter_can_be_used(world: Cloud) -> None:
    parameter = StructQueryParameter("p", ScalarQueryParameter("a", "INT64", 3), ScalarQueryParameter("b", "INT64", 4))
    assert ask(world, "SELECT @p.a + @p.b AS s", parameter)[1] == [(7,)]


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("DATE_SUB(DATE '2017-04-02', INTERVAL 1 DAY)", "DATE", dt.date(2017, 4, 1)),
        ("DATE_ADD(DATE '2017-01-31', INTERVAL 1 MONTH)", "DATE", dt.date(2017, 2, 28)),
        ("TIME(TIMESTAMP '2026-01-02 03:04:05+01')", "TIME", dt.time(2, 4, 5)),
        ("TIME(DATETIME '2026-01-02 03:04:05')", "TIME", dt.time(3, 4, 5)),
        ("ST_GEOGPOINT(31, 10.5)", "STRING", "POINT(31 10.5)"),
        ("(1, 'a')", "RECORD", {"_field_1": 1, "_field_2": "a"}),
        ("STRUCT(1, 'a')", "RECORD", {"_field_1": 1, "_field_2": "a"}),
        (
            "STRUCT<s STRUCT<v INT64>, l ARRAY<STRUCT<v INT64>>>(STRUCT(1), [STRUCT(2)])",
            "RECORD",
            {"s": {"v": 1}, "l": [{"v": 2}]},
        ),
        ("STRUCT(1 AS x, 'a')", "RECORD", {"x": 1, "_field_2": "a"}),
        ("[STRUCT(1 AS x), STRUCT(2)]", "RECORD", [{"x": 1}, {"x": 2}]),
    ],
)
def test_an_expression_has_bigquerys_type(world: Cloud, expression: str, kind: str, value: Any) -> None:
    schema, rows = ask(world, f"SELECT {expression} AS e")
    assert (schema[0].field_type, rows) == (kind, [(value,)])


def test_unnested_structs_without_names_are_structs(world: Cloud) -> None:
    assert ask(world, "SELECT x FROM UNNEST([(1, 2), (3, 4)]) AS x ORDER BY x._field_1")[1] == [
        ({"_field_1": 1, "_field_2": 2},), ({"_field_1": 3, "_field_2": 4},)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        "SELECT {d}.t.a FROM {d}.t",
        "SELECT `{d}.t`.`a` FROM `{d}.t`",
        "SELECT proj.{d}.t.a FROM {d}.t",
        "SELECT {d}.t.r.x FROM {d}.t",
        "SELECT t.r.x FROM {d}.t",
        "SELECT {d}.t.a FROM {d}.t WHERE {d}.t.a > 0 ORDER BY {d}.t.a",
        "SELECT one.a FROM {d}.t AS one JOIN {d}.u ON one.a = {d}.u.a",
    ],
)
def test_a_column_can_be_qualified_by_its_dataset(world: Cloud, query: str) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a, STRUCT(1 AS x) AS r")
    world.sql(f"CREATE TABLE {name}.u AS SELECT 1 AS a")
    assert world.sql(query.format(d=name)) == [(1,)]


def test_long_lists_and_many_columns_can_be_queried(world: Cloud) -> None:
    many = ", ".join(str(number) for number in range(10_000))
    assert world.sql(f"SELECT 1 WHERE 9999 IN ({many})") == [(1,)]
    columns = ", ".join(f"{number} AS c{number}" for number in range(3_000))
    assert len(world.sql(f"SELECT {columns}")[0]) == 3_000


def test_a_parameter_works_within_any_expression(world: Cloud) -> None:
    day, number = ScalarQueryParameter("d", "DATE", "2026-01-31"), ScalarQueryParameter("n", "INT64", 5)
    query = "SELECT DATE_ADD(@d, INTERVAL 1 DAY) AS a, TIMESTAMP_MILLIS(@n) AS b, STRUCT(@n AS x) AS c, (@n, 1) AS e"
    assert ask(world, query, day, number)[1] == [
        (dt.date(2026, 2, 1), dt.datetime(1970, 1, 1, 0, 0, 0, 5000, tzinfo=dt.UTC), {"x": 5},
         {"_field_1": 5, "_field_2": 1})
    ]  # fmt: skip


def test_a_star_has_the_members_of_unnested_structs(world: Cloud) -> None:
    assert ask(world, "SELECT * FROM UNNEST([(1, 2), (3, 4)])")[1] == [(1, 2), (3, 4)]
    schema, rows = ask(world, "SELECT * FROM UNNEST([STRUCT(1 AS a, 'x' AS b)]) AS one")
    assert ([field.name for field in schema], rows) == (["a", "b"], [(1, "x")])


def test_a_number_given_for_the_text_of_a_parameter_is_answered_as_text(world: Cloud) -> None:
    job = world.client.query("SELECT @t AS t", job_config=bigquery.QueryJobConfig(
        query_parameters=[ScalarQueryParameter("t", "TIMESTAMP", 1.4810976e9)]))  # fmt: skip
    (parameter,) = world.client._connection.api_request(
        "GET", f"/projects/{world.client.project}/jobs/{job.job_id}", query_params={"location": "US"}
    )["configuration"]["query"]["queryParameters"]
    assert parameter["parameterValue"]["value"] == "1481097600.0"
