"""The ports of a restore as one process sees them: over the network of the simulation, which loses things."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from simulation.faults import Network
from simulation.process import Outside

LISTINGS = frozenset(("notes", "objects", "jobs"))
# Requests that change something also arrive late, after the caller has been told that they failed, or has died.
CHANGES = frozenset(
    (
        *(
            "write",
            "write_note",
            "upload",
            "stream",
            "delete",
            "create_dataset",
            "change_dataset",
            "drop_dataset",
            "create_table",
            "change_table",
        ),
        *("replace_definition", "drop_table", "create_routine", "create_row_policy", "load", "statement", "copy"),
    )
)
# Hears of a request that was carried out: the process, the operation and its arguments, and whether it came late.
Heard = Callable[[str, str, tuple[Any, ...], bool], None]


class FaultyPort:
    """A port over such a network. Every change is shown to `heard` at the instant it happens."""

    def __init__(self, port: Any, network: Network, heard: Heard) -> None:
        self._port, self._network, self._heard = port, network, heard

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._port, name)
        if not callable(attribute) or name == "share_limits":
            return attribute
        if name in LISTINGS:
            return lambda *place: self._listed(name, attribute(*place))

        async def request(*arguments: Any, **options: Any) -> Any:
            return await self._request(name, lambda: attribute(*arguments, **options), arguments)

        return request

    async def _request(self, name: str, ask: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        gone = False

        async def carry_out() -> Any:
            with Outside():
                result = await ask()
            if name in CHANGES or name == "present":
                self._heard(self._network.process.name, name, arguments, gone)
            return result

        try:
            return await self._network.call(name, _subject(arguments), carry_out, changes=name in CHANGES)
        finally:
            gone = True

    async def _listed(self, name: str, listing: AsyncIterator[Any]) -> AsyncIterator[Any]:
        dice = self._network.dice

        async def following() -> Any:
            return await anext(listing, None)

        while (page := await self._network.call(name, "", following)) is not None:
            # A listing may lack a job.
            unlisted = dice.weather.unlisted if name == "jobs" else 0
            yield [one for one in page if not unlisted or dice.rng.random() >= unlisted]


def _subject(arguments: tuple[Any, ...]) -> str:
    named = [one if isinstance(one, str) else getattr(one, "job_id", "") for one in arguments]
    return " ".join(filter(None, named))[:120]
