"""Settings that take packages of an extra: refused before a run is planned where these are not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from integration.stage import Stage

# The first argument names the packages.
WITHOUT = """
import sys
from importlib.machinery import PathFinder
missing = sys.argv.pop(1).split(",")
def without(find):
    return lambda name, *more: None if name in missing else find(name, *more)
for finder in {*sys.meta_path, PathFinder}:
    finder.find_spec = staticmethod(without(finder.find_spec))
from bqdump.cli.main import start
sys.exit(start(sys.argv[1:]))
"""
TABLES = '{"a": {"route": "read"}}'


def without(stage: Stage, package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that has no such package."""
    return subprocess.run(
        [sys.executable, "-P", "-c", WITHOUT, package, *arguments], capture_output=True, text=True, cwd=stage.folder,
        env=os.environ | stage.variables, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "package", "arguments"),
    [
        ("run", "polars", ["--file-size", "1MB"]), ("run", "grpc", ["--route", "read"]),
        ("run", "pyarrow", ["--row-group-rows", "10", "--format", "parquet"]), ("run", "isal", ["--tables", TABLES]),
        ("plan", "google.cloud.bigquery_storage", ["--route", "read"]), ("plan", "polars", ["--null-marker", "NULL"]),
    ],
    ids=str,
)  # fmt: skip
def test_the_read_route_is_refused_before_planning(
    stage: Stage, command: str, package: str, arguments: list[str]
) -> None:
    stage.table("a")
    done = without(stage, package, command, *arguments)
    assert done.returncode == 2, done
    reported = done.stdout + done.stderr
    for words in ("table a: it takes the read route", f"{package} is not installed", "pip install 'bqdump[read]'"):
        assert words in reported
    assert "Traceback" not in reported
    assert stage.objects() == {}


def test_a_target_folder_is_refused_too(stage: Stage, tmp_path: Path) -> None:
    stage.table("a")
    for command in ("plan", "run"):
        done = without(stage, "polars", command, "--to", str(tmp_path / "out"))
        assert done.returncode == 2, done
        assert (
            "polars is not installed. Install the extra read: pip install 'bqdump[read]'" in done.stdout + done.stderr
        )
    assert not list((tmp_path / "out").rglob("plan.json"))


@pytest.mark.usefixtures("cold")
@pytest.mark.parametrize("arguments", [[], ["--file-size", "1MB", "--exclude", "*"]], ids=str)
def test_an_export_that_reads_nothing_takes_no_extra(stage: Stage, arguments: list[str]) -> None:
    stage.table("a")
    for command in ("plan", "run"):
        done = without(stage, "polars,pyarrow,grpc,isal,google.cloud.bigquery_storage", command, *arguments)
        assert done.returncode == 0, done


def test_reading_files_back_is_refused_before_anything_is_listed(stage: Stage) -> None:
    stage.table("a")
    assert stage.run("--run-id", "r1").code == 0
    for package, arguments in (("duckdb", ["--read"]), ("polars", ["--read"]), ("duckdb", ["--source"])):
        done = without(stage, package, "verify", *arguments)
        assert done.returncode == 2, done
        assert f"needs {package}, which is not installed" in done.stderr
        assert "pip install 'bqdump[verify]'" in done.stderr


def test_a_copy_in_s3_is_refused_before_anything_is_read(stage: Stage) -> None:
    stage.table("a")
    assert stage.run("--run-id", "r1").code == 0
    for arguments in (["copy", "s3://bucket/p"], ["runs", "--to", "s3://bucket/p"]):
        done = without(stage, "botocore", *arguments)
        assert done.returncode == 2, done
        assert "s3://bucket/p/: S3 needs botocore, which is not installed. Install the extra s3: " in done.stderr
        assert done.stderr.endswith("pip install 'bqdump[s3]'\n")
