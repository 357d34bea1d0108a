"""`--on-unsupported skip` and `string`: what does not fit is left out or exported as text, and named."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.documents.target import Latest
from bqdump.core.formats.fidelity import cell
from formats.exports import Exports, Way
from formats.forms import FORMS, same
from formats.readers import READERS, Columns
from formats.values import KINDS, ROWS, Kind, expected
from integration.command import call

PLAIN = next(kind for kind in KINDS if kind.name == "s")
MISFITS = [
    (format_, kind) for format_ in READERS for kind in KINDS if cell(format_, "query", kind.type).holds == "no"
]  # fmt: skip
CASES = pytest.mark.parametrize(("format_", "kind"), MISFITS, ids=lambda value: getattr(value, "name", value))


def exported(exports: Exports, tmp_path: Path, policy: str, format_: str, kind: Kind) -> tuple[TableEntry, Columns]:
    """Export a table of `id`, a STRING and the kind; returns its part of the manifest and what is in its file."""
    table, folder = exports.table(f"beside_{kind.name}", [PLAIN, kind]), f"{policy}-{format_}-{kind.name}"
    exports.run(Way("extract", format_, "none"), folder, include=table, on_unsupported=policy)
    latest = decode(exports.stage.read(f"{folder}/_bqdump/latest.json"), Latest, "latest")
    (entry,) = decode(exports.stage.read(latest.manifest), Manifest, "manifest").tables
    assert (entry.route, entry.rows, entry.why.partition(":")[0]) == ("query", ROWS, entry.shape.words)
    reader = next(iter(READERS[format_].values()))
    return entry, reader([exports.stage.read(file.name) for file in entry.files], tmp_path)


@CASES
def test_columns_that_do_not_fit_are_left_out_by_name(
    exports: Exports, tmp_path: Path, format_: str, kind: Kind
) -> None:
    entry, columns = exported(exports, tmp_path, "skip", format_, kind)
    assert [name for name in columns if not name.endswith("_null")] == ["id", "s"]
    assert columns["s"] == [FORMS[format_](PLAIN, value) for value in expected(PLAIN)]
    reason = cell(format_, "query", kind.type).lost
    assert list(entry.shape.left_out) == [kind.name, f"{kind.name}_null"]
    assert entry.shape.left_out[kind.name] == f"{kind.name} {kind.column.text}: {reason}"


def encoded(value: Any) -> Any:
    """What TO_JSON_STRING makes of a value, parsed again."""
    match value:
        case list():
            return [encoded(item) for item in value]
        case dict():
            return {key: encoded(item) for key, item in value.items()}
        case int() if abs(value) <= 2**53:
            return value
        case datetime():
            return value.replace(tzinfo=None).isoformat().rstrip("0") + "Z"
        case _:
            return FORMS["csv"](PLAIN, value) if value is not None else None


@CASES
def test_columns_that_do_not_fit_are_exported_as_text(
    exports: Exports, tmp_path: Path, format_: str, kind: Kind
) -> None:
    entry, columns = exported(exports, tmp_path, "string", format_, kind)
    assert list(entry.shape.texts) == [kind.name, f"{kind.name}_null"]
    assert columns["s"] == [FORMS[format_](PLAIN, value) for value in expected(PLAIN)]
    null = "" if format_ == "csv" else None
    for text, value in zip(columns[kind.name], expected(kind), strict=True):
        if value is None:
            assert text == null
        elif kind.type in ("STRUCT", "ARRAY"):
            assert same(json.loads(text), json.loads(json.dumps(encoded(value)))), (text, encoded(value))
        else:
            assert text == value


@pytest.mark.parametrize(
    ("policy", "risk", "done"),
    [("skip", "left-out-columns", "left out"), ("string", "columns-as-text", "exported as strings")],
)
def test_the_plan_shows_columns_that_do_not_fit(
    exports: Exports, capsys: pytest.CaptureFixture[str], policy: str, risk: str, done: str
) -> None:
    kind = next(kind for kind in KINDS if kind.name == "rd")
    stage, table = exports.stage, exports.table("beside_rd", [PLAIN, kind])
    where = ["--project", stage.project, "--dataset", stage.dataset, "--bucket", stage.bucket, "--prefix", "plan"]
    requested = ["plan", *where, "--include", table, "--format", "avro"]
    refused = call(capsys, *requested)
    assert refused.code == 2
    assert "rd RANGE<DATE>, rd_null RANGE<DATE>" in refused.errors[0]
    assert "Set --format to csv or json, --on-unsupported to skip or string" in refused.errors[0]
    shown = call(capsys, *requested, "--on-unsupported", policy)
    assert (shown.code, shown.errors) == (0, [])
    text = " ".join(shown.out.split())
    why = "rd RANGE<DATE>: Avro exports have no RANGE; rd_null RANGE<DATE>: Avro exports have no RANGE"
    assert f"{risk} {table} {table}: columns that the format cannot hold are {done} ({why}) yes" in text
    planned = json.loads(call(capsys, *requested, "--on-unsupported", policy, "--json").out)
    (flag,) = [flag for flag in planned["flags"] if flag["table"]]
    assert (flag["risk"], flag["columns"], flag["allowed"]) == (risk, ["rd", "rd_null"], True)
    assert [item["route"] for item in planned["tables"]] == ["query"]


def test_a_table_of_which_nothing_is_left_is_not_exported_and_named(exports: Exports) -> None:
    exports.stage.sql("CREATE TABLE nothing_left (a ARRAY<INT64>)")
    exports.stage.sql("CREATE TABLE something_left (id INT64)")
    exports.run(Way("extract", "csv", "none"), "nothing", include="*_left", on_unsupported="skip")
    latest = decode(exports.stage.read("nothing/_bqdump/latest.json"), Latest, "latest")
    manifest = decode(exports.stage.read(latest.manifest), Manifest, "manifest")
    assert [table.table for table in manifest.tables] == ["something_left"]
    assert [(item.table, item.reason) for item in manifest.skipped] == [
        ("nothing_left", "csv can hold none of its columns")
    ]
