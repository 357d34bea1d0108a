"""The fixture for tests of other projects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CONFTEST = "from bqdump_local.pytest import bigquery_stack\n"
TESTS = """
import os

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage


def test_a_table_is_exported(bigquery_stack):
    client = bigquery.Client(project="test", credentials=AnonymousCredentials())
    objects = storage.Client(project="test", credentials=AnonymousCredentials())
    client.create_dataset("sales")
    client.query_and_wait("CREATE TABLE sales.orders AS SELECT 7 AS id")
    bucket = objects.create_bucket("exports")
    client.extract_table("test.sales.orders", "gs://exports/orders.csv").result()
    assert bucket.blob("orders.csv").download_as_bytes() == b"id\\n7\\n"


def test_the_stack_is_that_of_the_session(bigquery_stack):
    assert os.environ["BIGQUERY_EMULATOR_HOST"] == bigquery_stack.bigquery
    client = bigquery.Client(project="test", credentials=AnonymousCredentials())
    assert [one.dataset_id for one in client.list_datasets()] == ["sales"]
"""
LATER = """
import os


def pytest_unconfigure():
    assert "BIGQUERY_EMULATOR_HOST" not in os.environ
    print("nothing is left")
"""


def run(folder: Path, conftest: str, tests: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_theirs.py").write_text(tests)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-s",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        str(folder),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_another_project_has_a_stack_for_its_tests_and_nothing_is_left(tmp_path: Path) -> None:
    done = run(tmp_path, CONFTEST + LATER, TESTS)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert "nothing is left" in done.stdout
    assert done.returncode == 0


def test_a_project_that_does_not_ask_has_no_fixture(tmp_path: Path) -> None:
    done = run(tmp_path, "", "def test_none(bigquery_stack): pass\n")
    assert "fixture 'bigquery_stack' not found" in done.stdout
    assert done.returncode == 1
