"""Reading what rebuilds a dataset around its tables: routines, indexes, members of row access policies, and models.

The requests run alongside those for the tables. What cannot be read is named, and never fails the plan.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from bqdump.core.documents.definitions import Definitions, Index, RoutineDefinition, RowPolicy, Unread
from bqdump.core.errors import NO_ANSWER, BqdumpError, DeniedError
from bqdump.core.plan.definitions import (
    INDEXES,
    dataset_definition,
    missing_permission,
    object_definitions,
    unlisted_policies,
)
from bqdump.core.plan.selection import Selection
from bqdump.core.sizes import size_text
from bqdump.core.tables.catalog import Dataset, Listed, Table, unknown_kind
from bqdump.export.planning.definitions import DESCRIBE_AT_ONCE, LEAST_BILLED
from bqdump.ports.warehouse import Warehouse

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")
# The query for indexes reads two views, and each may be billed.
INDEX_QUERY_BYTES = 2 * LEAST_BILLED


class Around(NamedTuple):
    """What a dataset has besides tables. others: objects of kinds that no route exports."""

    routines: tuple[RoutineDefinition, ...]
    models: tuple[str, ...]
    others: tuple[Table, ...]
    indexes: tuple[Index, ...] = ()


class DefinitionCollector:
    """Reads the definitions of a dataset. unread: what could not be read so far."""

    def __init__(self, warehouse: Warehouse, dataset: Dataset) -> None:
        self._warehouse, self._dataset = warehouse, dataset
        self._slots = asyncio.Semaphore(DESCRIBE_AT_ONCE)
        self.unread: list[Unread] = []

    async def around(self, selection: Selection, listing: Sequence[Listed], *, indexes: bool) -> Around:
        """Everything that does not belong to a single table. indexes: with these, at any cost."""
        skipped = {item.table for item in selection.skipped}
        unknown = [item.name for item in listing if item.name in skipped and unknown_kind(item.kind)]
        indexable = indexes and any(item.kind == "TABLE" for item in selection.chosen)
        return Around(
            *await asyncio.gather(
                self.routines(), self.models(), self._objects(unknown), self.indexes(None) if indexable else _none()
            )
        )

    def definitions(self, tables: Sequence[Table], policies: tuple[RowPolicy, ...], around: Around) -> Definitions:
        """All of them. tables: those that are exported or skipped, with their definitions."""
        dataset, lacking = dataset_definition(self._dataset.definition)
        names = {table.name for table in tables}
        return Definitions(
            dataset=dataset,
            objects=object_definitions([*tables, *around.others]),
            routines=around.routines,
            models=around.models,
            policies=policies,
            indexes=tuple(index for index in around.indexes if index.table in names),
            unread=(*lacking, *sorted(self.unread, key=lambda entry: (entry.table, entry.what))),
        )

    async def _objects(self, names: Sequence[str]) -> tuple[Table, ...]:
        async def read(name: str) -> Table | None:
            async with self._slots:
                return await self._try(
                    f"object {name}", "bigquery.tables.get", lambda: self._warehouse.table(self._dataset, name)
                )

        return tuple(table for table in await asyncio.gather(*map(read, names)) if table)

    async def routines(self) -> tuple[RoutineDefinition, ...]:
        """All routines: one request, and one for each of them."""
        names = await self._try("routines", "bigquery.routines.list", lambda: self._warehouse.routines(self._dataset))
        described = await asyncio.gather(*map(self._routine, names or ()))
        return tuple(routine for routine in described if routine)

    async def _routine(self, name: str) -> RoutineDefinition | None:
        async with self._slots:
            return await self._try(
                f"routine {name}", "bigquery.routines.get", lambda: self._warehouse.routine(self._dataset, name)
            )

    async def models(self) -> tuple[str, ...]:
        """The names of all models. One request."""
        names = await self._try(
            "names of models", "bigquery.models.list", lambda: self._warehouse.models(self._dataset)
        )
        return tuple(names or ())

    async def policies(self, listed: Mapping[str, Sequence[RowPolicy] | None]) -> tuple[RowPolicy, ...]:
        """The policies of these tables with their members. listed: by table; None where they could not be listed.

        The first policy is requested alone: without permission, no further requests are sent.
        """
        self.unread += unlisted_policies(listed)
        without = [policy for with_names in listed.values() for policy in with_names or ()]
        if not without:
            return ()
        first = await self._with_members(without[0])
        if first.grantees is None and self.unread[-1].reason == MEMBERS_DENIED:
            self.unread += [Unread(_members_of(policy), MEMBERS_DENIED, policy.table) for policy in without[1:]]
            return tuple(without)
        return (first, *await asyncio.gather(*map(self._with_members, without[1:])))

    async def _with_members(self, policy: RowPolicy) -> RowPolicy:
        async with self._slots:
            grantees = await self._try(
                _members_of(policy),
                SEE_MEMBERS,
                lambda: self._warehouse.grantees(self._dataset, policy.table, policy.name),
                policy.table,
            )
        return RowPolicy(policy.table, policy.name, policy.filter, grantees)

    async def indexes(self, room: int | None) -> tuple[Index, ...]:
        """All search and vector indexes, from a query. room: the bytes that it may bill, None for no limit."""
        if room is not None and room < INDEX_QUERY_BYTES:
            why = f"max_bytes_billed leaves less than the {size_text(INDEX_QUERY_BYTES)} that the query may bill"
            self.unread.append(Unread(INDEXES, why))
            return ()
        listed = await self._try(
            INDEXES, "bigquery.tables.list", lambda: self._warehouse.indexes(self._dataset, room or 0)
        )
        return tuple(listed or ())

    async def _try(
        self, what: str, permission: str, request: Callable[[], Awaitable[Answer]], table: str = ""
    ) -> Answer | None:
        """The answer; None, with an entry in `unread`, if the request is refused."""
        try:
            return await request()
        except NO_ANSWER:
            raise
        except BqdumpError as error:
            log.debug("%s: not read: %s", what, error)
            cause = error.cause.partition("\n")[0]
            reason = missing_permission(permission) if type(error) is DeniedError else cause
            self.unread.append(Unread(what, reason, table))
            return None


SEE_MEMBERS = "bigquery.rowAccessPolicies.getIamPolicy"
MEMBERS_DENIED = missing_permission(SEE_MEMBERS)


async def _none() -> tuple[Index, ...]:
    return ()


def _members_of(policy: RowPolicy) -> str:
    return f"the members of row access policy {policy.name} of table {policy.table}"
