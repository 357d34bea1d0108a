"""BigQuery's count from planning counts only where it is certainly that of the snapshot time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bqdump.core.plan.hidden_data import certain_rows

SNAPSHOT = 1_800_000_000_000


def rows(kind: str = "TABLE", **definition: Any) -> int | None:
    return certain_rows(kind, 7, msgspec.Raw(msgspec.json.encode({"numRows": "7"} | definition)), SNAPSHOT)


def test_a_table_that_has_not_been_modified_since_had_these_rows() -> None:
    assert rows(lastModifiedTime=str(SNAPSHOT - 1)) == 7
    assert rows("SNAPSHOT", lastModifiedTime=SNAPSHOT - 1, timePartitioning={"type": "DAY"}) == 7


@pytest.mark.parametrize(
    "definition",
    [
        {"lastModifiedTime": str(SNAPSHOT)},
        {"lastModifiedTime": str(SNAPSHOT + 1)},
        {"lastModifiedTime": str(SNAPSHOT - 1), "streamingBuffer": {"estimatedRows": "1"}},
        {"lastModifiedTime": str(SNAPSHOT - 1), "timePartitioning": {"type": "DAY", "expirationMs": "86400000"}},
        {"lastModifiedTime": str(SNAPSHOT - 1), "maxStaleness": "0-0 0 0:15:0"},
        {"lastModifiedTime": str(SNAPSHOT - 1), "biglakeConfiguration": {"storageUri": "gs://b/t"}},
        {"lastModifiedTime": str(SNAPSHOT - 1), "numRows": None},
        {"lastModifiedTime": []},
        {"lastModifiedTime": "yesterday"},
        {},
    ],
    ids=[
        "in the same millisecond",
        "modified since",
        "streaming",
        "partitions expire",
        "changes wait",
        "Iceberg",
        "no rows told",
        "a list",
        "a word",
        "unknown",
    ],
)
def test_else_nothing_is_certain(definition: dict[str, Any]) -> None:
    assert rows(**definition) is None


def test_a_view_has_no_rows_of_its_own_and_a_table_that_has_gone_none_at_all() -> None:
    assert rows("VIEW", lastModifiedTime=str(SNAPSHOT - 1)) is None
    assert certain_rows("TABLE", 0, msgspec.Raw(b"null"), SNAPSHOT) is None
