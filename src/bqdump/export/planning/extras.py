"""Packages of an extra: looked for before a run is planned, so that no plan is left which cannot be carried out."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib.machinery import PathFinder

from bqdump.core.errors import UsageError, install_hint
from bqdump.core.plan.routes import Routed

# The packages of the extra `read`.
READ = ("google.cloud.bigquery_storage", "grpc", "isal", "polars", "pyarrow")


def refuse_missing_packages(routed: Sequence[Routed]) -> None:
    """Raise UsageError where tables take the read route and a package that it needs is not installed."""
    reads = next((item for item in routed if item.route == "read"), None)
    missing = next((name for name in READ if not _installed(name)), "") if reads else ""
    if reads and missing:
        cause = f"it takes the read route ({reads.why}), and {missing} is not installed"
        raise UsageError("plan the export", f"table {reads.table.name}", cause, install_hint("read"))


def _installed(name: str) -> bool:
    # What is kept from being imported for now (lean_imports) is installed all the same.
    return (importlib.util.find_spec(name) if "." in name else PathFinder.find_spec(name)) is not None
