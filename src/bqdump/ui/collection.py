"""The exports below a prefix: that of one dataset, or those of a set's datasets."""

from __future__ import annotations

from bqdump.core.errors import DocumentError, NotFoundError
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.repository.published import read_latest
from bqdump.sets.datasets import names_in_set
from bqdump.ui.archive import Archive
from bqdump.ui.kept import Kept
from bqdump.ui.place import Place


class Collection:
    """The archives of a prefix. `whole` is that of the prefix itself; `of` those of a set's datasets."""

    def __init__(self, store: ObjectStore, settings: Settings) -> None:
        self.store, self.settings = store, settings
        self._kept = Kept()
        self._several = False
        self._datasets: dict[str, Archive] = {}
        self.whole = Archive(store, settings, kept=self._kept)

    @property
    def place(self) -> Place:
        """Where all of them are."""
        return self.whole.place._replace(several=self._several)

    async def several(self) -> bool:
        """Whether a set is there. A prefix that has become that of a set stays so.

        Raises DocumentError for a set whose documents cannot be read.
        """
        if not self._several and not await self._one():
            self._several = bool(await self.names())
        return self._several

    async def _one(self) -> bool:
        """Whether the export of a single dataset is there, or a latest.json whose pages show why it cannot be read."""
        try:
            return await read_latest(self.store, self.settings) is not None
        except DocumentError:
            return True

    async def names(self) -> list[str]:
        """The datasets of the set, none where there is no set."""
        try:
            return await names_in_set(self.store, self.settings)
        except NotFoundError:
            return []

    async def of(self, dataset: str) -> Archive:
        """The archive of a dataset of the set. Raises NotFoundError."""
        if dataset not in self._datasets:
            if dataset not in await self.names():
                cause = f"the set in {self.place} has no dataset of this name"
                raise NotFoundError("find", f"dataset {dataset[:100]!r}", cause)
            settings = one_dataset(self.settings, dataset)
            place = Place(str(settings.target).rstrip("/"), dataset)
            self._datasets[dataset] = Archive(self.store, settings, place, self._kept)
        return self._datasets[dataset]
