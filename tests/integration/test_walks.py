"""The pages for beginners do what they say, as they stand there."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import requests

from bqdump.core.documents.changes import SAME
from bqdump_local import state
from bqdump_local.seed import drop
from bqdump_local.stack import running
from docs.samples import below, differs
from docs.walk import ROOT, blocks, follow, seed_few, shell
from s3_server import environment, s3_server


# It makes two exports of all the data there is, by up to ten processes at once.
def test_the_quick_start_works_as_it_is_printed(tmp_path: Path) -> None:
    try:
        output = follow("docs/quickstart.md", tmp_path)
    finally:
        if state.find(tmp_path / ".bqdump-local"):
            state.down(tmp_path / ".bqdump-local")
    assert "Every file is there" in output
    assert "10 of 10 tasks succeeded" in output
    assert SAME in output
    assert "5 of 38 tables" in output
    assert (tmp_path / "tuesday.html").read_text().startswith("<!doctype html>")
    bucket = tmp_path / ".bqdump-local/buckets/my-exports"
    assert (bucket / "monday/flights/flights_000000000000.parquet").exists()
    assert (bucket / "tuesday/flights/flights_000000000000.parquet").exists()
    assert state.find(tmp_path / ".bqdump-local") is None


def test_the_page_about_the_local_stack_works_as_it_is_printed(tmp_path: Path) -> None:
    try:
        output = follow("docs/local.md", tmp_path)
    finally:
        if state.find(tmp_path / ".bqdump-local"):
            state.down(tmp_path / ".bqdump-local")
    assert '"taskCount":10' in output
    assert state.find(tmp_path / ".bqdump-local") is None


def test_the_console_begins_as_its_page_shows(tmp_path: Path) -> None:
    sample = below((ROOT / "docs/console.md").read_text())[0]
    with running(root=tmp_path / "buckets") as stack:
        seed_few(stack)
        served = f"{sample.commands.strip()} --port 0 >said & until test -s said; do sleep 0.1; done; kill $!; cat said"
        assert differs(sample.shown, shell(served, tmp_path, stack.variables())) == ""


def test_the_page_for_users_of_other_tools_works_as_it_is_printed(tmp_path: Path) -> None:
    bucket = tmp_path / "buckets/my-exports"
    with running(root=tmp_path / "buckets") as stack:
        seed_few(stack)
        follow("docs/coming-from.md", tmp_path, stack.variables())
        assert (bucket / "dummy_01/dummy_01_000000000000.csv").exists()
        lines = gzip.decompress((bucket / "extract/dummy_01_000000000000.json.gz").read_bytes()).splitlines()
        assert lines[0].startswith(b"{")
        assert not (bucket / "extract/dummy_10_000000000000.json.gz").exists()
        first = (bucket / "pipes/dummy_01/dummy_01_000000000000.csv").read_text().splitlines()[0]
        assert "|" in first
        assert first.startswith("1|")


def test_the_page_about_copies_works_as_it_is_printed(tmp_path: Path) -> None:
    with running(root=tmp_path / "buckets") as stack, s3_server() as s3:
        s3.bucket("my-bucket")
        variables = stack.variables() | environment(s3.address)
        seed_few(stack)
        bucket = {"name": "my-second-bucket"}
        requests.post(f"{stack.storage}/storage/v1/b?project=my-project", json=bucket, timeout=10).raise_for_status()
        export = "bqdump run --quiet --project my-project --dataset sales --bucket my-exports --run-id monday"
        shell(export, tmp_path, variables)
        output = follow("docs/copy.md", tmp_path, variables)
        assert "Nothing was copied." in output
        assert "Every file is there" in output
        assert (tmp_path / "local-copy/monday/dummy_01/dummy_01_000000000000.csv").exists()


def test_the_page_about_restores_works_as_it_is_printed(tmp_path: Path) -> None:
    with running(root=tmp_path / "buckets") as stack:
        stack.clock(-86_400)
        seed_few(stack)
        keep = "--path '{run}/{table}/{table}_*.{ext}'"
        export = f"bqdump run --quiet --project my-project --dataset sales --bucket my-exports {keep}"
        shell(f"{export} --run-id monday", tmp_path, stack.variables())
        stack.clock(0)
        shell(f"{export} --run-id tuesday", tmp_path, stack.variables())
        variables = {**stack.variables(), "BQDUMP_LOG_FORMAT": "json"}
        settings = "".join(re.findall(r"^export .*\n", blocks("docs/restore.md")[0], re.MULTILINE))
        others = blocks("docs/restore.md")
        gone = next(number for number, block in enumerate(others) if "--into sales --verify" in block)
        output = shell("".join([settings, *others[:gone]]), tmp_path, variables)
        drop(stack, project="my-project", dataset="sales")
        output += shell("".join([settings, *others[gone:]]), tmp_path, variables)
        for dataset in ("my-project.restored", "my-project.one_table", "my-project.sales", "other-project.sales"):
            assert f'into {dataset}"' in output
        assert '"query_billed"' in output
        assert "dummy_01_yesterday: restored" in output
        assert [line for line in output.splitlines() if "of run monday" in line and 'into my-project.sales"' in line]
        assert not {
            event for event in ("table_not_restored", "object_not_restored", "values_differ") if event in output
        }
