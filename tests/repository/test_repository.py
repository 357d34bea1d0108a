"""Documents in a store: absence, lost races and invalid values are handled in one place."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bqdump.adapters.folder.store import FolderStore
from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.document import Document, Notes
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import Newest
from bqdump.core.documents.units import Claim
from bqdump.core.errors import ConflictError, DocumentError, UnavailableError
from bqdump.ports.store import ObjectStore
from bqdump.repository.repository import create, load, notes, overwrite, replace, swap

NEWEST = Document("x/_bqdump/newest.json", Newest, "page")
CLAIM = Document("x/_bqdump/runs/r/claims/00000-00000.json", Claim, "note")


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryStore() if request.param == "memory" else FolderStore(tmp_path)


def test_an_absent_document_is_none_and_a_stored_one_comes_with_its_generation(store: ObjectStore) -> None:
    async def main() -> None:
        assert await load(store, NEWEST) is None
        made = await create(store, NEWEST, Newest("first"))
        assert made.value == Newest("first")
        assert made.mine
        assert await load(store, NEWEST) == made._replace(mine=False)

    asyncio.run(main())


def test_of_two_creators_the_first_wins_and_both_get_its_value(store: ObjectStore) -> None:
    async def main() -> None:
        first = await create(store, NEWEST, Newest("first"))
        second = await create(store, NEWEST, Newest("second"))
        assert (first.mine, second.mine) == (True, False)
        assert second[:2] == first[:2]

    asyncio.run(main())


def test_a_swap_starts_again_from_what_a_faster_writer_has_stored(store: ObjectStore) -> None:
    async def main() -> None:
        await overwrite(store, NEWEST, Newest("a"))
        seen: list[str] = []
        faster = ["b", "c"]

        async def other() -> None:
            if faster:
                await overwrite(store, NEWEST, Newest(faster.pop(0)))

        async def step(now: Newest | None) -> Newest:
            assert now
            seen.append(now.run)
            return Newest(now.run + "x")

        class Raced:
            """The store, with another writer just before each write."""

            def __getattr__(self, name: str) -> object:
                return getattr(store, name)

            async def write(self, name: str, data: bytes, expect: int | None) -> int:
                await other()
                return await store.write(name, data, expect)

        raced: Any = Raced()
        stored = await swap(raced, NEWEST, step)
        assert seen == ["a", "b", "c"]
        assert stored
        assert stored.value == Newest("cx")
        assert stored.mine
        assert await load(store, NEWEST) == stored._replace(mine=False)

    asyncio.run(main())


def test_a_swap_without_a_change_writes_nothing(store: ObjectStore) -> None:
    async def main() -> None:
        async def nothing(now: Newest | None) -> None:
            return None

        assert await swap(store, NEWEST, nothing) is None
        made = await create(store, NEWEST, Newest("a"))
        assert await swap(store, NEWEST, nothing) == made._replace(mine=False)

    asyncio.run(main())


def test_a_replacement_happens_over_its_generation_only(store: ObjectStore) -> None:
    async def main() -> None:
        made = await create(store, NEWEST, Newest("a"))
        assert await replace(store, NEWEST, Newest("b"), made.generation)
        assert not await replace(store, NEWEST, Newest("c"), made.generation)
        assert not await replace(store, NEWEST, Newest("c"), 0)
        found = await load(store, NEWEST)
        assert found
        assert found.value == Newest("b")

    asyncio.run(main())


def test_a_document_that_does_not_fit_its_name_is_an_error_that_names_it(store: ObjectStore) -> None:
    async def main() -> None:
        await store.write(NEWEST.name, b'{"run": 7}', 0)
        with pytest.raises(DocumentError, match=NEWEST.name):
            await load(store, NEWEST)

    asyncio.run(main())


def test_notes_come_decoded_page_by_page(store: ObjectStore) -> None:
    async def main() -> None:
        claim = Claim(Owner("r", 0), "orders", 5)
        made = await create(store, CLAIM, claim)
        found = [note async for page in notes(store, Notes("x/_bqdump/runs/r/claims/", Claim)) for note in page]
        assert [(note.name, note.value, note.generation) for note in found] == [(CLAIM.name, claim, made.generation)]

    asyncio.run(main())


def test_a_refused_write_without_a_document_can_be_repeated() -> None:
    class Refusing(MemoryStore):
        async def write(self, name: str, data: bytes, expect: int | None) -> int:
            raise ConflictError("write", name, "Google says no.")

    async def step(now: Newest | None) -> Newest:
        return Newest("a")

    with pytest.raises(UnavailableError, match=r"newest\.json: the store refused it, .*: Google says no\."):
        asyncio.run(create(Refusing(), NEWEST, Newest("a")))
    with pytest.raises(UnavailableError, match=r"newest\.json: the store refused it, .*: Google says no\."):
        asyncio.run(swap(Refusing(), NEWEST, step))
