"""What schedules of every kind have in common: nothing of this process's chance, and a verdict at the end."""

from __future__ import annotations

import gc
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Protocol
from unittest import mock

from simulation.laws import Broken
from simulation.loop import StoppedError, StuckError, VirtualLoop
from simulation.trace import Trace


class Verdict(NamedTuple):
    """How a schedule ended: the law that it found broken, if any, its last steps, and how many there were."""

    seed: int
    broken: Broken | None
    trace: list[str]
    steps: int


class Simulated(Protocol):
    """Everything of one schedule, as far as its verdict takes it."""

    seed: int
    loop: VirtualLoop
    trace: Trace
    laws: Any

    async def main(self) -> None:
        """Run the schedule."""


@contextmanager
def nothing_by_chance(seed: int, epoch: int) -> Iterator[tuple[ExitStack, random.Random]]:
    """The same seed gives the same schedule within this block. Yields a stack for patches, and what draws names."""
    state, collecting = random.getstate(), gc.isenabled()
    level = logging.root.manager.disable
    random.seed(seed)
    names = random.Random(f"{seed} names")
    # The collector would end abandoned generators at moments that depend on what ran before.
    gc.disable()
    logging.disable(logging.CRITICAL)
    try:
        with ExitStack() as patches:
            patches.enter_context(mock.patch("secrets.token_hex", lambda size: names.randbytes(size).hex()))
            patches.enter_context(mock.patch("bqdump.repository.prefix_owner.now", return_value=epoch))
            yield patches, names
    finally:
        random.setstate(state)
        logging.disable(level)
        if collecting:
            gc.enable()


def without_pages(patches: ExitStack, *pages: str) -> None:
    """Render these pages as next to nothing."""
    for page in pages:
        patches.enter_context(mock.patch(f"bqdump.pages.{page}", return_value=b"<html>"))


def verdict(world: Simulated, blame: Callable[[str], None]) -> Verdict:
    """Run a schedule to its end. blame: names the law that is broken where it does not end."""
    try:
        world.loop.complete(world.main())
    except StoppedError:
        pass
    except StuckError as error:
        blame(str(error))
    except Exception:
        if world.laws.broken is None:
            raise
    return Verdict(world.seed, world.laws.broken, list(world.trace), world.loop.steps)
