"""How it loads back: `bqdump restore` of what each format and route has exported, by docs/formats.md."""

from __future__ import annotations

from typing import Any

import pytest

import bqdump
from bqdump import Restoration
from formats.exports import WAYS, Exports, Way
from formats.forms import same
from formats.values import KINDS, ROWS, Kind, expected

PLAIN = [way for way in WAYS if way.codec == "none"]
# What comes back as something else, by docs/formats.md.
CHANGED: dict[tuple[str, str], Any] = {
    ("csv", "STRING"): lambda text: text or None,
    ("csv", "BYTES"): lambda data: data or None,
    # -0 of JSON is a whole number, which has no sign.
    ("json", "FLOAT64"): lambda number: None if number is None else number + 0.0,
    ("json", "JSON"): lambda text: None if text == "null" else text,
}


class Restored:
    """Restored exports, and the rows of their tables; each is restored once."""

    def __init__(self, exports: Exports) -> None:
        self.exports, self.stage = exports, exports.stage
        self._results: dict[str, Restoration] = {}
        self._columns: dict[Way, dict[str, list[Any]]] = {}

    def restore(self, prefix: str) -> Restoration:
        """Restore the export below a prefix; the dataset has its name."""
        if prefix not in self._results:
            self._results[prefix] = bqdump.restore(
                bucket=self.stage.bucket, prefix=prefix, into=f"{self.stage.project}.{self.dataset(prefix)}"
            )
        return self._results[prefix]

    def dataset(self, prefix: str) -> str:
        """The dataset that an export is restored into."""
        return f"restored_{prefix.replace('-', '_')}"

    def columns(self, way: Way) -> dict[str, list[Any]]:
        """The columns of the table of all values."""
        if way not in self._columns:
            self.exports.manifest(way)
            assert self.restore(str(way)).failed == ()
            table = f"{self.dataset(str(way))}.values_{way.route}_{way.format}"
            found = self.stage.big.query_and_wait(f"SELECT {selected(way.kinds)} FROM `{table}` ORDER BY id")
            rows = [dict(row) for row in found]
            self._columns[way] = {name: [row[name] for row in rows] for name in rows[0]}
        return self._columns[way]


@pytest.fixture(scope="module")
def restored(exports: Exports) -> Restored:
    return Restored(exports)


def selected(kinds: list[Kind]) -> str:
    """All columns, those as text that Google's client turns into objects of its own."""
    texts = {kind.name for kind in kinds if kind.type in ("JSON", "GEOGRAPHY", "INTERVAL", "RANGE")}
    pairs = [(kind.name, f"{kind.name}{suffix}") for kind in kinds for suffix in ("", "_null")]
    return "id, " + ", ".join(f"CAST({name} AS STRING) AS {name}" if kind in texts else name for kind, name in pairs)


@pytest.mark.parametrize("way", PLAIN, ids=str)
def test_an_export_comes_back(restored: Restored, way: Way) -> None:
    """One test of an export: each process that has a test of one restores it."""
    columns = restored.columns(way)
    assert {kind.name: found for kind in way.kinds if (found := differences(way, kind, columns))} == {}
    the_table_without_rows_came_back(restored, way)


def differences(way: Way, kind: Kind, columns: dict[str, list[Any]]) -> list[Any]:
    """The values that came back, and those that docs/formats.md has, where they differ."""
    change = CHANGED.get((way.format, kind.type)) if way.route != "read" else None
    required = [change(value) if change else value for value in expected(kind)]
    found = columns[kind.name]
    different: list[Any] = [
        (row, found[row], required[row]) for row in range(ROWS) if not same(found[row], required[row])
    ]
    nulls = columns[f"{kind.name}_null"]
    return different if nulls == [[] if kind.repeated else None] * ROWS else [*different, nulls]


def the_table_without_rows_came_back(restored: Restored, way: Way) -> None:
    result = restored.restore(str(way))
    name = f"empty_{way.route}_{way.format}"
    big = restored.stage.big
    made = big.get_table(f"{restored.stage.project}.{restored.dataset(str(way))}.{name}")
    before = big.get_table(f"{restored.stage.project}.{restored.stage.dataset}.{name}")
    assert made.num_rows == 0
    assert made.schema == before.schema
    assert result.state == "restored"
    assert not [item for item in big.list_tables(restored.dataset(str(way))) if "scratch" in item.table_id]


def test_what_was_exported_as_text_comes_back(restored: Restored) -> None:
    kinds = [kind for kind in KINDS if kind.type in ("RANGE", "INTERVAL")]
    table = restored.exports.table("as_text", kinds)
    restored.exports.run(Way("extract", "parquet", "none"), "texts", include=table, on_unsupported="string")
    result = restored.restore("texts")
    assert "load jobs cannot read" in result.tables[0].casts
    name = f"{restored.dataset('texts')}.{table}"
    for kind in kinds:
        found = restored.stage.sql(f"SELECT CAST({kind.name} AS STRING) FROM `{name}` ORDER BY id")
        assert [value for (value,) in found] == expected(kind)
    made = restored.stage.big.get_table(f"{restored.stage.project}.{name}")
    assert {field.field_type for field in made.schema[1:]} == {"RANGE", "INTERVAL"}
