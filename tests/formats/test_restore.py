"""How it loads back: the commands of docs/restore.md on what each format and route has exported."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from formats import bq
from formats.exports import WAYS, Exports, Way
from formats.forms import same
from formats.values import KINDS, ROWS, Kind, expected

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/restore.md").read_text(), re.DOTALL)
SETTINGS, FETCH, SPLIT, CSV, JSON, AVRO, PARQUET, STRAIGHT, THROUGH = BLOCKS
LOAD = {"csv": CSV, "json": JSON, "avro": AVRO, "parquet": PARQUET}
PLAIN = [way for way in WAYS if way.codec == "none"]
# What comes back as something else, by docs/formats.md.
CHANGED: dict[tuple[str, str], Any] = {
    ("csv", "STRING"): lambda text: text or None,
    ("csv", "BYTES"): lambda data: data or None,
    # -0 of JSON is a whole number, which has no sign.
    ("json", "FLOAT64"): lambda number: None if number is None else number + 0.0,
    ("json", "JSON"): lambda text: None if text == "null" else text,
}


# `gcloud storage cat` reads from the stack; `bq` notes what it is asked, and bq.py does it afterwards.
GCLOUD = """
import os, sys, urllib.parse, urllib.request
assert sys.argv[1:3] == ["storage", "cat"]
_, _, bucket, name = sys.argv[3].split("/", 3)
path = f"/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}?alt=media"
sys.stdout.buffer.write(urllib.request.urlopen(os.environ["STORAGE_EMULATOR_HOST"] + path).read())
"""
BQ = """
import json, sys
with open("asked", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
"""


class Restored:
    """Tables that the page's commands have made, and their rows."""

    def __init__(self, exports: Exports, folder: Path) -> None:
        self.exports, self.folder, self.stage = exports, folder, exports.stage
        self.tools = folder / "tools"
        self.tools.mkdir()
        for tool, text in (("bq", BQ), ("gcloud", GCLOUD)):
            (self.tools / tool).write_text(f"#!{sys.executable} -S{text}")
            (self.tools / tool).chmod(0o755)
        (self.tools / "python3").symlink_to(sys.executable)

    def restore(self, table: str, prefix: str, format_: str) -> str:
        """Follow the page; returns the table's new name."""
        dataset = f"restored_{prefix.replace('-', '_')}"
        self.stage.big.create_dataset(f"{self.stage.project}.{dataset}", exists_ok=True)
        environ = {**os.environ, **self.stage.stack.variables(), "PATH": f"{self.tools}:{os.environ['PATH']}"}
        chosen = SETTINGS.replace("my-project-exports", self.stage.bucket).replace("my-project", self.stage.project)
        chosen = chosen.replace("=restored", f"={dataset}").replace("=orders", f"={table}")
        where = self.folder / f"{prefix}-{table}"
        where.mkdir()
        fetched = [chosen, FETCH.replace("/_bqdump", f"/{prefix}/_bqdump"), SPLIT]
        self._shell(fetched, where, environ)
        alike = json.loads((where / "schema.json").read_text()) == json.loads((where / "loading.json").read_text())
        self._shell([chosen, LOAD[format_], STRAIGHT if alike else THROUGH], where, environ)
        asked = [json.loads(line) for line in (where / "asked").read_text().splitlines()]
        assert [words[0] for words in asked] == (["mk", "load"] if alike else ["mk", "load", "query", "rm"])
        for words in asked:
            bq.run(self.stage.big, words, where)
        tables = [item.table_id for item in self.stage.big.list_tables(f"{self.stage.project}.{dataset}")]
        assert f"{table}_loading" not in tables
        return f"{dataset}.{table}"

    def _shell(self, blocks: list[str], where: Path, environ: dict[str, str]) -> None:
        script = "\n".join(["set -eu", *blocks])
        done = subprocess.run(["sh"], input=script, text=True, capture_output=True, cwd=where, env=environ)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="session")
def restored(exports: Exports, tmp_path_factory: pytest.TempPathFactory) -> Restored:
    return Restored(exports, tmp_path_factory.mktemp("restore"))


_tables: dict[Way, dict[str, list[Any]]] = {}


def back(restored: Restored, way: Way) -> dict[str, list[Any]]:
    """The columns of the table of all values after its restoration; restored once."""
    if way not in _tables:
        restored.exports.manifest(way)
        table = restored.restore(f"values_{way.route}_{way.format}", str(way), way.format)
        found = restored.stage.big.query_and_wait(f"SELECT {selected(way.kinds)} FROM `{table}` ORDER BY id")
        rows = [dict(row) for row in found]
        _tables[way] = {name: [row[name] for row in rows] for name in rows[0]}
    return _tables[way]


def selected(kinds: list[Kind]) -> str:
    """All columns, those as text that Google's client turns into objects of its own."""
    texts = {kind.name for kind in kinds if kind.type in ("JSON", "GEOGRAPHY", "INTERVAL", "RANGE")}
    pairs = [(kind.name, f"{kind.name}{suffix}") for kind in kinds for suffix in ("", "_null")]
    return "id, " + ", ".join(f"CAST({name} AS STRING) AS {name}" if kind in texts else name for kind, name in pairs)


@pytest.mark.parametrize(
    ("way", "kind"),
    [pytest.param(way, kind, id=f"{way}-{kind.name}") for way in PLAIN for kind in way.kinds],
)
def test_values_come_back(restored: Restored, way: Way, kind: Kind) -> None:
    change = CHANGED.get((way.format, kind.type)) if way.route != "read" else None
    change = change or (lambda value: value)
    wanted = [change(value) for value in expected(kind)]
    columns = back(restored, way)
    found = columns[kind.name]
    assert [(row, found[row], wanted[row]) for row in range(ROWS) if not same(found[row], wanted[row])] == []
    assert columns[f"{kind.name}_null"] == [[] if kind.repeated else None] * ROWS


@pytest.mark.parametrize("way", PLAIN, ids=str)
def test_the_schema_and_a_table_without_rows_come_back(restored: Restored, way: Way) -> None:
    restored.exports.manifest(way)
    name = f"empty_{way.route}_{way.format}"
    big = restored.stage.big
    made = big.get_table(f"{restored.stage.project}.{restored.restore(name, str(way), way.format)}")
    before = big.get_table(f"{restored.stage.project}.{restored.stage.dataset}.{name}")
    assert made.num_rows == 0
    assert made.schema == before.schema


def test_what_was_exported_as_text_comes_back(restored: Restored) -> None:
    kinds = [kind for kind in KINDS if kind.type in ("RANGE", "INTERVAL")]
    table = restored.exports.table("as_text", kinds)
    restored.exports.run(Way("extract", "parquet", "none"), "texts", include=table, on_unsupported="string")
    name = restored.restore(table, "texts", "parquet")
    for kind in kinds:
        found = restored.stage.sql(f"SELECT CAST({kind.name} AS STRING) FROM `{name}` ORDER BY id")
        assert [value for (value,) in found] == expected(kind)
    made = restored.stage.big.get_table(f"{restored.stage.project}.{name}")
    assert {field.field_type for field in made.schema[1:]} == {"RANGE", "INTERVAL"}


def test_the_page_tells_of_every_format() -> None:
    assert all(f"--source_format={name}" in block for name, block in
               (("CSV", CSV), ("NEWLINE_DELIMITED_JSON", JSON), ("AVRO", AVRO), ("PARQUET", PARQUET)))  # fmt: skip
