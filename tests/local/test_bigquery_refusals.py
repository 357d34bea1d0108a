"""What BigQuery does not have is refused, in BigQuery's words: DuckDB's functions, files and messages stay inside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from google.api_core.exceptions import BadRequest, GoogleAPICallError, MethodNotImplemented, NotFound
from google.cloud import bigquery

from bqdump_local.bigquery.tables.warehouse import Warehouse
from local.bigquery_server import Cloud

RAW = re.compile(
    r"duckdb\b|sqlglot|\b(?:Binder|Catalog|Parser|Conversion|Invalid Input|Out of Range|Not implemented|Permission"
    r"|Mismatch Type|Internal|Constraint|Serialization|IO|CSV) Error|candidate|You might need|LINE 1:|Traceback",
)

FOREIGN_FUNCTIONS = (
    "list_value(1)",
    "strftime(DATE '2024-01-01', '%Y')",
    "regexp_matches('a', 'a')",
    "epoch_ms(1)",
    "len('a')",
    "nvl(1, 2)",
    "arg_max(1, 2)",
    "try_cast('x' AS INT64)",
    "now()",
    "current_setting('threads')",
    "getenv('HOME')",
    "duckdb_functions()",
    "list_transform([1], x -> x)",
    "COLUMNS('a')",
    "week(DATE '2024-01-01')",
    "query('SELECT 1')",
    "row(1, 2)",
    "map([1], [2])",
    "SAFE.read_text({file})",
    "read_text({file})",
    "(SELECT SUM(epoch_ms(a)) FROM d.t)",
    "IF(TRUE, epoch_ms(1), 0)",
)

FOREIGN_SYNTAX = (
    "SELECT 1::INT64",
    "SELECT 5 % 3",
    "SELECT {{'a': 1}}",
    "SELECT 'a' ILIKE 'A'",
    "SELECT 'a' SIMILAR TO 'a'",
    "SELECT DISTINCT ON (a) a FROM d.t",
    "SELECT [x FOR x IN [1, 2]]",
    "SELECT a FROM d.t SEMI JOIN d.e ON TRUE",
    "SELECT a FROM d.t ASOF JOIN d.t AS u ON t.a >= u.a",
    "SELECT 1 USING SAMPLE 1",
    "CHECKPOINT",
    "VACUUM",
    "PRAGMA version",
    "COPY d.t TO {file}",
    "INSTALL httpfs",
)

FILES = (
    "SELECT * FROM read_csv({file})",
    "SELECT * FROM d.t, read_csv({file})",
    "SELECT * FROM d.t WHERE s IN (SELECT content FROM read_text({file}))",
    "SELECT * FROM parquet_scan({file})",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv({file})",
    "SELECT * FROM `{path}`, (WITH `{path}` AS (SELECT 1) SELECT 1)",
    "WITH x AS (SELECT * FROM `{path}`), `{path}` AS (SELECT 1) SELECT * FROM x",
    "CREATE TABLE d.copied AS SELECT * FROM read_csv({file})",
    "INSERT INTO d.t (s) SELECT content FROM read_text({file})",
    "MERGE d.t USING read_text({file}) AS f ON FALSE WHEN NOT MATCHED THEN INSERT (s) VALUES (content)",
    "UPDATE d.t SET s = (SELECT content FROM read_text({file})) WHERE TRUE",
    "CREATE VIEW d.v AS SELECT * FROM read_text({file})",
    "EXPORT DATA OPTIONS (uri = 'gs://b/*', format = 'CSV') AS SELECT * FROM read_text({file})",
    "SELECT ARRAY(SELECT content FROM read_blob({file}))",
    "CREATE FUNCTION d.f() AS ((SELECT content FROM read_text({file})))",
    "ATTACH {file} AS x",
)

WRONG = (
    "SELECT nope FROM d.t",
    "SELECT a + s FROM d.t",
    "SELECT s FROM d.t GROUP BY a",
    "SELECT z.a FROM d.t",
    "SELECT a FROM d.t WHERE a = 'x'",
    "SELECT st.y FROM d.t",
    "SELECT a.b FROM d.t",
    "SELECT SUM(SUM(a)) FROM d.t",
    "SELECT a FROM d.t WHERE SUM(a) > 1",
    "SELECT a FROM d.t ORDER BY zz",
    "SELECT a, u.a FROM d.t, (SELECT 1 AS a) AS u",
    "SELECT 1 UNION ALL SELECT 1, 2",
    "SELECT (SELECT 1, 2)",
    "SELECT (SELECT x FROM UNNEST([1, 2]) AS x)",
    "SELECT * FROM UNNEST(5)",
    "SELECT * EXCEPT (zz) FROM d.t",
    "SELECT * REPLACE (1 AS zz) FROM d.t",
    "SELECT * FROM d.t JOIN d.e USING (zz)",
    "SELECT * FROM d.t AS x, d.t AS x",
    "SELECT -s FROM d.t",
    "SELECT SUM(s) FROM d.t",
    "SELECT s > a FROM d.t",
    "SELECT COALESCE(a, s) FROM d.t",
    "SELECT a LIKE 'x' FROM d.t",
    "SELECT l + 1 FROM d.t",
    "SELECT CAST('x' AS DATE)",
    "SELECT CAST('x' AS TIMESTAMP)",
    "SELECT CAST('x' AS FLOAT64)",
    "SELECT CAST('x' AS NUMERIC)",
    "SELECT DATE '2024-02-30'",
    "SELECT DATE(2024, 13, 1)",
    "SELECT 9223372036854775807 + a FROM d.t",
    "SELECT TIMESTAMP('2024-01-01', 'Foo/Bar')",
    "SELECT REGEXP_CONTAINS('x', '(')",
    "SELECT CHR(-1)",
    "SELECT [1, 'x']",
    "SELECT CASE WHEN a = 1 THEN 'x' ELSE 2 END FROM d.t",
    "SELECT ABS()",
    "SELECT SUBSTR(1, 2)",
    "SELECT DATE_TRUNC(d, FOO) FROM d.t",
    "SELECT 1 WHERE 'x'",
    "SELECT a FROM d.t LIMIT 'x'",
    "INSERT INTO d.t (a, zz) VALUES (1, 2)",
    "INSERT INTO d.t (a) VALUES ('x')",
    "INSERT INTO d.t (a) SELECT 1, 2",
    "INSERT INTO d.e (s) SELECT 'x'",
    "UPDATE d.t SET zz = 1 WHERE TRUE",
    "UPDATE d.t SET a = 'x' WHERE TRUE",
    "DELETE FROM d.t WHERE zz = 1",
    "MERGE d.t USING d.e ON zz WHEN MATCHED THEN DELETE",
    "SELECT a FROM d.t QUALIFY TRUE",
    "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM nope) SELECT * FROM x",
)


@pytest.fixture
def tables(world: Cloud) -> str:
    name = world.dataset()
    world.sql(
        f"CREATE TABLE {name}.t AS SELECT 1 AS a, 'x' AS s, DATE '2024-01-01' AS d, [1] AS l, STRUCT(1 AS x) AS st;"
        f"CREATE TABLE {name}.e (s STRUCT<a INT64, b STRING>, n INT64)"
    )
    return name


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.csv"
    path.write_text("a,s\n1,opensesame\n")
    return path


def refused(world: Cloud, tables: str, text: str) -> str:
    """The message with which a query is refused, which has none of DuckDB's words."""
    with pytest.raises((BadRequest, MethodNotImplemented, NotFound)) as caught:
        world.sql(text.replace(" d.", f" {tables}."), retry=None, job_retry=None)
    message = str(caught.value)
    assert not RAW.search(message), message
    return message


@pytest.mark.parametrize("text", FOREIGN_FUNCTIONS)
def test_functions_of_other_databases_are_not_found(world: Cloud, tables: str, text: str, secret: Path) -> None:
    message = refused(world, tables, f"SELECT {text.format(file=repr(str(secret)))}")
    assert "Function not found: " in message


@pytest.mark.parametrize("text", FOREIGN_SYNTAX)
def test_syntax_of_other_databases_is_an_error(world: Cloud, tables: str, text: str, secret: Path) -> None:
    refused(world, tables, text.format(file=repr(str(secret))))


@pytest.mark.parametrize("text", FILES)
def test_no_query_reads_a_file(world: Cloud, tables: str, text: str, secret: Path) -> None:
    message = refused(world, tables, text.format(file=repr(str(secret)), path=secret))
    assert "opensesame" not in message


@pytest.mark.parametrize("text", WRONG)
def test_errors_are_in_bigquery_s_words(world: Cloud, tables: str, text: str) -> None:
    refused(world, tables, text)


@pytest.fixture
def warehouse() -> Iterator[Warehouse]:
    made = Warehouse()
    yield made
    made.close()
    assert not made.files.exists()


def test_duckdb_itself_can_only_use_files_of_the_stack(warehouse: Warehouse, secret: Path) -> None:
    inside = warehouse.files / "a.csv"
    inside.write_text("a\n1\n")
    with warehouse.cursor() as cursor:
        assert cursor.execute(f"FROM read_csv('{inside}')").fetchall() == [(1,)]
        for text in (
            f"FROM read_csv('{secret}')",
            f"FROM '{secret}'",
            f"FROM read_text('{warehouse.files}/../{secret.parent.name}/{secret.name}')",
            f"COPY (SELECT 1) TO '{secret}'",
            f"ATTACH '{secret}.db'",
            "FROM glob('/etc/*')",
            "INSTALL httpfs",
            "SET enable_external_access = true",
            "SET allowed_directories = ['/']",
        ):
            with pytest.raises((duckdb.PermissionException, duckdb.InvalidInputException)):
                cursor.execute(text)
    assert secret.read_text().endswith("opensesame\n")


@pytest.mark.parametrize("restriction", ["epoch_ms(a) > 0", "s IN (read_text('/etc/passwd'))", "a::STRING = '1'"])
def test_row_restrictions_have_bigquery_s_functions_only(world: Cloud, tables: str, restriction: str) -> None:
    with pytest.raises(GoogleAPICallError, match=r"Function not found|Syntax error"):
        world.sql(f"SELECT * FROM {tables}.t WHERE {restriction}")


# BigQuery coerces structs by the position of their members.
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {e} SELECT STRUCT(7, 'z'), 1",
        "INSERT INTO {e} SELECT (7, 'z'), 1",
        "INSERT INTO {e} (n, s) SELECT 1, STRUCT(a + 6, 'z') FROM {t}",
        "INSERT INTO {e} (s, n) SELECT STRUCT(7 AS q, 'z' AS r), 1",
        "INSERT INTO {e} (s, n) VALUES (STRUCT(7, 'z'), 1)",
        "INSERT INTO {e} (s, n) VALUES ((7, 'z'), 1)",
        "MERGE {e} USING {t} ON FALSE WHEN NOT MATCHED THEN INSERT (s, n) VALUES (STRUCT(7, 'z'), 1)",
        "INSERT INTO {e} (n) VALUES (1); UPDATE {e} SET s = STRUCT(7, 'z') WHERE TRUE",
        "INSERT INTO {e} (n) VALUES (1); UPDATE {e} SET s = (7, 'z') WHERE TRUE",
        "INSERT INTO {e} WITH w AS (SELECT STRUCT(7, 'z') AS s) SELECT s, 1 FROM w",
    ],
)
def test_structs_are_written_by_position(world: Cloud, tables: str, statement: str) -> None:
    world.sql(statement.format(e=f"{tables}.e", t=f"{tables}.t"))
    assert world.sql(f"SELECT s.a, s.b, n FROM {tables}.e") == [(7, "z", 1)]


def test_structs_in_arrays_are_written_by_position(world: Cloud, tables: str) -> None:
    world.sql(f"CREATE TABLE {tables}.r (l ARRAY<STRUCT<a INT64, b STRUCT<c STRING>>>)")
    world.sql(f"INSERT INTO {tables}.r SELECT [STRUCT(1, STRUCT('x')), STRUCT(2, STRUCT('y'))]")
    world.sql(f"INSERT INTO {tables}.r (l) VALUES ([(3, STRUCT('z'))])")
    assert world.sql(f"SELECT e.a, e.b.c FROM {tables}.r, UNNEST(l) AS e ORDER BY 1") == [(1, "x"), (2, "y"), (3, "z")]


def test_a_null_between_strings_is_a_string(world: Cloud) -> None:
    text = "SELECT CONCAT('a', NULL) AS a, 'a' || NULL AS b, CONCAT(NULL, b'x') AS c"
    rows = world.client.query_and_wait(text)
    assert [field.field_type for field in rows.schema] == ["STRING", "STRING", "BYTES"]
    assert [tuple(row) for row in rows] == [(None, None, None)]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("RANGE_SESSIONIZE(TABLE {t}, 'd', ['s'])", "RANGE_SESSIONIZE"),
        ("RANGE_SESSIONIZE((SELECT 1 AS a), 'a', ['s'], 'MEETS')", "RANGE_SESSIONIZE"),
        ("GAP_FILL(TABLE {t}, ts_column => 'd', bucket_width => INTERVAL 1 DAY)", "GAP_FILL"),
        ("APPENDS(TABLE {t}, NULL, NULL)", "APPENDS"),
        ("EXTERNAL_QUERY('x', 'SELECT 1')", "EXTERNAL_QUERY"),
        ("ML.PREDICT(MODEL d.m, TABLE {t})", "ML.PREDICT"),
        ("AI.FORECAST(TABLE {t})", "AI.FORECAST"),
        ("VECTOR_SEARCH(TABLE {t}, 'l', TABLE {t})", "VECTOR_SEARCH"),
    ],
)
def test_table_functions_are_missing_by_name(world: Cloud, tables: str, source: str, name: str) -> None:
    message = refused(world, tables, f"SELECT * FROM {source.format(t=f'{tables}.t')}")
    assert f"does not support the function {name}." in message


def test_dry_runs_and_views_refuse_the_same(world: Cloud, tables: str) -> None:
    dry = bigquery.QueryJobConfig(dry_run=True)
    for text in ("SELECT epoch_ms(1)", f"CREATE VIEW {tables}.v AS SELECT epoch_ms(1) AS a"):
        with pytest.raises(BadRequest, match=r"Function not found: epoch_ms"):
            world.client.query(text, job_config=dry if text.startswith("SELECT") else None).result()
