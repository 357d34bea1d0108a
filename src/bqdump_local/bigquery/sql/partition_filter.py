"""Tables that require a partition filter.

Source: https://cloud.google.com/bigquery/docs/querying-partitioned-tables#require_a_partition_filter_in_queries
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from bqdump_local.bigquery.tables.tables import Table

ARRIVAL = ("_PARTITION_LOAD_TIME", "_PARTITIONDATE", "_PARTITIONTIME")


def objection(table: Table, condition: exp.Expression | None) -> str:
    """BigQuery's error for reading this table with this condition; "" if it is allowed."""
    names = _required_columns(table)
    if not names or (condition is not None and any(_uses_only(names, conjunct) for conjunct in _conjuncts(condition))):
        return ""
    quoted = ", ".join(f"'{name}'" for name in names)
    whole = f"{table.project}.{table.dataset}.{table.table_id}"
    return (
        f"Cannot query over table '{whole}' without a filter over column(s) {quoted} "
        "that can be used for partition elimination"
    )


def _required_columns(table: Table) -> tuple[str, ...]:
    """The columns that a filter must use; none for most tables."""
    time, ranges = table.properties.get("timePartitioning"), table.properties.get("rangePartitioning")
    # The setting's older location, which tables may still have.
    if not table.properties.get("requirePartitionFilter") and not (time or {}).get("requirePartitionFilter"):
        return ()
    column = (time or ranges or {}).get("field")
    return (column,) if column else ARRIVAL


def _conjuncts(condition: exp.Expression) -> Iterator[exp.Expression]:
    plain = condition.unnest()
    if isinstance(plain, exp.And):
        yield from _conjuncts(plain.left)
        yield from _conjuncts(plain.right)
    else:
        yield plain


def _uses_only(names: tuple[str, ...], predicate: exp.Expression) -> bool:
    """Whether a condition uses only these columns."""
    used = {column.name.upper() for column in predicate.find_all(exp.Column)}
    return bool(used) and used <= {name.upper() for name in names} and predicate.find(exp.Query) is None
