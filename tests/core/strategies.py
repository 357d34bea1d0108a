"""What hypothesis makes for the tests of the core."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import recorded_target
from bqdump.core.tables.catalog import Table

# Names as BigQuery allows them, and some more: letters, marks, digits, connectors, dashes, spaces of any script.
TABLE_NAMES = st.text(
    st.characters(categories=("L", "M", "N", "Pc", "Pd", "Zs")) | st.sampled_from("%{}?#[]'\"\\.:"),
    min_size=1,
    max_size=40,
).filter(lambda name: name not in (".", ".."))
FULL = {
    "path": "{date}/{run}/{table}/{table}_*.{ext}",
    "prefix": "nightly/",
    "labels": {"team": "data"},
    "include": ("a*",),
}


def settings(**changes: object) -> Settings:
    """Settings with the required three, and these changes."""
    target = {"bucket": "target"} | {name: changes.pop(name) for name in ("bucket", "to", "prefix") if name in changes}
    record = msgspec.to_builtins(recorded_target(target))
    return msgspec.convert({"project": "proj", "dataset": "data", "target": record, **changes}, Settings)


def table(name: str, size: int = 1000, *columns: dict[str, str], rows: int = 10) -> Table:
    """A table with these columns."""
    definition = {"id": name, "schema": {"fields": list(columns) or [{"name": "id", "type": "INT64"}]}}
    return Table(name, "TABLE", rows, size, msgspec.Raw(msgspec.json.encode(definition)))
