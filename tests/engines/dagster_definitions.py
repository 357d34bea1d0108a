"""The definitions of docs/engines.md, which are in EXAMPLE, with jobs for them and a check by verify as well."""

import os
from typing import Any

import dagster as dg

from bqdump_dagster import bqdump_checks

example: dict[str, Any] = {"__name__": __name__}
exec(os.environ["EXAMPLE"], example)
sales = example["sales"]
more = dg.Definitions(
    asset_checks=[bqdump_checks(sales, settings=example["SALES"], by="verify")],
    jobs=[
        dg.define_asset_job("nightly", dg.AssetSelection.assets(sales).without_checks()),
        dg.define_asset_job("proofs", dg.AssetSelection.checks_for_assets(sales)),
    ],
)
defs = dg.Definitions.merge(example["defs"], more)


def nightly() -> dg.JobDefinition:
    """The job of the assets, for `reconstructable`."""
    return defs.resolve_job_def("nightly")


def proofs() -> dg.JobDefinition:
    """The job of the checks."""
    return defs.resolve_job_def("proofs")
