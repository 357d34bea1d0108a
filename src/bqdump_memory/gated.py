"""A warehouse or destination in memory behind the gate through which BigQuery's adapter sends its requests."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from bqdump.adapters.bigquery.gate import Gate, Limit
from bqdump.adapters.retry import listed
from bqdump.core.errors import NotFoundError

Port = TypeVar("Port")

# What the requests of BigQuery's adapter count against.
LIMITS = {
    "table": Limit.GET_TABLE,
    "row_policies": Limit.LIST_POLICIES,
    "grantees": Limit.GET_MEMBERS,
    "routine": Limit.GET_ROUTINE,
    "estimate": Limit.DRY_RUN,
    "create_table": Limit.CREATE_TABLE,
    "change_table": Limit.CHANGE_TABLE,
    "replace_definition": Limit.REPLACE_TABLE,
    "drop_table": Limit.DROP_TABLE,
    "create_routine": Limit.CREATE_ROUTINE,
    "create_row_policy": Limit.CREATE_POLICY,
} | dict.fromkeys(
    ("indexes", "ask", "counts", "captured", "policed", "partitions", "extract", "query", "load", "statement", "copy"),
    Limit.INSERT_JOB,
)


def gated(port: Port, gate: Gate) -> Port:
    """The port, each of whose requests goes through the gate."""
    return cast("Port", _Gated(port, gate))


class _Gated:
    def __init__(self, port: Any, gate: Gate) -> None:
        self._port, self._gate = port, gate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name == "share_limits":
            return self._gate.share
        if name == "close":
            return method
        if name == "jobs":
            return lambda since: listed(self._gate.retrying, lambda _: method(since), None)
        limit, also = LIMITS.get(name), NotFoundError if name == "job" else None

        async def request(*arguments: Any, **options: Any) -> Any:
            return await self._gate.call(lambda: method(*arguments, **options), limit, also)

        return request
