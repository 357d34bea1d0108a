"""Row access policies: listed, and reported by the statistics of each job that they apply to."""

from __future__ import annotations

import msgspec

from bqdump.core.sql import statements as sql
from bqdump_claims.claim import Claim, Observed
from bqdump_claims.claims.times import rows_in
from bqdump_claims.scratch import Exported, Scratch

PAGE = "limits.md#risks"
MADE = {"made.policed": 1}
POLICY = {"filterPredicate": "n = 1", "grantees": ["allAuthenticatedUsers"]}


async def _policed(scratch: Scratch) -> str:
    async def make() -> str:
        table = scratch.table("policed")
        await scratch.run(f"CREATE TABLE {table} (n INT64)", f"INSERT INTO {table} (n) VALUES (1), (2)")
        body = msgspec.Raw(msgspec.json.encode(POLICY))
        await scratch.begin(scratch.destination.create_row_policy(scratch.dataset, "policed", "first_only", body))
        return "policed"

    return await scratch.once("policed", make)


async def _listed(scratch: Scratch) -> Observed:
    policies = await scratch.destination.row_policies(scratch.dataset, await _policed(scratch))
    return {
        "policies": ", ".join(policy.name for policy in policies or ()),
        "filter": "; ".join(policy.filter for policy in policies or ()),
    }


async def _extract(scratch: Scratch) -> Observed:
    return _reported(await scratch.extract(await _policed(scratch), "csv"))


async def _query(scratch: Scratch) -> Observed:
    table = await _policed(scratch)
    return _reported(await scratch.query(table, sql.select(scratch.dataset, table, None), "csv"))


async def _policed_tables(scratch: Scratch) -> Observed:
    await _policed(scratch)
    return {"tables": ", ".join(await scratch.destination.policed(scratch.dataset))}


def _reported(exported: Exported) -> Observed:
    applied = bool(exported.job and exported.job.row_policies)
    return {"row policies applied": str(applied).lower(), "rows of 2": str(rows_in(exported))}


CLAIMS = (
    Claim("policies.listing", "row access policies are listed with their filters", PAGE,
          {"policies": "first_only", "filter": "n = 1"}, _listed, MADE),
    Claim("policies.view", "INFORMATION_SCHEMA.ROW_ACCESS_POLICIES names the tables with row access policies",
          PAGE, {"tables": "policed"}, _policed_tables, MADE | {"policies.view": 1}),
    Claim("policies.extract", "an extract job reports that row access policies applied (rowLevelSecurityStatistics)",
          PAGE, {"row policies applied": "true"}, _extract, MADE),
    Claim("policies.query", "EXPORT DATA reports that row access policies applied (rowLevelSecurityStatistics)",
          PAGE, {"row policies applied": "true"}, _query, MADE | {"policies": 1}),
)  # fmt: skip
