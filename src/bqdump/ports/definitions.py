"""What a warehouse tells about a dataset besides its tables. Errors are those of Warehouse."""

from __future__ import annotations

from typing import Protocol

from bqdump.core.documents.definitions import Index, RoutineDefinition
from bqdump.core.tables.catalog import Dataset


class DefinitionReader(Protocol):
    """Reads routines, models, members of row access policies, and indexes.

    Every method raises DeniedError if a permission is missing.
    """

    async def routines(self, dataset: Dataset) -> list[str]:
        """The names of the dataset's functions, table functions and procedures, sorted."""
        ...

    async def routine(self, dataset: Dataset, name: str) -> RoutineDefinition | None:
        """The complete definition of a routine; None if it no longer exists. One request."""
        ...

    async def models(self, dataset: Dataset) -> list[str]:
        """The names of the dataset's models, sorted."""
        ...

    async def grantees(self, dataset: Dataset, table: str, policy: str) -> tuple[str, ...]:
        """The members of a row access policy, such as `group:eu@example.com`, sorted. One request."""
        ...

    async def indexes(self, dataset: Dataset, max_bytes_billed: int) -> list[Index]:
        """The search and vector indexes of the dataset, sorted by table and name, from one billed query.

        It fails if it would bill more than `max_bytes_billed` (0: no limit). Raises JobFailedError, with the
        warehouse's message as the cause, if the query fails.
        """
        ...
