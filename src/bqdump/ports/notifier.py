"""Where people and programs hear what happened to a run."""

from __future__ import annotations

from typing import Protocol

from bqdump.core.notice import Notice


class Notifier(Protocol):
    """A place that notices are posted to. Every error is a BqdumpError."""

    @property
    def place(self) -> str:
        """The place, without what only its owner may know."""
        ...

    async def post(self, notice: Notice) -> None:
        """Deliver a notice, if need be after some retries."""
        ...
