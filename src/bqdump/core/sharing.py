"""How the limits of a service are divided among the tasks of a run, none of which can see how many others are alive."""

from __future__ import annotations

from msgspec import Struct


class Sharing(Struct, frozen=True):
    """So many tasks share so many units."""

    tasks: int
    units: int

    @property
    def busy(self) -> int:
        """How many tasks may have something in flight at once: no more than there are units."""
        return max(1, min(self.tasks, self.units))

    def sharers(self, limit: float) -> int:
        """By how many a limit is divided. Units that all fit into it need no division, whoever takes them."""
        return 1 if self.units <= limit else self.busy

    def part(self, limit: int) -> int:
        """A task's part of a limit."""
        return max(1, limit // self.sharers(limit))
