"""A stand-in for each module of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.bigquery_server import Cloud, serve_world
from local.storage_server import Http, storage_server


@pytest.fixture(scope="module")
def world() -> Iterator[Cloud]:
    """BigQuery, with Cloud Storage for its jobs."""
    with serve_world() as served:
        yield served


@pytest.fixture(scope="module")
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """Cloud Storage with the bucket that the module names."""
    with storage_server() as served, Http(served) as http:
        http.bucket(request.module.BUCKET)
        yield served


@pytest.fixture
def http(address: str) -> Iterator[Http]:
    """Plain requests to that Cloud Storage."""
    with Http(address) as plain:
        yield plain
