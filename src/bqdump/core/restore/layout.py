"""How a table's rows are laid out: partitioning and clustering, which a copy job cannot change.

Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#TimePartitioning
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


def layout_of(definition: msgspec.Raw) -> str:
    """The partitioning and clustering of a table in words, the same for all tables between which a copy job works.

    definition: a table's resource, or a request that creates one.
    """
    table: Mapping[str, Any] = msgspec.json.decode(definition) or {}
    columns = (table.get("clustering") or {}).get("fields") or []
    clustering = f"clustered by {', '.join(map(str.lower, columns))}" if columns else ""
    return " and ".join(filter(None, (_partitioning(table), clustering))) or "neither partitioned nor clustered"


def _partitioning(table: Mapping[str, Any]) -> str:
    if time := table.get("timePartitioning"):
        by = str(time.get("field") or "").lower() or "ingestion time"
        return f"partitioned by {str(time.get('type') or 'DAY').lower()} of {by}"
    if whole := table.get("rangePartitioning"):
        bounds = whole.get("range") or {}
        start, end, interval = (bounds.get(name, 0) for name in ("start", "end", "interval"))
        return f"partitioned by {str(whole.get('field') or '').lower()} from {start} to {end} in steps of {interval}"
    return ""
