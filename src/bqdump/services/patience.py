"""How long a command retries on a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bqdump.core.settings.settings import Settings

if TYPE_CHECKING:
    from bqdump.adapters.patience import Patience


def patience_for(settings: Settings, service: object, *, patient: bool) -> Patience:
    """service: as a string, its name in messages.

    patient: for a run, which retries longer than other commands unless `patience` is set.
    """
    from bqdump.adapters.patience import LONG, SHORT, Patience

    seconds = (LONG if patient else SHORT) if settings.patience is None else float(settings.patience)
    return Patience(seconds, service=str(service))
