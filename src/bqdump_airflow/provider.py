"""What Airflow's list of providers shows; its web server finds the links of the operator here."""

from __future__ import annotations

from typing import Any

import bqdump


def get_provider_info() -> dict[str, Any]:
    """See Airflow's entry point `apache_airflow_provider`."""
    links = [f"bqdump_airflow.operators.{name}" for name in ("ReportLink", "LogLink")]
    return {
        "package-name": "bqdump",
        "name": "bqdump",
        "description": "Backup and restore for BigQuery.",
        "versions": [bqdump.__version__],
        "extra-links": links,
    }
