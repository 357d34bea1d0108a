"""OPTIONS of statements, as properties of the API's resources. An option that has no effect here is refused.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from bqdump_local.bigquery.errors import invalid_query, unsupported

if TYPE_CHECKING:
    from bqdump_local.bigquery.sql.translation import Translation

Convert = Callable[[Any], Any]
DAY_MS = 24 * 3_600_000


def _same(value: Any) -> Any:
    return value


def _pairs(value: Any) -> dict[str, str]:
    return {str(pair[0]): str(pair[1]) for pair in value or ()}


def _moment(value: Any) -> str:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 (UTC follows)
    if not isinstance(value, datetime):
        raise invalid_query(f"Option expiration_timestamp must be a TIMESTAMP, not {value!r}")
    return str(round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000))


def _days(value: Any) -> str:
    return str(round(float(value) * DAY_MS))


def _minutes(value: Any) -> str:
    return str(round(float(value) * 60_000))


def _key(value: Any) -> dict[str, str]:
    return {"kmsKeyName": str(value)}


NAMED: dict[str, tuple[str, Convert]] = {
    "description": ("description", _same),
    "friendly_name": ("friendlyName", _same),
    "labels": ("labels", _pairs),
    "tags": ("resourceTags", _pairs),
}
TABLE: dict[str, tuple[str, Convert]] = {
    **NAMED,
    "expiration_timestamp": ("expirationTime", _moment),
    "partition_expiration_days": ("timePartitioning.expirationMs", _days),
    "require_partition_filter": ("requirePartitionFilter", bool),
    "kms_key_name": ("encryptionConfiguration", _key),
    "default_rounding_mode": ("defaultRoundingMode", _same),
    "max_staleness": ("maxStaleness", _same),
}
VIEW: dict[str, tuple[str, Convert]] = {**NAMED, "expiration_timestamp": ("expirationTime", _moment)}
MATERIALIZED_VIEW: dict[str, tuple[str, Convert]] = {
    **VIEW,
    "partition_expiration_days": ("timePartitioning.expirationMs", _days),
    "kms_key_name": ("encryptionConfiguration", _key),
    "max_staleness": ("maxStaleness", _same),
    "enable_refresh": ("materializedView.enableRefresh", bool),
    "refresh_interval_minutes": ("materializedView.refreshIntervalMs", _minutes),
    "allow_non_incremental_definition": ("materializedView.allowNonIncrementalDefinition", bool),
}
SCHEMA: dict[str, tuple[str, Convert]] = {
    **NAMED,
    "location": ("location", _same),
    "default_table_expiration_days": ("defaultTableExpirationMs", _days),
    "default_partition_expiration_days": ("defaultPartitionExpirationMs", _days),
    "default_kms_key_name": ("defaultEncryptionConfiguration", _key),
    "default_rounding_mode": ("defaultRoundingMode", _same),
    "max_time_travel_hours": ("maxTimeTravelHours", str),
    "storage_billing_model": ("storageBillingModel", _same),
    "is_case_insensitive": ("isCaseInsensitive", bool),
}
SNAPSHOT = VIEW
COLUMN: dict[str, tuple[str, Convert]] = {
    "description": ("description", _same),
    "rounding_mode": ("roundingMode", _same),
}


def properties(
    items: Iterable[exp.Expression | None], known: dict[str, tuple[str, Convert]], translation: Translation
) -> dict[str, Any]:
    """The properties that options set. NULL gives None, which removes a property."""
    resource: dict[str, Any] = {}
    for item in items:
        if isinstance(item, exp.CollateProperty):
            resource["defaultCollation"] = item.this.name
            continue
        if isinstance(item, exp.LocationProperty):
            name, node = "location", item.this
        elif isinstance(item, exp.Property) and type(item) is exp.Property:
            name, node = item.name.lower(), item.args["value"]
        else:
            continue
        if name not in known:
            raise unsupported(f"the option {name}", location="query")
        key, convert = known[name]
        value = constant(node, translation)
        resource[key] = None if value is None else convert(value)
    return resource


def merged(properties: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The properties of a resource after options have been set. A dot in a key separates it from its parent."""
    changed = dict(properties)
    for key, value in options.items():
        parent, _, child = key.rpartition(".")
        if parent:
            changed[parent] = {k: v for k, v in {**(changed.get(parent) or {}), child: value}.items() if v is not None}
        elif value is None or value == {}:
            changed.pop(key, None)
        else:
            changed[key] = value
    return changed


def constant(node: exp.Expression, translation: Translation) -> Any:
    """The value of a constant expression."""
    match node:
        case exp.Null():
            return None
        case exp.Boolean():
            return bool(node.this)
        case exp.Literal():
            return node.name if node.is_string else float(node.name) if "." in node.name else int(node.name)
        case exp.Array() | exp.Tuple():
            return [constant(item, translation) for item in node.expressions]
        case exp.Interval():
            return _interval(node)
    sql = translation.expression(node)
    with translation.catalog.warehouse.cursor() as cursor:
        return cursor.execute(f"SELECT {sql}").fetchall()[0][0]


def _interval(node: exp.Interval) -> str:
    """An interval such as INTERVAL 4 HOUR or INTERVAL '4:30:0' HOUR TO SECOND, as the API shows it."""
    unit, text = node.args.get("unit"), node.this.name
    if isinstance(unit, exp.IntervalSpan):
        if (unit.this.name.upper(), unit.expression.name.upper()) != ("HOUR", "SECOND"):
            raise unsupported(f"the interval {node.sql(dialect='bigquery')}", location="query")
        hours, minutes, seconds = text.split(":")
        return f"0-0 0 {int(hours)}:{int(minutes)}:{int(seconds)}"
    name = unit.name.upper() if unit is not None else ""
    amounts = {"DAY": f"0-0 {text} 0:0:0", "HOUR": f"0-0 0 {text}:0:0", "MINUTE": _clock(int(text) * 60)}
    if name not in amounts:
        raise unsupported(f"the interval {node.sql(dialect='bigquery')}", location="query")
    return amounts[name]


def _clock(seconds: int) -> str:
    return f"0-0 0 {seconds // 3600}:{seconds // 60 % 60}:{seconds % 60}"
