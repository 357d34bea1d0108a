"""Copies of Iceberg tables are Iceberg tables: their metadata has the addresses of the copy, whose files are read."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bqdump
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump_local.stack import running
from iceberg.conftest import READERS, Scanner
from integration.stage import Stage


@pytest.fixture(scope="module")
def stage(buckets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with running(root=buckets) as stack, pytest.MonkeyPatch.context() as patch:
        for name, value in stack.variables().items():
            patch.setenv(name, value)
        made = Stage(stack, tmp_path_factory.mktemp("stage"))
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def copied(stage: Stage) -> Path:
    """Copies of two runs, the second of which takes over a table; the export is gone."""
    lake, copy = stage.folder / "lake", stage.folder / "copy"
    stage.sql(
        "CREATE TABLE fixed AS SELECT id, CONCAT('row ', CAST(id AS STRING)) AS name FROM UNNEST([1, 2, 3]) AS id"
    )
    stage.sql("CREATE TABLE moving AS SELECT 1 AS id")
    settings: dict[str, Any] = {"project": stage.project, "dataset": stage.dataset, "to": str(lake)}
    settings |= {"format": "parquet", "iceberg": True, "path": "{run}/{table}_*.{ext}", "incremental": True}
    for run in ("n1", "n2", "n3"):
        stage.sql("INSERT INTO moving SELECT MAX(id) + 1 FROM moving")
        bqdump.run(run_id=run, **settings)
        if run != "n1":
            bqdump.copy(str(copy), to=str(lake))
    shutil.rmtree(lake)
    return copy


def place_of(copy: Path, table: str, run: str) -> Path:
    name = f"_bqdump/runs/{run}/manifest.json"
    manifest = decode((copy / name).read_bytes(), Manifest, name)
    [entry] = [entry for entry in manifest.tables if entry.table == table]
    return copy / entry.iceberg[-1].name


@pytest.mark.parametrize("reader", READERS)
def test_a_copied_table_is_read_from_the_copy_alone(copied: Path, scanner: Scanner, reader: str) -> None:
    rows = scanner.rows(reader, place_of(copied, "fixed", "n3"))
    assert sorted(row["name"] for row in rows) == ["row 1", "row 2", "row 3"]
    rows = scanner.rows(reader, place_of(copied, "moving", "n3"))
    assert sorted(row["id"] for row in rows) == [1, 2, 3, 4]


def test_the_metadata_has_a_snapshot_of_each_copied_run_and_no_address_of_the_source(copied: Path) -> None:
    text = place_of(copied, "moving", "n3").read_text()
    assert (text.count('"snapshot-id"') > 1, str(copied.parent / "lake") in text) == (True, False)
    assert '"bqdump.run":"n2"' in text.replace('": "', '":"')
    hint = copied / "_bqdump/iceberg/moving/metadata/version-hint.text"
    assert place_of(copied, "moving", "n3").name.startswith(hint.read_text())


def test_verify_and_prune_work_on_the_tables_of_a_copy(copied: Path) -> None:
    assert not bqdump.verify(to=str(copied)).findings
    pruned = bqdump.prune(to=str(copied), keep_last=1, yes=True, now=True)
    assert [run.run for run in pruned.removed] == ["n2"]
    assert not bqdump.verify(to=str(copied)).findings
    assert place_of(copied, "fixed", "n3").exists()


@pytest.fixture
def lake(stage: Stage) -> dict[str, Any]:
    """The settings of exports of one Iceberg table, without any export yet."""
    stage.sql("CREATE OR REPLACE TABLE one AS SELECT 1 AS id")
    settings: dict[str, Any] = {"project": stage.project, "dataset": stage.dataset, "include": "one"}
    settings |= {"to": str(stage.folder / f"lake-{time.monotonic_ns()}"), "format": "parquet", "iceberg": True}
    return settings | {"path": "{run}/{table}_*.{ext}"}


def test_a_repeated_copy_leaves_the_hint_at_the_metadata_that_prune_has_written(lake: dict[str, Any]) -> None:
    copy = Path(f"{lake['to']}-copy")
    for run in ("n1", "n2"):
        bqdump.run(run_id=run, **lake)
        bqdump.copy(str(copy), to=lake["to"])
    hint = copy / "_bqdump/iceberg/one/metadata/version-hint.text"
    before = hint.read_text()
    assert [run.run for run in bqdump.prune(to=str(copy), keep_last=1, yes=True, now=True).removed] == ["n1"]
    pruned = hint.read_text()
    assert pruned != before
    bqdump.copy(str(copy), to=lake["to"])
    assert hint.read_text() == pruned
    # A hint that is lost is written again, as prune has left it.
    hint.unlink()
    bqdump.copy(str(copy), to=lake["to"])
    assert hint.read_text() == pruned


def test_a_run_that_is_copied_after_a_later_one_has_metadata_of_its_own(lake: dict[str, Any]) -> None:
    copy = Path(f"{lake['to']}-copy")
    for run in ("n1", "n2"):
        bqdump.run(run_id=run, **lake)
    bqdump.copy(str(copy), "n2", to=lake["to"])
    hint = copy / "_bqdump/iceberg/one/metadata/version-hint.text"
    before = hint.read_text()
    bqdump.copy(str(copy), "n1", to=lake["to"])
    assert hint.read_text() == before
    for run in ("n1", "n2"):
        text = place_of(copy, "one", run).read_text()
        assert [name for name in ("n1", "n2") if f'"bqdump.run":"{name}"' in text.replace('": "', '":"')] == [run]
    assert not bqdump.verify("n1", to=str(copy)).findings


def test_a_copy_of_iceberg_tables_is_signed_afterwards_with_metadata_that_is_made_anew(
    stage: Stage, lake: dict[str, Any]
) -> None:
    copy, key = Path(f"{lake['to']}-copy"), stage.folder / "signing"
    assert stage.command("keys", "new", str(key)).code == 0
    signed: dict[str, Any] = {"to": lake["to"], "sign": f"{key}.key"}
    for run in ("n1", "n2"):
        bqdump.run(run_id=run, **lake)
        bqdump.copy(str(copy), to=lake["to"])
    bqdump.copy(str(copy), **signed)
    assert bqdump.verify(to=str(copy), trust=f"{key}.pub").run == "n2"
    assert (copy / "_bqdump/iceberg/one/metadata/version-hint.text").read_text() in place_of(copy, "one", "n2").name
    # One that was killed before it had signed.
    bqdump.run(run_id="n3", **lake)
    bqdump.copy(str(copy), **signed)
    for name in ("runs/n3/signature.json", "latest.json"):
        (copy / "_bqdump" / name).unlink()
    bqdump.copy(str(copy), **signed)
    assert not bqdump.verify(to=str(copy), trust=f"{key}.pub").findings
    # Metadata that a thief has named is not signed.
    manifest = copy / "_bqdump/runs/n3/manifest.json"
    name = place_of(copy, "one", "n3").name
    (copy / "_bqdump/runs/n3/signature.json").unlink()
    manifest.write_bytes(manifest.read_bytes().replace(name.encode(), name.replace("n3", "n3-of-a-thief").encode()))
    bqdump.copy(str(copy), **signed)
    assert "thief" not in place_of(copy, "one", "n3").name
    assert not bqdump.verify(to=str(copy), trust=f"{key}.pub").findings
