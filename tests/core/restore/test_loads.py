"""Each format and route loads with its options, and casts what load jobs cannot read, however deep it is nested."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest

from bqdump.core.restore.plan import Load
from bqdump.core.tables.catalog import Shape
from core.restore.exports import column, entry, manifest, plan, read

SCALARS = [column("s", "STRING"), column("b", "BYTES"), column("i"), column("n", "NUMERIC"), column("d", "DATE")]


def load(fields: list[dict[str, Any]], format_: str, route: str = "extract", **changed: Any) -> Load:
    settings = changed.pop("settings", {})
    (step,) = plan(manifest(entry("t", fields, format=format_, route=route, **changed), settings=settings)).tables
    return step.load


def test_csv_is_read_as_it_was_written() -> None:
    assert read(load(SCALARS, "csv").options) == {
        "sourceFormat": "CSV", "encoding": "UTF-8", "skipLeadingRows": 1, "fieldDelimiter": ",",
        "allowQuotedNewlines": True, "preserveAsciiControlCharacters": True,
    }  # fmt: skip
    settings = {"header": False, "delimiter": "\t", "null_marker": "\\N"}
    options = read(load([column("i")], "csv", "read", settings=settings).options)
    assert options == {
        "sourceFormat": "CSV", "encoding": "UTF-8", "skipLeadingRows": 0, "fieldDelimiter": "\t", "nullMarker": "\\N",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("format_", "options"),
    [
        ("json", {"sourceFormat": "NEWLINE_DELIMITED_JSON"}),
        (
            "avro",
            {"sourceFormat": "AVRO", "useAvroLogicalTypes": True, "decimalTargetTypes": ["NUMERIC", "BIGNUMERIC"]},
        ),
        ("parquet", {"sourceFormat": "PARQUET"}),
    ],
)
def test_the_other_formats_have_the_options_that_their_types_need(format_: str, options: dict[str, Any]) -> None:
    assert read(load(SCALARS, format_).options) == options


def test_an_array_anywhere_in_parquet_needs_list_inference() -> None:
    nested = column("r", "RECORD", fields=[column("tags", "STRING", mode="REPEATED")])
    assert read(load([nested], "parquet").options)["parquetOptions"] == {"enableListInference": True}


def test_what_loads_as_it_is_loads_directly_with_the_columns_of_the_table() -> None:
    table_load = load(SCALARS, "parquet")
    assert read(table_load.schema) == {"fields": SCALARS}
    assert (table_load.casts, table_load.columns) == ("", ("s", "b", "i", "n", "d"))
    assert table_load.values == ("`s`", "`b`", "`i`", "`n`", "`d`")


def test_a_default_value_is_not_in_the_schema_of_the_load() -> None:
    assert read(load([column("a", defaultValueExpression="1")], "csv").schema) == {"fields": [column("a")]}


def test_a_type_that_does_not_load_is_loaded_as_a_string_and_cast() -> None:
    fields = [column("id", mode="REQUIRED"), column("at", "DATETIME", mode="REQUIRED", description="when")]
    table_load = load(fields, "avro", encryptionConfiguration={"kmsKeyName": "k"})
    loaded = [column("id", mode="NULLABLE"), column("at", "STRING", mode="NULLABLE", description="when")]
    assert read(table_load.schema) == {"fields": loaded}
    assert read(table_load.scratch) == {"schema": {"fields": loaded}, "encryptionConfiguration": {"kmsKeyName": "k"}}
    assert table_load.values == ("`id`", "CAST(`at` AS DATETIME)")
    assert table_load.casts == "load jobs cannot read at DATETIME from these files"


@pytest.mark.parametrize(
    ("route", "format_", "field", "value"),
    [
        ("read", "json", column("x", "JSON"), "PARSE_JSON(`x`, wide_number_mode => 'round')"),
        ("read", "parquet", column("x", "BIGNUMERIC", precision="40"), "CAST(`x` AS BIGNUMERIC)"),
        ("read", "parquet", column("x", "RANGE", rangeElementType={"type": "DATE"}), "CAST(`x` AS RANGE<DATE>)"),
        ("extract", "json", column("x", "INTERVAL"), "CAST(`x` AS INTERVAL)"),
        ("query", "avro", column("x", "INTERVAL"), "CAST(`x` AS INTERVAL)"),
        (
            "extract", "avro", column("x", "DATETIME", mode="REPEATED"),
            "ARRAY(SELECT CAST(item0 AS DATETIME) FROM UNNEST(`x`) AS item0 WITH OFFSET AS item_at0 ORDER BY item_at0)",
        ),
        (
            "extract", "avro", column("x", "RECORD", fields=[column("a"), column("at", "DATETIME")]),
            "IF(`x` IS NULL, NULL, STRUCT(`x`.`a` AS `a`, CAST(`x`.`at` AS DATETIME) AS `at`))",
        ),
        (
            "extract", "avro", column("x", "RECORD", mode="REPEATED", fields=[column("at", "DATETIME")]),
            ("ARRAY(SELECT IF(item0 IS NULL, NULL, STRUCT(CAST(item0.`at` AS DATETIME) AS `at`)) "
            "FROM UNNEST(`x`) AS item0 WITH OFFSET AS item_at0 ORDER BY item_at0)"),
        ),
    ],
)  # fmt: skip
def test_casts_reach_members_and_elements(route: str, format_: str, field: dict[str, Any], value: str) -> None:
    assert load([field], format_, route).values == (value,)


def test_the_names_of_elements_are_those_of_no_column() -> None:
    fields = [column("ITEM0"), column("x", "RECORD", fields=[column("item_", "DATETIME", mode="REPEATED")])]
    assert "UNNEST(`x`.`item_`) AS item__0" in load(fields, "avro").values[1]


def test_columns_that_were_exported_as_strings_are_made_again() -> None:
    nested = column("r", "RECORD", mode="REPEATED", fields=[
        column("n"), column("b", "BYTES"), column("j", "JSON"), column("l", "DATE", mode="REPEATED"),
        column("o", "RECORD", fields=[column("g", "GEOGRAPHY")]),
    ])  # fmt: skip
    fields = [column("id"), nested, column("w", "RANGE", rangeElementType={"type": "DATE"}), column("g", "GEOGRAPHY")]
    table_load = load(fields, "csv", "query", shape=Shape(texts={"r": "", "w": "", "g": ""}))
    assert [field["type"] for field in read(table_load.schema)["fields"]] == ["INTEGER", "STRING", "STRING", "STRING"]
    assert table_load.values[2:] == ("CAST(`w` AS RANGE<DATE>)", "ST_GEOGFROMTEXT(`g`)")
    other = """NULLIF(JSON_QUERY(item0, '$."o"'), 'null')"""
    days = """JSON_QUERY_ARRAY(NULLIF(JSON_QUERY(item0, '$."l"'), 'null'))"""
    order = "WITH OFFSET AS item_at1 ORDER BY item_at1"
    members = ", ".join((
        """CAST(JSON_VALUE(item0, '$."n"') AS INT64) AS `n`""",
        """FROM_BASE64(JSON_VALUE(item0, '$."b"')) AS `b`""",
        """PARSE_JSON(NULLIF(JSON_QUERY(item0, '$."j"'), 'null'), wide_number_mode => 'round') AS `j`""",
        f"ARRAY(SELECT CAST(JSON_VALUE(item1) AS DATE) FROM UNNEST({days}) AS item1 {order}) AS `l`",
        f"""IF({other} IS NULL, NULL, STRUCT(ST_GEOGFROMTEXT(JSON_VALUE(item0, '$."o"."g"')) AS `g`)) AS `o`""",
    ))  # fmt: skip
    assert table_load.values[1] == (
        f"ARRAY(SELECT IF(item0 IS NULL, NULL, STRUCT({members})) FROM UNNEST(JSON_QUERY_ARRAY(`r`)) AS item0 "
        "WITH OFFSET AS item_at0 ORDER BY item_at0)"
    )
    assert table_load.casts == "load jobs cannot read r ARRAY<STRUCT>, w RANGE<DATE>, g GEOGRAPHY from these files"


TEXTS = [column("s", "STRING", mode="REQUIRED"), column("b", "BYTES", mode="REQUIRED"), column("n", "STRING")]


def test_an_empty_field_of_a_required_column_is_a_value_if_bigquery_takes_it_for_null() -> None:
    table_load = load(TEXTS, "csv")
    assert read(table_load.schema) == {"fields": TEXTS}
    assert (table_load.casts, table_load.like_null) == ("", "s STRING, b BYTES")
    assert {field["mode"] for field in read(table_load.staged)["fields"][:2]} == {"NULLABLE"}
    assert table_load.values == ("IFNULL(`s`, '')", "IFNULL(`b`, b'')", "`n`")


@pytest.mark.parametrize(
    ("marker", "values"),
    [
        ("", ("IFNULL(`s`, '')", "IFNULL(`b`, b'')")),
        ("NULL", ("IFNULL(`s`, 'NULL')", "IFNULL(`b`, FROM_BASE64('NULL'))")),
        ("\\N", ("IFNULL(`s`, '\\\\N')", "`b`")),
    ],
)
def test_what_reads_like_null_is_the_null_marker(marker: str, values: tuple[str, ...]) -> None:
    assert load(TEXTS[:2], "csv", "read", settings={"null_marker": marker}).values == values


def test_a_json_null_is_a_value_wherever_json_has_no_null() -> None:
    record = column("r", "RECORD", fields=[column("j", "JSON", mode="REQUIRED"), column("k", "JSON")])
    table_load = load([column("j", "JSON", mode="REQUIRED"), column("a", "JSON", mode="REPEATED"), record], "json")
    assert table_load.like_null == "j JSON, a ARRAY<JSON>, r.j JSON"
    assert table_load.values == (
        "IFNULL(`j`, JSON 'null')",
        (
            "ARRAY(SELECT IFNULL(item0, JSON 'null') FROM UNNEST(JSON_QUERY_ARRAY(`a`)) AS item0 "
            "WITH OFFSET AS item_at0 ORDER BY item_at0)"
        ),
        "IF(`r` IS NULL, NULL, STRUCT(IFNULL(`r`.`j`, JSON 'null') AS `j`, `r`.`k` AS `k`))",
    )
    assert [field["mode"] for field in read(table_load.staged)["fields"][:2]] == ["NULLABLE", "NULLABLE"]


def test_nothing_reads_like_null_in_parquet_and_avro() -> None:
    assert [load(TEXTS, format_).like_null for format_ in ("avro", "parquet", "json")] == ["", "", ""]


def nested(depth: int) -> dict[str, Any]:
    """A STRUCT with so many levels of three members each."""
    deeper = [nested(depth - 1)] if depth > 1 else [column("c", "JSON")]
    return column("d", "RECORD", fields=[column("a", "STRING"), column("b", "DATE", mode="REPEATED"), *deeper])


def test_a_cast_from_a_string_grows_by_the_same_with_every_level_of_a_struct() -> None:
    made = [load([nested(depth)], "csv", "query", shape=Shape(texts={"d": ""})).values[0] for depth in range(1, 16)]
    calls = [len(re.findall(r"JSON_(?:QUERY|VALUE)\(", value)) for value in made]
    # A NULLIF of another one would be evaluated anew at every level.
    assert {after - before for before, after in pairwise(calls)} == {4}
    assert not any("JSON_QUERY(NULLIF" in value or "JSON_VALUE(NULLIF" in value for value in made)
    assert len(made[-1]) < 10_000
    deepest = f"""JSON_QUERY(`d`, '${14 * '."d"'}."c"')"""
    assert f"PARSE_JSON(NULLIF({deepest}, 'null'), wide_number_mode => 'round') AS `c`" in made[-1]
