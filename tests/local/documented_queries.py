"""Queries with the rows that BigQuery documents: order, groups, windows, arrays, joins and operators of tables.

https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from google.api_core.exceptions import BadRequest, MethodNotImplemented

REFUSED, MISSING = BadRequest, MethodNotImplemented
PRODUCE = "(SELECT 'Kale' AS product, 51 AS sales, 'Q1' AS quarter UNION ALL SELECT 'Kale', 23, 'Q2' UNION ALL SELECT 'Apple', 77, 'Q1')"  # noqa: E501
NULLS = "UNNEST([2, NULL, 1]) AS x"
QUARTERS = "(SELECT 'Kale' AS product, 51 AS Q1, CAST(NULL AS INT64) AS Q2)"
PAIRS = "(SELECT 'a' AS k, 1 AS v UNION ALL SELECT 'a', 2 UNION ALL SELECT 'b', 5)"

ORDER: list[tuple[str, Any]] = [
    (f"SELECT x FROM {NULLS} ORDER BY x", [(None,), (1,), (2,)]),
    (f"SELECT x FROM {NULLS} ORDER BY x DESC", [(2,), (1,), (None,)]),
    (f"SELECT x FROM {NULLS} ORDER BY x NULLS LAST", [(1,), (2,), (None,)]),
    (f"SELECT x FROM {NULLS} ORDER BY x DESC NULLS FIRST", [(None,), (2,), (1,)]),
    (f"SELECT x, ROW_NUMBER() OVER (ORDER BY x) FROM {NULLS} ORDER BY 2", [(None, 1), (1, 2), (2, 3)]),
    (f"SELECT x, ROW_NUMBER() OVER (ORDER BY x DESC) FROM {NULLS} ORDER BY 2", [(2, 1), (1, 2), (None, 3)]),
    ("SELECT ARRAY(SELECT x FROM UNNEST([3, 1, 2]) AS x ORDER BY x)", [([1, 2, 3],)]),
    ("SELECT ARRAY(SELECT x FROM UNNEST([3, 1, 2]) AS x ORDER BY x DESC LIMIT 2)", [([3, 2],)]),
    ("SELECT ARRAY_AGG(x ORDER BY x DESC) FROM UNNEST([3, 1, 2]) AS x", [([3, 2, 1],)]),
    ("SELECT ARRAY_AGG(x ORDER BY x LIMIT 2) FROM UNNEST([3, 1, 2]) AS x", [([1, 2],)]),
    (f"SELECT ARRAY_AGG(x IGNORE NULLS ORDER BY x) FROM {NULLS}", [([1, 2],)]),
    (f"SELECT ARRAY_AGG(x ORDER BY x) FROM {NULLS}", REFUSED),
    ("SELECT ARRAY_AGG(DISTINCT x ORDER BY x) FROM UNNEST([2, 1, 2]) AS x", [([1, 2],)]),
    ("SELECT STRING_AGG(x, '&' ORDER BY x) FROM UNNEST(['b', NULL, 'a']) AS x", [("a&b",)]),
    ("SELECT STRING_AGG(x ORDER BY x LIMIT 2) FROM UNNEST(['b', 'c', 'a']) AS x", MISSING),
    ("SELECT STRING_AGG(DISTINCT x ORDER BY x) FROM UNNEST(['b', 'b', 'a']) AS x", [("a,b",)]),
    ("SELECT x FROM UNNEST(['b', 'a', 'B']) AS x ORDER BY x", [("B",), ("a",), ("b",)]),
    ("SELECT x FROM UNNEST([1, 2, 3]) AS x ORDER BY x LIMIT 1 OFFSET 1", [(2,)]),
]

PARAMS = "(SELECT 1 AS id, [STRUCT('page' AS key, 'home' AS value), ('n', '3')] AS params UNION ALL SELECT 2, [])"
STRUCTS = "[STRUCT(1 AS k, 'x' AS a), STRUCT(2, 'y')]"

# An array's structs have their members as columns: https://cloud.google.com/bigquery/docs/arrays#query_structs_in_an_array
MEMBERS: list[tuple[str, Any]] = [
    (f"SELECT a FROM UNNEST({STRUCTS}) WHERE k = 2", [("y",)]),
    (f"SELECT t.k, a FROM UNNEST({STRUCTS}) AS t ORDER BY k DESC", [(2, "y"), (1, "x")]),
    (f"SELECT * FROM UNNEST({STRUCTS}) ORDER BY k", [(1, "x"), (2, "y")]),
    (f"SELECT * FROM UNNEST({STRUCTS}) WITH OFFSET AS o ORDER BY o", [(1, "x", 0), (2, "y", 1)]),
    (f"SELECT * EXCEPT (k) FROM UNNEST({STRUCTS}) AS t WITH OFFSET AS o ORDER BY o", [("x", 0), ("y", 1)]),
    (f"SELECT a AS k FROM UNNEST({STRUCTS}) ORDER BY k DESC", [("y",), ("x",)]),
    (f"SELECT a, COUNT(*) AS n FROM UNNEST({STRUCTS}) GROUP BY a HAVING a > 'x'", [("y", 1)]),
    (f"SELECT a, b FROM UNNEST({STRUCTS}) AS t JOIN UNNEST([STRUCT(2 AS j, 'z' AS b)]) ON k = j", [("y", "z")]),
    (f"SELECT id, key FROM {PARAMS}, UNNEST(params) ORDER BY key", [(1, "n"), (1, "page")]),
    (
        f"SELECT id, p.key FROM {PARAMS} LEFT JOIN UNNEST(params) AS p ORDER BY id, key",
        [(1, "n"), (1, "page"), (2, None)],
    ),
    (
        f"SELECT id, (SELECT value FROM UNNEST(params) WHERE key = 'page') FROM {PARAMS} ORDER BY id",
        [(1, "home"), (2, None)],
    ),
    (
        f"SELECT id, EXISTS(SELECT 1 FROM UNNEST(params) WHERE key = 'n') FROM {PARAMS} ORDER BY id",
        [(1, True), (2, False)],
    ),
    (f"SELECT ARRAY(SELECT key FROM UNNEST(params) ORDER BY key) FROM {PARAMS} WHERE id = 1", [(["n", "page"],)]),
    (
        "WITH t AS (SELECT ARRAY_AGG(STRUCT(x AS n)) AS xs FROM UNNEST([2, 1]) AS x) SELECT n FROM t, UNNEST(xs)",
        [(2,), (1,)],
    ),
    ("SELECT s.a.b FROM (SELECT STRUCT(STRUCT(1 AS b) AS a) AS s)", [(1,)]),
    ("SELECT x FROM UNNEST([1, 2]) AS x WHERE x > 1", [(2,)]),
]

# What BigQuery has and the stand-in has not is refused by name, before anything has run.
MISSING_STATEMENTS: list[tuple[str, Any]] = [
    (f"SELECT 1; {statement}", MISSING)
    for statement in (
        "DECLARE x INT64 DEFAULT 3",
        "SET x = 3",
        "SET @@time_zone = 'Asia/Tokyo'",
        "BEGIN SELECT 1",
        "BEGIN TRANSACTION",
        "COMMIT TRANSACTION",
        "ROLLBACK TRANSACTION",
        "IF TRUE THEN SELECT 1",
        "LOOP SELECT 1",
        "WHILE TRUE DO SELECT 1",
        "REPEAT SELECT 1",
        "FOR r IN (SELECT 1) DO SELECT 1",
        "RETURN",
        "CALL d.p()",
        "EXECUTE IMMEDIATE 'SELECT 1'",
        "ASSERT 1 = 1 AS 'equal'",
        "GRANT `roles/x` ON SCHEMA d TO 'user:a@b.c'",
        "LOAD DATA INTO d.t FROM FILES (format = 'CSV', uris = ['gs://a/b'])",
        "EXPORT MODEL d.m OPTIONS (uri = 'gs://a/b')",
        "CREATE MODEL d.m OPTIONS (model_type = 'linear_reg') AS SELECT 1",
        "UNDROP SCHEMA d",
    )
]

MISSING_SOURCES: list[tuple[str, Any]] = [
    (f"SELECT * FROM {source}", MISSING)
    for source in (
        "INFORMATION_SCHEMA.SCHEMATA",
        "`region-us`.INFORMATION_SCHEMA.JOBS",
        "`region-us`.INFORMATION_SCHEMA.TABLES",
        "d.INFORMATION_SCHEMA.VIEWS",
        "`d.events_*`",
    )
]

MISSING_FUNCTIONS: list[tuple[str, Any]] = [
    (text, MISSING)
    for text in (
        "HLL_COUNT.EXTRACT(HLL_COUNT.INIT(1))",
        "KEYS.NEW_KEYSET('AEAD_AES_GCM_256')",
        "ST_DISTANCE(ST_GEOGPOINT(0, 0), ST_GEOGPOINT(1, 1))",
        "RANGE(DATE '2020-01-01', DATE '2020-12-31')",
        "RANGE_START(RANGE<DATE> '[2020-01-01, 2020-12-31)')",
        "RANGE_END(RANGE<DATE> '[2020-01-01, 2020-12-31)')",
        "RANGE_CONTAINS(RANGE<DATE> '[2020-01-01, 2020-12-31)', DATE '2020-05-05')",
        "RANGE_OVERLAPS(RANGE<DATE> '[2020-01-01, 2020-12-31)', RANGE<DATE> '[2020-05-01, 2021-12-31)')",
        "RANGE_INTERSECT(RANGE<DATE> '[2020-01-01, 2020-12-31)', RANGE<DATE> '[2020-05-01, 2021-12-31)')",
        "GENERATE_RANGE_ARRAY(RANGE<DATE> '[2020-01-01, 2020-01-05)', INTERVAL 1 DAY)",
    )
]

GROUPS: list[tuple[str, Any]] = [
    (f"SELECT k, SUM(v) FROM {PAIRS} GROUP BY ROLLUP (k) ORDER BY k", [(None, 8), ("a", 3), ("b", 5)]),
    (f"SELECT k, SUM(v) FROM {PAIRS} GROUP BY GROUPING SETS (k, ()) ORDER BY k", [(None, 8), ("a", 3), ("b", 5)]),
    (
        f"SELECT k, GROUPING(k), SUM(v) FROM {PAIRS} GROUP BY CUBE (k) ORDER BY k",
        [(None, 1, 8), ("a", 0, 3), ("b", 0, 5)],
    ),
    (f"SELECT k, SUM(v) AS s FROM {PAIRS} GROUP BY ALL ORDER BY k", [("a", 3), ("b", 5)]),
    (f"SELECT k, SUM(v) AS s FROM {PAIRS} GROUP BY 1 HAVING s > 3", [("b", 5)]),
    (f"SELECT COUNTIF(v > 1), COUNT(DISTINCT k), COUNT(*) FROM {PAIRS}", [(2, 2, 3)]),
    ("SELECT SUM(x), AVG(x), COUNT(x), MAX(x) FROM UNNEST(CAST([] AS ARRAY<INT64>)) AS x", [(None, None, 0, None)]),
    ("SELECT ARRAY_AGG(x) FROM UNNEST(CAST([] AS ARRAY<INT64>)) AS x", [([],)]),
    ("SELECT AVG(x) FROM UNNEST([0, 2, 4, 4, 5]) AS x", [(3.0,)]),
    ("SELECT SUM(x) FROM UNNEST([NUMERIC '1.5', 2]) AS x", [(Decimal("3.5"),)]),
    ("SELECT SUM(x) FROM UNNEST([1, 2]) AS x", [(3,)]),
    ("SELECT LOGICAL_AND(x < 3), LOGICAL_OR(x < 2) FROM UNNEST([1, 2, 4]) AS x", [(False, True)]),
    ("SELECT BIT_AND(x), BIT_OR(x), BIT_XOR(x) FROM UNNEST([0xF001, 0x00A1]) AS x", [(1, 61601, 61600)]),
    (f"SELECT ANY_VALUE(k HAVING MAX v), MAX_BY(k, v), MIN_BY(k, v) FROM {PAIRS}", [("b", "b", "a")]),
    ("SELECT APPROX_COUNT_DISTINCT(x) FROM UNNEST([0, 1, 1, 2, 3, 5]) AS x", [(5,)]),
    ("SELECT APPROX_QUANTILES(x, 2) FROM UNNEST([1, 1, 1, 4, 5, 6, 7, 8, 9, 10]) AS x", [([1, 5, 10],)]),
    ("SELECT APPROX_QUANTILES(x, 100)[OFFSET(90)] FROM UNNEST([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) AS x", [(9,)]),
    ("SELECT APPROX_QUANTILES(DISTINCT x, 2) FROM UNNEST([1, 1, 1, 4, 5, 6, 7, 8, 9, 10]) AS x", [([1, 6, 10],)]),
    ("SELECT APPROX_QUANTILES(x, 2 IGNORE NULLS) FROM UNNEST([NULL, 1, 4, 5]) AS x", [([1, 4, 5],)]),
    ("SELECT APPROX_QUANTILES(x, 2 RESPECT NULLS) FROM UNNEST([NULL, 1, 4, 5]) AS x", MISSING),
    ("SELECT ARRAY_AGG(x IGNORE NULLS ORDER BY x DESC LIMIT 2) FROM UNNEST([1, NULL, 3, 2]) AS x", [([3, 2],)]),
    ("SELECT ARRAY_AGG(DISTINCT x IGNORE NULLS ORDER BY x LIMIT 2) FROM UNNEST([1, NULL, 1, 2]) AS x", [([1, 2],)]),
    (
        "SELECT APPROX_TOP_COUNT(x, 1) FROM UNNEST(['apple', 'apple', 'pear']) AS x",
        [([{"value": "apple", "count": 2}],)],
    ),
    ("SELECT STDDEV(x), VAR_POP(x) FROM UNNEST([10, 14, 18]) AS x", [(4.0, 10.666666666666666)]),
    ("SELECT VAR_SAMP(x), STDDEV_SAMP(x) FROM UNNEST([10]) AS x", [(None, None)]),
    ("SELECT ARRAY_CONCAT_AGG(x) FROM UNNEST([STRUCT([1, 2] AS x), STRUCT([3])])", [([1, 2, 3],)]),
    ("SELECT MAX(x), MIN(x) FROM UNNEST([1.0, CAST('nan' AS FLOAT64)]) AS x WHERE NOT IS_NAN(x)", [(1.0, 1.0)]),
    ("SELECT COUNT(*) FROM UNNEST([STRUCT(1 AS a, 2 AS b), (1, 2)]) AS s WHERE s.a = 1", [(2,)]),
]

WINDOWS: list[tuple[str, Any]] = [
    (
        "SELECT x, SUM(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM UNNEST([1, 2, 3]) AS x",
        [(1, 1), (2, 3), (3, 5)],
    ),
    (
        "SELECT x, SUM(x) OVER (ORDER BY x RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM UNNEST([1, 2, 4]) AS x",
        [(1, 3), (2, 3), (4, 4)],
    ),
    ("SELECT x, LAST_VALUE(x) OVER (ORDER BY x) FROM UNNEST([1, 2]) AS x ORDER BY x", [(1, 1), (2, 2)]),
    ("SELECT x, SUM(x) OVER (ORDER BY x) FROM UNNEST([1, 1, 2]) AS x ORDER BY x", [(1, 2), (1, 2), (2, 4)]),
    (
        f"SELECT x, FIRST_VALUE(x IGNORE NULLS) OVER (ORDER BY x) FROM {NULLS} ORDER BY x",
        [(None, None), (1, 1), (2, 1)],
    ),
    (
        "SELECT x, LAG(x) OVER w, LEAD(x, 1, 0) OVER w FROM UNNEST([1, 2]) AS x WINDOW w AS (ORDER BY x) ORDER BY x",
        [(1, None, 2), (2, 1, 0)],
    ),
    ("SELECT x, NTH_VALUE(x, 2) OVER (ORDER BY x) FROM UNNEST([1, 2]) AS x ORDER BY x", [(1, None), (2, 2)]),
    (
        "SELECT x, RANK() OVER w, DENSE_RANK() OVER w FROM UNNEST([1, 1, 2]) AS x WINDOW w AS (ORDER BY x) ORDER BY x",
        [(1, 1, 1), (1, 1, 1), (2, 3, 2)],
    ),
    ("SELECT x, NTILE(2) OVER (ORDER BY x) FROM UNNEST([1, 2, 3]) AS x ORDER BY x", [(1, 1), (2, 1), (3, 2)]),
    (
        "SELECT x, PERCENT_RANK() OVER (ORDER BY x), CUME_DIST() OVER (ORDER BY x) FROM UNNEST([1, 2]) AS x ORDER BY x",
        [(1, 0.0, 0.5), (2, 1.0, 1.0)],
    ),
    ("SELECT DISTINCT PERCENTILE_CONT(x, 0.5) OVER () FROM UNNEST([0, 3, NULL, 1, 2]) AS x", [(1.5,)]),
    ("SELECT DISTINCT PERCENTILE_DISC(x, 0.5) OVER () FROM UNNEST(['c', NULL, 'b', 'a']) AS x", [("b",)]),
    (
        f"SELECT k, v FROM {PAIRS} WHERE TRUE QUALIFY RANK() OVER (PARTITION BY k ORDER BY v DESC) = 1 ORDER BY k",
        [("a", 2), ("b", 5)],
    ),
]

TABLES: list[tuple[str, Any]] = [
    (
        f"SELECT * FROM {PRODUCE} PIVOT(SUM(sales) FOR quarter IN ('Q1', 'Q2')) ORDER BY product",
        [("Apple", 77, None), ("Kale", 51, 23)],
    ),
    (
        f"SELECT product, total_Q1 FROM {PRODUCE} PIVOT(SUM(sales) AS total FOR quarter IN ('Q1', 'Q2')) ORDER BY 1",
        MISSING,
    ),
    (
        f"SELECT * FROM {QUARTERS} UNPIVOT(sales FOR quarter IN (Q1, Q2))",
        [("Kale", 51, "Q1")],
    ),
    (
        f"SELECT * FROM {QUARTERS} UNPIVOT INCLUDE NULLS (sales FOR quarter IN (Q1, Q2)) ORDER BY quarter",
        [("Kale", 51, "Q1"), ("Kale", None, "Q2")],
    ),
    ("SELECT * EXCEPT (a) FROM (SELECT 1 AS a, 2 AS b)", [(2,)]),
    ("SELECT * REPLACE (a / 2 AS a) FROM (SELECT 1 AS a, 2 AS b)", [(0.5, 2)]),
    ("SELECT 1 UNION DISTINCT SELECT 1", [(1,)]),
    ("SELECT x FROM UNNEST([1, 1, 2]) AS x EXCEPT DISTINCT SELECT 2", [(1,)]),
    ("SELECT x FROM UNNEST([1, 1, 2]) AS x INTERSECT DISTINCT SELECT 1", [(1,)]),
    ("SELECT AS STRUCT 1 AS a, 2 AS b", [(1, 2)]),
    ("SELECT AS VALUE STRUCT(1 AS a, 2 AS b)", [(1, 2)]),
    ("SELECT ARRAY(SELECT AS STRUCT 1 AS a, 2 AS b)", [([{"a": 1, "b": 2}],)]),
    (
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 3) SELECT n FROM t ORDER BY n",
        [(1,), (2,), (3,)],
    ),
    ("SELECT x, i FROM UNNEST(['a', 'b']) AS x WITH OFFSET AS i ORDER BY i", [("a", 0), ("b", 1)]),
    ("SELECT a, b FROM UNNEST([1, 2]) AS a CROSS JOIN UNNEST([3]) AS b ORDER BY a", [(1, 3), (2, 3)]),
    ("SELECT a, b FROM UNNEST([1, 2]) AS a LEFT JOIN UNNEST([2]) AS b ON a = b ORDER BY a", [(1, None), (2, 2)]),
    ("SELECT * FROM (SELECT 1 AS k, 'l' AS l) JOIN (SELECT 1 AS k, 'r' AS r) USING (k)", [(1, "l", "r")]),
    ("SELECT x FROM UNNEST([1, 2, 3]) AS x WHERE x IN UNNEST([1, 3]) ORDER BY x", [(1,), (3,)]),
    ("SELECT 1 IN UNNEST([2, NULL]), 1 NOT IN (2, NULL)", [(None, None)]),
    ("SELECT ARRAY_LENGTH([]), ARRAY_LENGTH(NULL)", [(0, None)]),
    ("SELECT ARRAY_CONCAT([1], [2, 3])", [([1, 2, 3],)]),
    ("SELECT ARRAY_CONCAT([1], CAST(NULL AS ARRAY<INT64>)) IS NULL", [(True,)]),
    ("SELECT ARRAY_REVERSE([1, 2, 3])", [([3, 2, 1],)]),
    ("SELECT GENERATE_ARRAY(1, 5)", [([1, 2, 3, 4, 5],)]),
    ("SELECT GENERATE_ARRAY(0, 10, 3)", [([0, 3, 6, 9],)]),
    ("SELECT GENERATE_ARRAY(10, 0, -3)", [([10, 7, 4, 1],)]),
    ("SELECT GENERATE_ARRAY(4, 2)", [([],)]),
    ("SELECT [10, 20][0], [10, 20][OFFSET(1)], [10, 20][ORDINAL(1)]", [(10, 20, 10)]),
    ("SELECT [10, 20][SAFE_OFFSET(5)], [10, 20][SAFE_ORDINAL(0)]", [(None, None)]),
    ("SELECT [10, 20][5]", REFUSED),
    ("SELECT [10, 20][ORDINAL(0)]", REFUSED),
    ("SELECT ARRAY_FIRST([3, 4]), ARRAY_LAST([3, 4])", [(3, 4)]),
    ("SELECT ARRAY_SLICE(['a', 'b', 'c', 'd', 'e'], 1, 3)", [(["b", "c", "d"],)]),
    ("SELECT ARRAY_IS_DISTINCT([1, 1])", [(False,)]),
    ("SELECT ARRAY_INCLUDES([1, 2], 2)", [(True,)]),
    ("SELECT [1, NULL]", REFUSED),
    ("SELECT (SELECT x FROM UNNEST([1, 2]) AS x)", REFUSED),
    ("SELECT EXISTS(SELECT 1 FROM UNNEST([1]))", [(True,)]),
    ("SELECT STRUCT(1 AS a, 2 AS b).a", [(1,)]),
    ("SELECT s.* FROM (SELECT STRUCT(1 AS a, 2 AS b) AS s)", [(1, 2)]),
    ("SELECT CASE WHEN NULL THEN 1 ELSE 2 END", [(2,)]),
    ("SELECT x FROM UNNEST([1, 2, 3]) AS x WHERE x BETWEEN 2 AND 3 ORDER BY x", [(2,), (3,)]),
    ("FROM UNNEST([1, 2, 3]) AS x |> WHERE x > 1 |> AGGREGATE SUM(x) AS s", [(5,)]),
    ("SELECT a FROM UNNEST([STRUCT(1 AS a), STRUCT(2)]) ORDER BY a", [(1,), (2,)]),
    ("SELECT a, b FROM (UNNEST([1, 2]) AS a JOIN UNNEST([2, 3]) AS b ON a = b)", [(2, 2)]),
    ("SELECT SESSION_USER() LIKE '%.iam.gserviceaccount.com'", [(True,)]),
    ("SELECT 1 AS a, 2 AS A", REFUSED),
    # The service numbers columns of the same name, as a test suite of one of its clients shows.
    ("SELECT * FROM (SELECT 1 AS a) AS t, (SELECT 2 AS a) AS u", [(1, 2)]),
    ("SELECT * FROM (SELECT 1 AS a_1), (SELECT 2 AS a_2)", [(1, 2)]),
    ("SELECT NET.HOST('http://www.Example.Co.UK/x')", MISSING),
]
