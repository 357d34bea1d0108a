"""The catalog of the local BigQuery, as jobs that run at the same time use it."""

from __future__ import annotations

import pytest

from bqdump_local.bigquery.jobs.settings import JobSettings
from bqdump_local.bigquery.tables.catalog import Catalog
from bqdump_local.bigquery.tables.warehouse import Warehouse


def test_a_table_that_two_jobs_delete_is_dropped_once_and_its_successor_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Warehouse()
    catalog = Catalog(warehouse, JobSettings())
    dropped: list[str] = []
    monkeypatch.setattr(warehouse, "drop", dropped.extend)
    catalog.create_dataset("p", "d", {})
    first = catalog.create_table("p", "d", "t", {"schema": {"fields": [{"name": "a", "type": "INT64"}]}})
    catalog.delete_table(first)
    second = catalog.create_table("p", "d", "t", {"schema": {"fields": [{"name": "b", "type": "INT64"}]}})
    catalog.delete_table(first)
    assert dropped == [first.current.name]
    assert catalog.find_table("p", "d", "t") is second
    warehouse.close()
