"""Row access policies: the statements that create and drop them. They are listed, but do not filter rows."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bqdump_local.bigquery.errors import duplicate, not_found
from bqdump_local.bigquery.sql.translation import Translation

if TYPE_CHECKING:
    from bqdump_local.bigquery.tables.catalog import Catalog
    from bqdump_local.bigquery.tables.tables import Table

Policy = dict[str, Any]
# The role that a policy grants to its members.
ROLE = "roles/bigquery.filteredDataViewer"
CREATE = re.compile(
    r"\s*CREATE\s+(?:OR\s+REPLACE\s+)?ROW\s+ACCESS\s+POLICY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>\w+)\s+ON\s+"
    r"(?P<table>\S+)\s+(?:GRANT\s+TO\s*\((?P<grantees>[^)]*)\)\s+)?FILTER\s+USING\s*\((?P<filter>.*)\)\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
DROP = re.compile(
    r"\s*DROP\s+(?:ALL\s+ROW\s+ACCESS\s+POLICIES|ROW\s+ACCESS\s+POLICY\s+(?:IF\s+EXISTS\s+)?(?P<name>\w+))\s+ON\s+"
    r"(?P<table>[^\s;]+)\s*;?\s*",
    re.IGNORECASE,
)


def run(text: str, translation: Translation) -> str | None:
    """Run a statement about row access policies. Returns its type; None for another statement."""
    created, dropped = CREATE.fullmatch(text), DROP.fullmatch(text)
    match = created or dropped
    if match is None:
        return None
    table = translation.find_named(match["table"])
    if created:
        grantees = re.findall(r"['\"]([^'\"]+)['\"]", created["grantees"] or "")
        put(translation.catalog, table, created["name"], created["filter"].strip(), grantees)
        return "CREATE_ROW_ACCESS_POLICY"
    name = match["name"]
    with translation.catalog.lock:
        table.policies = [policy for policy in table.policies if name and policy_id(policy) != name]
        translation.catalog.keep_table(table)
    return "DROP_ROW_ACCESS_POLICY" if name else "DROP_ALL_ROW_ACCESS_POLICIES"


def put(catalog: Catalog, table: Table, name: str, predicate: str, grantees: list[str], *, new: bool = False) -> Policy:
    """Store a policy. new: raise if there is one of this name."""
    place = {"projectId": table.project, "datasetId": table.dataset, "tableId": table.table_id}
    now = datetime.fromtimestamp(catalog.settings.now_ms() / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    policy = {
        "rowAccessPolicyReference": {**place, "policyId": name},
        "filterPredicate": predicate,
        "grantees": grantees,
        "creationTime": now,
        "lastModifiedTime": now,
    }
    with catalog.lock:
        kept = [policy for policy in table.policies if policy_id(policy) != name]
        if new and len(kept) < len(table.policies):
            raise duplicate("Row access policy", f"{table.name}.{name}")
        table.policies = [*kept, policy]
        catalog.keep_table(table)
    return policy


def find(table: Table, name: str) -> Policy:
    """The policy of this name, or a notFound error."""
    for policy in table.policies:
        if policy_id(policy) == name:
            return policy
    raise not_found("Row access policy", f"{table.name}.{name}")


def shown(policy: Policy) -> Policy:
    """A `RowAccessPolicy`: its members are an input only."""
    return {key: value for key, value in policy.items() if key != "grantees"}


def policy_id(policy: Policy) -> str:
    """The name of a policy."""
    return str(policy["rowAccessPolicyReference"]["policyId"])
