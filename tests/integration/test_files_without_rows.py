"""BigQuery may write files without rows among others, even of 0 bytes: they are exported, counted and verified."""

from __future__ import annotations

import json

from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.formats.formats import FORMATS
from integration.every_format import NESTED, SCALARS, make
from integration.stage import Stage

WAYS = [
    {"route": route, "format": name, "compression": codec}
    for route in ("extract", "query")
    for name, format_ in FORMATS.items()
    # Text without rows has 0 bytes, unless it is compressed.
    for codec in (("none", "gzip") if (route, name) in (("extract", "csv"), ("extract", "json")) else ("none",))
]


def test_an_export_with_files_without_rows_is_whole(stage: Stage) -> None:
    tables = make(stage, WAYS, SCALARS, NESTED)
    stage.stack.jobs(shard_bytes=600, empty_shards=3, bare_empty_files=True)
    ran = stage.run("--tables", tables, execution="r1")
    assert ran.code == 0, ran.text
    manifest = decode(stage.read(stage.latest().manifest), Manifest, "manifest")
    assert len(manifest.tables) == 3 * len(WAYS) - sum(way["format"] == "csv" for way in WAYS)
    for entry in manifest.tables:
        name, route, format_, codec = entry.table.split("_")
        assert (entry.route, entry.format, entry.compression) == (route, format_, codec)
        empty = [file for file in entry.files if file.rows == 0 or file.size == 0]
        if format_ in ("avro", "parquet"):
            assert entry.rows == {"scalars": 9, "nested": 5, "nothing": 0}[name]
        assert len(empty) == (1 if name == "nothing" else 3)
        assert len(entry.files) >= (1 if name == "nothing" else 4)
    called = stage.command("verify", "--source", "--json")
    assert called.code == 0, called.err
    verified = json.loads(called.out)
    assert verified["findings"] == []
    assert verified["read"]["rows"] == sum(9 if way["format"] == "csv" else 14 for way in WAYS)
