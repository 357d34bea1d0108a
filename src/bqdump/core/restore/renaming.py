"""The names that tables get in the target, where these are others than in the export."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

from bqdump.core.errors import UsageError
from bqdump.core.restore.names import SCRATCH, is_scratch
from bqdump.core.sizes import counted, named

OPERATION = "plan the restore"
# Stands for the name of the exported table, in its name in the target.
TABLE = "{table}"
SETTING = "as_"
SHOWN = 3
# https://cloud.google.com/bigquery/docs/tables#table_naming
CATEGORIES = ("L", "M", "N", "Pc", "Pd", "Zs")
LONGEST_BYTES = 1024


def parse_as(value: str) -> str:
    """A name for a table, which may contain {table}; "" for none. Raises UsageError."""
    if value and (problem := _problem(value.replace(TABLE, "_"))):
        if set("{}") & set(value.replace(TABLE, "")):
            problem = f"the only placeholder is {TABLE}"
        hint = f"Write a name, or {TABLE} for that in the export, such as {{setting:{SETTING}={{table}}_old}}."
        raise UsageError(OPERATION, "", f"invalid value {value!r}: {problem}", hint, setting=SETTING)
    return value


def names_in_target(tables: Sequence[str], template: str) -> Mapping[str, str]:
    """The name of each of these tables in the target. template: see parse_as, "" for the same names.

    Raises UsageError where two tables would have one name, for a name that is too long, and without a table.
    """
    if not template:
        return {table: table for table in tables}
    if not tables:
        cause = "only tables can be restored under another name, and no table is chosen"
        raise UsageError(OPERATION, "", cause, "{call:ls} lists the tables.", setting=SETTING)
    if TABLE not in template and len(tables) > 1:
        cause = f"{template!r} would be the name of {counted(len(tables), 'table')} ({named(tables, SHOWN)})"
        hint = f"Choose one table with {{setting:include}}, or write {TABLE} for the name of each."
        raise UsageError(OPERATION, "", cause, hint, setting=SETTING)
    found = {table: template.replace(TABLE, table) for table in tables}
    for table, name in found.items():
        if problem := _problem(name):
            raise UsageError(OPERATION, f"table {table}", f"{name[:60]!r}: {problem}", setting=SETTING)
    return found


def _problem(name: str) -> str:
    """Why BigQuery, or a restore, takes no table of this name; "" where both do."""
    if not all(unicodedata.category(character).startswith(CATEGORIES) for character in name):
        return "names of tables have letters, digits, spaces, - and _ only"
    if len(name.encode()) > LONGEST_BYTES:
        return f"names of tables have up to {LONGEST_BYTES:,} bytes"
    return f"names of scratch tables of a restore begin with {SCRATCH}" if is_scratch(name) else ""
