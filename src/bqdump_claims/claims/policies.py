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


async def _table_with_policy(scratch: Scratch) -> str:
    async def make() -> str:
        table = scratch.table("policed")
        await scratch.run(f"CREATE TABLE {table} (n INT64)", f"INSERT INTO {table} (n) VALUES (1), (2)")
        body = msgspec.Raw(msgspec.json.encode(POLICY))
        await scratch.begin(scratch.destination.create_row_policy(scratch.dataset, "policed", "first_only", body))
        return "policed"

    return await scratch.once("policed", make)


async def _list_policies(scratch: Scratch) -> Observed:
    policies = await scratch.destination.row_policies(scratch.dataset, await _table_with_policy(scratch))
    return {
        "policies": ", ".join(policy.name for policy in policies or ()),
        "filter": "; ".join(policy.filter for policy in policies or ()),
    }


async def _extract_with_policy(scratch: Scratch) -> Observed:
    return _reported(await scratch.extract(await _table_with_policy(scratch), "csv"))


async def _query_with_policy(scratch: Scratch) -> Observed:
    table = await _table_with_policy(scratch)
    return _reported(await scratch.query(table, sql.select(scratch.dataset, table, None), "csv"))


async def _list_tables_with_policies(scratch: Scratch) -> Observed:
    await _table_with_policy(scratch)
    return {"tables": ", ".join(await scratch.destination.policed(scratch.dataset))}


def _reported(exported: Exported) -> Observed:
    applied = bool(exported.job and exported.job.row_policies)
    return {"row policies applied": str(applied).lower(), "rows of 2": str(rows_in(exported))}


CLAIMS = (
    Claim(
        "policies.listing",
        sentence="row access policies are listed with their filters",
        page=PAGE,
        expected={"policies": "first_only", "filter": "n = 1"},
        observe=_list_policies,
        reads=MADE,
    ),
    Claim(
        "policies.view",
        sentence="INFORMATION_SCHEMA.ROW_ACCESS_POLICIES names the tables with row access policies",
        page=PAGE,
        expected={"tables": "policed"},
        observe=_list_tables_with_policies,
        reads=MADE | {"policies.view": 1},
    ),
    Claim(
        "policies.extract",
        sentence="an extract job reports that row access policies applied (rowLevelSecurityStatistics)",
        page=PAGE,
        expected={"row policies applied": "true"},
        observe=_extract_with_policy,
        reads=MADE,
    ),
    Claim(
        "policies.query",
        sentence="EXPORT DATA reports that row access policies applied (rowLevelSecurityStatistics)",
        page=PAGE,
        expected={"row policies applied": "true"},
        observe=_query_with_policy,
        reads=MADE | {"policies": 1},
    ),
)
