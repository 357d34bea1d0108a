"""`bqdump verify --source` compares an export with BigQuery as it was at the snapshot time."""

from __future__ import annotations

import json
from typing import Any

from bqdump.core.formats.formats import FORMATS
from integration.every_format import NESTED, SCALARS, make, suffix
from integration.stage import Stage

WAYS = [{"format": name, "compression": format_.codecs[-1]} for name, format_ in FORMATS.items()]
MORE = """
  CREATE TABLE more AS
  SELECT id, IF(id = 2, '', IF(id = 3, NULL, 'x')) AS text, IF(id = 4, NULL, CAST('' AS BYTES)) AS raw,
    CAST(id AS NUMERIC) / 10 AS tenth, CAST(id * 100 AS NUMERIC) AS hundreds,
    IF(id = 5, NULL, -1.5e10 / id) AS negative, CAST('nan' AS FLOAT64) AS nothing, 1e300 AS large,
    TIMESTAMP '0001-01-01 00:00:00 UTC' AS first, TIMESTAMP '9999-12-31 23:59:59.999999 UTC' AS last,
    DATE '0001-01-01' AS early, TIME '00:00:00' AS midnight, DATETIME '1969-12-31T23:59:59.000001' AS before
  FROM UNNEST(GENERATE_ARRAY(1, 6)) AS id
"""


def compare(stage: Stage, *arguments: str) -> tuple[int, Any, str]:
    called = stage.command("verify", "--source", "--json", "--bucket", stage.bucket, "--project", stage.project,
                  *arguments)  # fmt: skip
    return called.code, json.loads(called.out) if called.out.startswith("{\n") else None, called.err


def test_a_faithful_export_is_what_bigquery_had_whatever_happened_since(stage: Stage) -> None:
    tables = make(stage, WAYS, SCALARS, MORE, NESTED)
    stage.stack.jobs(shard_bytes=600)
    (outcome,) = stage.run_tasks(1, execution="r1", tables=tables)
    assert outcome.state == "published"
    for way in WAYS:
        stage.sql(f"UPDATE scalars{suffix(way)} SET text = 'changed' WHERE true")
        stage.sql(f"DELETE FROM more{suffix(way)} WHERE id > 1")
    code, verified, reported = compare(stage)
    assert verified["findings"] == []
    assert code == 0
    assert verified["source"]["tables"] == verified["tables"] == 4 * len(WAYS) - 1
    assert verified["source"]["not_compared"] == []
    assert verified["source"]["bytes_billed"] > 0
    assert "for this comparison" in reported


def test_whatever_the_route_the_values_are_the_same(stage: Stage) -> None:
    ways = (("csv", "read"), ("parquet", "read"), ("json", "query"), ("avro", "query"))
    tables = make(stage, [{"format": format_, "route": route} for format_, route in ways], SCALARS, MORE, NESTED)
    ran = stage.run("--tables", tables, execution="r1")
    assert ran.code == 0, ran.text
    code, verified, _ = compare(stage)
    assert (verified["findings"], code) == ([], 0)
    assert verified["source"]["tables"] == 4 * len(ways) - 1


def swap_in(stage: Stage, name: str, data: bytes) -> None:
    """Put other bytes into the export, so that its manifest vouches for them."""
    stage.upload(name, data)
    blob = stage.store.bucket(stage.bucket).get_blob(name)
    where = stage.latest().manifest
    manifest = json.loads(stage.read(where))
    for table in manifest["tables"]:
        for file in table["files"]:
            if file["name"] == name:
                file |= {"size": blob.size, "crc32c": blob.crc32c, "generation": int(blob.generation)}
    stage.upload(where, json.dumps(manifest).encode())


ROWS = b"id,name\n1,orders-1\n2,orders-2\n3,orders-3\n"


# What another file has, and the findings it must lead to.
DIFFERENCES: dict[str, tuple[bytes, list[tuple[str, str]]]] = {
    "another value": (b"id,name\n1,orders-1\n2,orders-2\n3,orders-4\n", [("values", "name")]),
    "a value lost": (b"id,name\n1,orders-1\n2,orders-2\n3,\n", [("values", "name")]),
    "values of other rows": (
        b"id,name\n1,orders-1\n2,orders-3\n3,orders-2\n", [("values", "the same values in each row")]
    ),
    "a row twice": (
        b"id,name\n1,orders-1\n1,orders-1\n3,orders-3\n", [("values", "id"), ("values", "name")]
    ),
    "a row less": (
        b"id,name\n1,orders-1\n2,orders-2\n", [("rows", "3 rows"), ("rows", "3 rows in BigQuery")]
    ),
    "another order": (b"id,name\n3,orders-3\n2,orders-2\n1,orders-1\n", []),
}  # fmt: skip


def test_whatever_differs_from_bigquery_is_named(stage: Stage) -> None:
    stage.table("orders", 3)
    stage.now()
    stage.run_tasks(1, execution="r1")
    name = "orders/orders_000000000000.csv"
    assert sorted(stage.read(name).splitlines()) == sorted(ROWS.splitlines())
    for case, (rows, found) in DIFFERENCES.items():
        swap_in(stage, name, rows)
        code, verified, _ = compare(stage)
        assert code == (4 if found else 0), case
        reported = [(finding["kind"], finding["expected"]) for finding in verified["findings"]]
        assert len(reported) == len(found), case
        for kind, words in found:
            assert any(kind == its and expected.startswith(words) for its, expected in reported), (case, reported)


def test_the_last_bit_of_a_floating_number_in_text_is_compared(stage: Stage) -> None:
    ratios = "CREATE TABLE ratios AS SELECT id, id / 7 AS ratio FROM UNNEST(GENERATE_ARRAY(1, 5)) AS id"
    formats = ("csv", "json")
    ran = stage.run("--tables", make(stage, [{"format": format_} for format_ in formats], ratios), execution="r1")
    assert ran.code == 0, ran.text
    old = b"0.14285714285714285"
    for changed, found in ((b"0.142857142857142850", 0), (b"0.14285714285714288", 1)):
        for format_ in formats:
            name = f"ratios_{format_}/ratios_{format_}_000000000000.{format_}"
            data = stage.read(name)
            assert data.count(old) == 1
            swap_in(stage, name, data.replace(old, changed))
            code, verified, _ = compare(stage)
            assert (code, len(verified["findings"])) == (4 if found else 0, found), verified
            swap_in(stage, name, data)


def test_a_table_that_bigquery_has_no_more_is_named(stage: Stage) -> None:
    stage.table("orders", 3)
    stage.table("people", 3)
    stage.now()
    stage.run_tasks(1, execution="r1")
    stage.sql("DROP TABLE orders")
    code, verified, _ = compare(stage)
    assert code == 4
    assert [(finding["kind"], finding["table"]) for finding in verified["findings"]] == [("source", "orders")]
    assert verified["source"]["tables"] == 1


def test_views_have_no_past_to_compare_with(stage: Stage) -> None:
    stage.table("orders", 3)
    stage.sql(f"CREATE VIEW newest AS SELECT * FROM `{stage.project}.{stage.dataset}.orders`")
    stage.now()
    stage.run_tasks(1, execution="r1")
    code, verified, _ = compare(stage)
    assert code == 0
    assert verified["source"] | {"bytes_billed": 0} == {"tables": 1, "bytes_billed": 0, "not_compared": ["newest"]}


def test_a_bill_beyond_what_is_allowed_is_refused(stage: Stage) -> None:
    stage.table("orders", 3)
    stage.run_tasks(1, execution="r1")
    called = stage.command("verify", "--source", "--bucket", stage.bucket, "--project", stage.project,
                  "--max-bytes-billed", "1MB")  # fmt: skip
    assert called.code == 2
    assert "the queries would bill 10.5 MB" in called.errors[0]


def test_after_time_travel_the_reason_is_reported(stage: Stage) -> None:
    stage.table("orders", 3)
    stage.run_tasks(1, execution="r1")
    where = stage.latest().manifest
    manifest = json.loads(stage.read(where))
    manifest["snapshot"] -= 8 * 86_400_000
    stage.upload(where, json.dumps(manifest).encode())
    called = stage.command("verify", "r1", "--source", "--bucket", stage.bucket, "--project", stage.project)
    assert called.code == 5
    assert "time travel lasts 7 days at most, and that is 8 days ago" in called.errors[0]


def test_a_sample_and_the_source_exclude_each_other(stage: Stage) -> None:
    called = stage.command("verify", "--source", "--read=10%", "--bucket", stage.bucket, "--project", stage.project)
    assert called.code == 2
    assert "--source compares complete tables, so it reads every file. Leave out --read." in called.errors[0]


def test_what_was_exported_as_text_or_left_out_is_compared_as_such(stage: Stage) -> None:
    stage.sql(NESTED)
    stage.sql(SCALARS)
    for number, policy in enumerate(("string", "skip")):
        stage.now()
        stage.run_tasks(1, execution=f"r{number}", on_unsupported=policy)
        code, verified, _ = compare(stage)
        assert (verified["findings"], code) == ([], 0)
        assert verified["source"]["tables"] == 2
        name = "nested/nested_000000000000.csv"
        swap_in(stage, name, stage.read(name).replace(b"5", b"6"))
        assert compare(stage)[0] == 4


def test_the_part_of_a_table_that_was_exported_is_compared(stage: Stage) -> None:
    stage.sql("CREATE TABLE people AS SELECT id, CONCAT('p', CAST(id AS STRING)) AS name, id * 2 AS pay, 'x' AS secret "
              "FROM UNNEST(GENERATE_ARRAY(1, 5)) AS id")  # fmt: skip
    (stage.folder / "bqdump.toml").write_text(
        '[tables.people]\ncolumns = ["secret", "pay", "id"]\nwhere = "id > 2"\n'
        "[tables.people.masks]\nsecret = {sha256 = \"SALT\"}\n"
    )  # fmt: skip
    stage.now()
    ran = stage.run(execution="r1", env={"SALT": "unknown"})
    assert ran.code == 0, ran.text
    name = "people/people_000000000000.csv"
    assert stage.read(name).startswith(b"secret,pay,id\n")
    code, verified, _ = compare(stage)
    assert (verified["findings"], code, verified["read"]["rows"]) == ([], 0, 3)
    swap_in(stage, name, stage.read(name).replace(b",10,5", b",10,6"))
    code, verified, _ = compare(stage)
    assert code == 4
    assert [finding["kind"] for finding in verified["findings"]] == ["values"]
