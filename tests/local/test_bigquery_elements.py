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


@pytest.fixture(scope="module")
def orders(world: Cloud) -> str:
    """A table with an array of structs, whose members are named like its columns."""
    name = world.dataset()
    columns = "id INT64, name STRING, items ARRAY<STRUCT<id INT64, name STRING>>"
    world.sql(f"CREATE TABLE {name}.orders ({columns})")
    world.sql(f"INSERT {name}.orders VALUES (7, 'a', [STRUCT(7 AS id, 'x' AS name), STRUCT(8, 'y')]), (9, 'b', [])")
    return f"{name}.orders"


@pytest.mark.parametrize(
    ("expression", "source", "found"),
    [
        ("(SELECT MAX(id) FROM UNNEST(items))", "{}", [8, None]),
        ("(SELECT COUNT(*) FROM UNNEST(things) WHERE id = 7)", "(SELECT id, items AS things FROM {})", [1, 0]),
        ("(SELECT COUNT(*) FROM UNNEST(things) WHERE id = 7)",
         "(SELECT id, ARRAY(SELECT AS STRUCT id, name FROM UNNEST(items)) AS things FROM {})", [1, 0]),
        ("(SELECT COUNT(*) FROM UNNEST(things) WHERE id = 7)",
         "(SELECT id, ARRAY(SELECT i FROM UNNEST(items) AS i) AS things FROM {})", [1, 0]),
        ("(SELECT COUNT(*) FROM UNNEST(ARRAY_REVERSE(items)) WHERE id = 7)", "{}", [1, 0]),
        ("(SELECT MAX(id) FROM UNNEST(ARRAY_CONCAT(items, [STRUCT(9 AS id, 'z' AS name)])))", "{}", [9, 9]),
        ("(SELECT COUNT(*) FROM UNNEST(IF(id = 7, items, [])) WHERE id > 7)", "{}", [1, 0]),
        ("(SELECT COUNT(*) FROM UNNEST(IFNULL(items, [])) WHERE id > 7)", "{}", [1, 0]),
        ("(SELECT SUM(id) FROM UNNEST([STRUCT(id AS id), STRUCT(1 AS id)]))", "{}", [8, 10]),
        ("(SELECT SUM(v.id) FROM UNNEST([STRUCT(id AS id), STRUCT(1 AS id)]) AS v)", "{}", [8, 10]),
        ("ARRAY(SELECT AS STRUCT * FROM UNNEST(items) WHERE id = 8)", "{}", [[{"id": 8, "name": "y"}], []]),
        ("ARRAY(SELECT AS STRUCT i.* FROM UNNEST(items) AS i WHERE i.id = 8)", "{}", [[{"id": 8, "name": "y"}], []]),
        ("ARRAY(SELECT AS STRUCT * EXCEPT (name) FROM UNNEST(items))", "{}", [[{"id": 7}, {"id": 8}], []]),
        ("ARRAY(SELECT AS STRUCT * REPLACE (id + 1 AS id) FROM UNNEST(items) ORDER BY id DESC LIMIT 1)", "{}",
         [[{"id": 9, "name": "y"}], []]),
        ("(SELECT AS STRUCT * FROM UNNEST(items) WHERE name = 'x')", "{}", [{"id": 7, "name": "x"}, None]),
    ],
)  # fmt: skip
def test_members_of_an_array_go_before_columns_of_the_table(
    world: Cloud, orders: str, expression: str, source: str, found: list[object]
) -> None:
    sql = f"SELECT {expression} FROM {source.format(orders)} ORDER BY id"
    assert [row[0] for row in world.sql(sql)] == found


def test_a_deletion_need_not_say_from(world: Cloud, orders: str) -> None:
    world.sql(f"DELETE {orders} WHERE EXISTS (SELECT 1 FROM UNNEST(items) WHERE id = 9)")
    assert len(world.sql(f"SELECT id FROM {orders}")) == 2
