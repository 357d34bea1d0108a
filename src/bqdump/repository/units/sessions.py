"""The read sessions of split tables, as their documents record them."""

from __future__ import annotations

from collections.abc import Mapping

from bqdump.core.documents.run import Plan, Receipt
from bqdump.core.documents.run_layout import RunLayout
from bqdump.ports.store import ObjectStore
from bqdump.repository.repository import value_of


async def outdated(store: ObjectStore, layout: RunLayout, plan: Plan, ends: Mapping[str, object]) -> set[str]:
    """The units whose receipts are from retired sessions. One request for each shared table that was begun."""
    found: set[str] = set()
    for split in plan.splits:
        receipts = [end for unit in split.units if isinstance(end := ends.get(unit), Receipt)]
        if receipts:
            current = await current_session(store, layout, split.units[0])
            found |= {receipt.unit for receipt in receipts if receipt.job != current}
    return found


async def current_session(store: ObjectStore, layout: RunLayout, lead: str) -> str:
    """The valid session of the table whose first part this is, as receipts name it; "" for none."""
    now = await value_of(store, layout.session(lead))
    return session_id(now.name) if now else ""


def session_id(name: str) -> str:
    """A session as receipts name it: the last part of its name."""
    return name.rpartition("/")[2]
