"""The definitions that the tests run. The settings are in the environment."""

import json
import os
from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster import AssetExecutionContext

from bqdump_dagster import bqdump_assets, bqdump_checks, export

SETTINGS = json.loads(os.environ["TEST_SETTINGS"])


@bqdump_assets(settings=SETTINGS)
def sales(context: AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
    """Export the dataset."""
    yield from export(context, SETTINGS)


defs = dg.Definitions(
    assets=[sales],
    asset_checks=[bqdump_checks(sales, settings=SETTINGS, by=by) for by in ("verify", "drill")],
    jobs=[
        dg.define_asset_job("nightly", dg.AssetSelection.assets(sales).without_checks()),
        dg.define_asset_job("proofs", dg.AssetSelection.checks_for_assets(sales)),
    ],
)


def nightly() -> dg.JobDefinition:
    """The job of the assets, for `reconstructable`."""
    return defs.resolve_job_def("nightly")


def proofs() -> dg.JobDefinition:
    """The job of the checks."""
    return defs.resolve_job_def("proofs")
