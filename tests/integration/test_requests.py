"""How many requests an export takes: what no law needs is not sent."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from integration.stage import Stage


@pytest.mark.parametrize(
    ("path", "most"),
    [("{table}/{table}_*.{ext}", 48), ("{run}/{table}/{table}_*.{ext}", 38)],
    ids=["replace", "keep"],
)
def test_an_export_of_one_table_takes_at_most_48_requests(path: str, most: int, stage: Stage) -> None:
    stage.table("a")
    for execution in ("monday", "tuesday"):
        for address in (stage.stack.storage, stage.stack.bigquery):
            requests.delete(f"{address}/_local/requests", timeout=10).raise_for_status()
        [ended] = stage.run_tasks(1, execution=execution, path=path)
        assert ended.state == "published"
        counted: Any = stage.stack.requests()
        sent = [counted[service]["requests"] for service in ("storage", "bigquery")]
        # BigQuery writes the file itself.
        assert sum(sum(operations.values()) for operations in sent) - 1 <= most, sent
