"""What a copy works with."""

from __future__ import annotations

from typing import NamedTuple

from bqdump.core.documents.layout import Layout
from bqdump.core.documents.run import Owner
from bqdump.core.progress.events import Listener, ignore
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.ports.mover import Mover
from bqdump.ports.signer import Signer
from bqdump.ports.store import ObjectStore


class Place(NamedTuple):
    """One side of a copy: a store, and the settings that name its prefix."""

    store: ObjectStore
    settings: Settings

    @property
    def target(self) -> Target:
        """Where the export is."""
        return self.settings.target

    @property
    def layout(self) -> Layout:
        """The object names of the place."""
        return self.settings.layout


class Task(NamedTuple):
    """One call of copy. source, target: the two places. mover: moves files from one to the other.

    now: this machine's time, in milliseconds since 1970 UTC. digests: compute the SHA-256 of files whose bytes pass
    inside the service, too. dry: only look.
    signer: signs the manifests of the copies.
    """

    source: Place
    target: Place
    mover: Mover
    owner: Owner
    now: int
    digests: bool = False
    dry: bool = False
    tell: Listener = ignore
    signer: Signer | None = None
