"""The page about how tables are exported: its example is a settings file that works."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from bqdump.core.plan.routes import route_tables
from bqdump.core.settings.resolve import file, resolve
from bqdump.core.tables.catalog import Mask
from core.strategies import table

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


def test_the_example_is_a_settings_file_that_works() -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    settings = resolve(file(tomllib.loads(example), "bqdump.toml"))
    names = {
        "customers": ("id", "country", "deleted", "email", "phone", "name", "internal_note"),
        "events": ("day", "kind", "amount", "user"),
        "staging_1": ("id",),
    }
    tables = [
        table(name, 1000, *({"name": column, "type": "STRING"} for column in columns))
        for name, columns in names.items()
    ]
    customers, events, staging = route_tables(settings, tables).routed
    assert (customers.route, events.route, staging.route) == ("query", "query", "extract")
    assert customers.shape.columns == ("id", "country", "deleted", "email", "phone", "name")
    assert customers.shape.masks["email"] == Mask(sha256="EXPORT_SALT")
    assert (events.shape.columns, events.format, events.compression) == (("day", "kind", "amount"), "parquet", "snappy")
    assert staging.shape.words == ""
