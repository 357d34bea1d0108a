"""The exports below a prefix: that of one dataset, or those of a set's datasets."""

from __future__ import annotations

from msgspec.structs import replace

from bqdump.core.errors import NotFoundError
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.repository.exports import Exports, exports_at
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
        self._several = self._several or bool((await self.exports()).sets)
        return self._several

    async def names(self) -> list[str]:
        """The datasets of the set, none where there is no set."""
        return [name for at in (await self.exports()).sets for name in at.names]

    async def exports(self) -> Exports:
        """What is there."""
        # Datasets of other locations have consoles of their own.
        return await exports_at(lambda _: self.store, replace(self.settings, locations={}))

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
