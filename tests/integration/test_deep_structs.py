"""A STRUCT of any depth that BigQuery permits comes back from the JSON text that CSV has of it."""

from __future__ import annotations

from integration.stage import Stage

DEEPEST = 15
WITH_ARRAY = (2, 8, 14)
TEXTS = ("'a.b'", "'\"q\" \\\\ \\' `'", "'$.\"x\"'", "'null'", "''", "'né 日本'", "NULL", "'{\"s\": null}'")
JSONS = (
    """JSON '{"a.b": {"$": null, "q\\\\"": [1, {}]}, "né": "null"}'""", "JSON 'null'", "NULL", """JSON '"null"'""",
    "JSON '[null]'",
)  # fmt: skip


def type_of(depth: int) -> str:
    """A STRUCT with so many levels, some of which have an array of STRUCTs."""
    if depth == 1:
        return "STRUCT<j JSON, `n_é` INT64>"
    array = "l ARRAY<STRUCT<j JSON, m STRUCT<`n_é` INT64>>>, " if depth in WITH_ARRAY else ""
    return f"STRUCT<s STRING, {array}d {type_of(depth - 1)}>"


def value_of(depth: int, row: int, null_at: int) -> str:
    """A value of it, with a NULL instead of the STRUCT of one level."""
    if depth == null_at:
        return "NULL"
    text, json = TEXTS[(row + depth) % len(TEXTS)], JSONS[(row + depth) % len(JSONS)]
    if depth == 1:
        return f"STRUCT({json} AS j, {row} AS `n_é`)"
    first, second = f"STRUCT({json} AS j, STRUCT({depth} AS `n_é`) AS m)", f"STRUCT({json} AS j, NULL AS m)"
    array = f"[{', '.join((second, first)[: row % 3])}] AS l, " if depth in WITH_ARRAY else ""
    return f"STRUCT({text} AS s, {array}{value_of(depth - 1, row, null_at)} AS d)"


def test_structs_of_any_depth_come_back_from_strings(stage: Stage) -> None:
    depths = (1, 2, 3, 8, 14, DEEPEST)
    stage.sql(f"CREATE TABLE t (id INT64, {', '.join(f'd{depth} {type_of(depth)}' for depth in depths)})")
    for row in range(4):
        values = ", ".join(value_of(depth, row, depth - 3 * row if row else -1) for depth in depths)
        stage.sql(f"INSERT INTO t SELECT {row}, {values}")
    stage.sql(f"INSERT INTO t SELECT 9, {', '.join('NULL' for _ in depths)}")
    assert stage.command("run", "--format", "csv", "--on-unsupported", "string", "--run-id", "r1").code == 0
    restored = stage.command("restore", "--into", "back", "--verify")
    assert restored.code == 0, restored.text
    every_value = "SELECT id, TO_JSON_STRING(t) FROM {}.t AS t ORDER BY id"
    assert stage.sql(every_value.format("back")) == stage.sql(every_value.format(stage.dataset))
