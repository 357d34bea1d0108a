"""Where requests to BigQuery leave: at the rate that it allows, and again while it does not answer.

BigQuery allows 100 requests per second, user and method (https://cloud.google.com/bigquery/quotas). All tasks of a run
are one user, and a task cannot see how many others are running, but no more than there are units. Each keeps to its
share of the limit, halves its rate when BigQuery reports a rate limit, and then returns to its share step by step.

A dataset takes only 5 changes in 10 seconds, and each table as many; a restore makes fewer of each, so refused ones are
only retried. https://cloud.google.com/bigquery/quotas#dataset_limits
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import TypeVar

from bqdump.adapters.patience import Patience, Retrying
from bqdump.core.dealing import Sharing
from bqdump.core.errors import BqdumpError, UnavailableError

Answer = TypeVar("Answer")

# The steady rate of all tasks, and the burst before it. In any second they add up to less than the limit of 100.
PER_SECOND = 88.0
AT_ONCE = 10.0
SLOWEST = 0.5
FASTER = 1.25


class Limit(Enum):
    """The methods of BigQuery whose limit a run may reach."""

    GET_TABLE = auto()
    LIST_POLICIES = auto()
    GET_MEMBERS = auto()
    GET_ROUTINE = auto()
    DRY_RUN = auto()
    INSERT_JOB = auto()
    CREATE_TABLE = auto()
    CHANGE_TABLE = auto()
    REPLACE_TABLE = auto()
    DROP_TABLE = auto()
    CREATE_ROUTINE = auto()
    CREATE_POLICY = auto()


# Only one task plans at a time, so the methods that planning calls for each table have the complete limit.
OF_PLANNING = (Limit.GET_TABLE, Limit.LIST_POLICIES, Limit.GET_MEMBERS, Limit.GET_ROUTINE, Limit.DRY_RUN)


class RateLimit:
    """One task's share of the limit: its part of PER_SECOND, evenly spaced, after a burst of its part of AT_ONCE."""

    def __init__(self, tasks: int) -> None:
        self._share = self._rate = _share(tasks)
        self._head_start = AT_ONCE / PER_SECOND
        self._next = self._slowed = float("-inf")

    def share(self, tasks: int) -> None:
        """Divide the limit by another number of tasks."""
        slowed, self._share = self._rate < self._share, _share(tasks)
        self._rate = min(self._rate, self._share) if slowed else self._share

    async def start(self) -> None:
        """Wait until the next request may start."""
        now = asyncio.get_running_loop().time()
        if self._rate < self._share and now - self._slowed > 1.0:
            self._rate, self._slowed = min(self._share, self._rate * FASTER), now
        self._next = max(self._next + 1.0 / self._rate, now - self._head_start)
        await asyncio.sleep(max(0.0, self._next - now))

    def slow_down(self) -> None:
        """Halve the rate, since BigQuery has reported a rate limit."""
        self._rate = max(SLOWEST, self._rate / 2)
        self._slowed = asyncio.get_running_loop().time()


def _share(tasks: int) -> float:
    return max(SLOWEST, PER_SECOND / tasks)


class Gate:
    """The way of one client's requests. tasks: how many tasks share the limits; None where there are no limits."""

    def __init__(self, patience: Patience | None = None, tasks: int | None = None) -> None:
        self.retrying = Retrying(patience)
        shares = {limit: 1 if limit in OF_PLANNING else tasks for limit in Limit} if tasks else {}
        self._limits = {limit: RateLimit(share) for limit, share in shares.items()}

    def share(self, sharing: Sharing) -> None:
        """Divide what is not of planning by the tasks that have anything to do."""
        for limit, rate in self._limits.items():
            if limit not in OF_PLANNING:
                rate.share(sharing.sharers(PER_SECOND))

    async def call(
        self,
        request: Callable[[], Awaitable[Answer]],
        limit: Limit | None = None,
        also: type[BqdumpError] | None = None,
    ) -> Answer:
        """The answer. Every attempt counts against the limit. also, errors: see Retrying.

        Repeating is safe: a job's id makes its second request a conflict, deleting and changing can be repeated, and
        the name of what a lost answer has created is taken.
        """
        rate = self._limits.get(limit) if limit else None
        return await self.retrying.call(request if rate is None else lambda: _paced(rate, request), also)


async def _paced(rate: RateLimit, request: Callable[[], Awaitable[Answer]]) -> Answer:
    """The answer to a request that keeps to a rate, which is slowed down if the service is unavailable."""
    await rate.start()
    try:
        return await request()
    except UnavailableError:
        rate.slow_down()
        raise
