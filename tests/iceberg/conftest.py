"""Readers of Iceberg tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bqdump.core.formats.formats import unfit
from formats.exports import Way
from formats.values import Kind

READ = Way("read", "parquet", "zstd")
READERS = ("duckdb", "pyiceberg", "polars")
PACKAGES = Path(sys.prefix) / "readers"


class Scanner:
    """A process with all readers. buckets: the folder of the local stack's buckets."""

    def __init__(self, buckets: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("scan.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(PACKAGES), "BUCKETS": str(buckets)},
        )

    def rows(
        self,
        reader: str,
        place: str | Path,
        snapshot: int | None = None,
        where: str = "",
        zone: str = "Asia/Tokyo",
        as_of: int | None = None,
    ) -> list[dict[str, Any]]:
        """What a reader returns of the table whose folder or metadata file this is.

        zone: of the session. as_of: a time in milliseconds, for the last snapshot up to it.
        """
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps([reader, str(place), snapshot, where, zone, as_of]), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return list(answer["rows"])

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


def iceberg_kinds(way: Way) -> list[Kind]:
    """The columns that an Iceberg table of this way can have."""
    return [kind for kind in way.kinds if not unfit("parquet", way.route, [kind.column], iceberg=True)]


@pytest.fixture(scope="session")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the local stack keeps objects as files."""
    return tmp_path_factory.mktemp("buckets")


@pytest.fixture(scope="session")
def scanner(buckets: Path) -> Iterator[Scanner]:
    made = Scanner(buckets)
    yield made
    made.close()
