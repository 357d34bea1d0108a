"""Elements of arrays, and columns and members behind the path of their table."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import BadRequest
from google.cloud import bigquery

from local.bigquery_server import PROJECT, Cloud


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("a[OFFSET(n)]", ["x", "y"]),
        ("a[ORDINAL(n + 1)]", ["x", "y"]),
        ("a[SAFE_OFFSET(n + 1)]", ["y", None]),
        ("a[SAFE_OFFSET(n - 1)]", [None, "x"]),
        ("a[SAFE_ORDINAL(n)]", [None, "x"]),
        ("a[OFFSET(1)]", ["y", "y"]),
        ("a[OFFSET(CAST(NULL AS INT64))]", [None, None]),
        ("SPLIT('p,q', ',')[OFFSET(MOD(n + 1, 2))]", ["q", "p"]),
    ],
)
def test_an_element_is_counted_from_where_its_keyword_says(
    world: Cloud, expression: str, found: list[str | None]
) -> None:
    sql = f"SELECT {expression} FROM (SELECT ['x', 'y'] AS a, n FROM UNNEST([0, 1]) AS n) ORDER BY n"
    assert [row[0] for row in world.sql(sql)] == found


@pytest.mark.parametrize("index", ["OFFSET(2)", "OFFSET(-1)", "ORDINAL(0)"])
def test_an_index_out_of_bounds_is_an_error(world: Cloud, index: str) -> None:
    with pytest.raises(BadRequest, match=r"Array index .* is out of bounds"):
        world.sql(f"SELECT ['x', 'y'][{index}]")


def test_members_of_structs_follow_the_path_of_a_table(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT STRUCT(STRUCT('x' AS name, 2 AS age) AS inside) AS outside")
    path = f"`{name}.t`.`outside`"
    [row] = world.sql(f"SELECT {path}.`inside`.`name` AS a, {path}.`inside` AS b, {path} AS c FROM `{name}.t`")
    assert row == ("x", {"name": "x", "age": 2}, {"inside": {"name": "x", "age": 2}})


def test_the_alias_of_a_table_can_be_a_path_in_backquotes(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT ['x', 'y'] AS many")
    sql = f"SELECT one FROM `{name}.t` `{name}.t_1`, UNNEST(`{name}.t_1`.`many`) AS one ORDER BY one"
    assert world.sql(sql) == [("x",), ("y",)]


def test_a_string_parameter_is_compared_with_times_like_a_literal(world: Cloud) -> None:
    config = bigquery.QueryJobConfig(query_parameters=[bigquery.ScalarQueryParameter("p", "STRING", "2020-01-02")])
    sql = "SELECT TIMESTAMP '2020-01-01 00:00:00 UTC' < @p, DATE '2020-01-02' = @p, @p"
    assert world.sql(sql, job_config=config, project=PROJECT) == [(True, True, "2020-01-02")]
