"""Routes for row access policies."""

from __future__ import annotations

import base64
import secrets
from typing import Any

from bqdump_local.bigquery.bodies import checked
from bqdump_local.bigquery.errors import invalid
from bqdump_local.bigquery.jobs.service import Service
from bqdump_local.bigquery.routes.http import Call, Endpoint
from bqdump_local.bigquery.statements import policies
from bqdump_local.bigquery.tables.tables import Table

ALL = "/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{table}/rowAccessPolicies"
ONE = ALL + "/{policy}"


class PolicyRoutes:
    """The API's methods for row access policies."""

    def __init__(self, service: Service) -> None:
        self._catalog = service.catalog

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        return [
            Endpoint("GET", ALL, self.list, quick=True),
            Endpoint("POST", ALL, self.insert),
            Endpoint("POST", ONE + ":getIamPolicy", self.members, quick=True),
            Endpoint("GET", ONE, self.get, quick=True),
            Endpoint("PUT", ONE, self.update),
            Endpoint("DELETE", ONE, self.delete),
            Endpoint("GET", "/_local/policies", self.every, quick=True),
            Endpoint("POST", "/_local/policies", self.add),
        ]

    def _table(self, call: Call) -> Table:
        return self._catalog.table(call.project, call.path["dataset"], call.path["table"])

    def list(self, call: Call) -> dict[str, Any]:
        """rowAccessPolicies.list: without the members."""
        self._catalog.access.require(call.project, "bigquery.rowAccessPolicies.list")
        of_table = self._table(call).policies
        return call.listed("rowAccessPolicies", of_table, policies.policy_id, policies.shown, "pageSize")

    def get(self, call: Call) -> dict[str, Any]:
        """rowAccessPolicies.get."""
        self._catalog.access.require(call.project, "bigquery.rowAccessPolicies.get")
        return policies.shown(policies.find(self._table(call), call.path["policy"]))

    def members(self, call: Call) -> dict[str, Any]:
        """rowAccessPolicies.getIamPolicy."""
        self._catalog.access.require(call.project, "bigquery.rowAccessPolicies.getIamPolicy")
        members = policies.find(self._table(call), call.path["policy"])["grantees"]
        answer = {"version": 1, "etag": base64.b64encode(secrets.token_bytes(8)).decode()}
        return {**answer, "bindings": [{"role": policies.ROLE, "members": members}]} if members else answer

    def insert(self, call: Call) -> dict[str, Any]:
        """rowAccessPolicies.insert."""
        create = ("bigquery.rowAccessPolicies.create", "bigquery.rowAccessPolicies.setIamPolicy")
        self._catalog.access.require(call.project, *create)
        body = checked("RowAccessPolicy", call.body, "row_access_policy")
        return self._put(call, (body.get("rowAccessPolicyReference") or {}).get("policyId"), new=True)

    def update(self, call: Call) -> dict[str, Any]:
        """rowAccessPolicies.update."""
        change = ("bigquery.rowAccessPolicies.update", "bigquery.rowAccessPolicies.setIamPolicy")
        self._catalog.access.require(call.project, *change)
        policies.find(self._table(call), call.path["policy"])
        return self._put(call, call.path["policy"], new=False)

    def _put(self, call: Call, name: str | None, *, new: bool) -> dict[str, Any]:
        body = checked("RowAccessPolicy", call.body, "row_access_policy")
        if not name or not body.get("filterPredicate"):
            raise invalid("Required parameter is missing: policyId or filterPredicate")
        grantees = body.get("grantees") or []
        policy = policies.put(self._catalog, self._table(call), name, body["filterPredicate"], grantees, new=new)
        return policies.shown(policy)

    def delete(self, call: Call) -> None:
        """rowAccessPolicies.delete."""
        self._catalog.access.require(call.project, "bigquery.rowAccessPolicies.delete")
        table = self._table(call)
        with self._catalog.lock:
            gone = policies.find(table, call.path["policy"])
            table.policies = [policy for policy in table.policies if policy is not gone]
            self._catalog.keep_table(table)

    def every(self, _: Call) -> dict[str, Any]:
        """Control: all policies, with their members."""
        stored = [
            policy
            for dataset in self._catalog.all_datasets()
            for table in self._catalog.tables(dataset.project, dataset.dataset_id)
            for policy in table.policies
        ]
        return {"policies": stored}

    def add(self, call: Call) -> dict[str, Any]:
        """Control: `{project, dataset, table, name, filter, grantees}`."""
        body = call.body
        try:
            table = self._catalog.table(body["project"], body["dataset"], body["table"])
            policies.put(self._catalog, table, body["name"], body.get("filter", "TRUE"), body.get("grantees", []))
        except KeyError as error:
            raise invalid(f"Required key is missing: {error}") from error
        return {"policies": table.policies}
