"""The object that an upload creates, by whichever API, and how its bytes arrive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bqdump_local.storage.errors import ApiError, invalid
from bqdump_local.storage.methods.checksums import check
from bqdump_local.storage.wire import DisconnectedError

if TYPE_CHECKING:
    from bqdump_local.storage.store.files import Content, Spool
    from bqdump_local.storage.store.preconditions import Conditions
    from bqdump_local.storage.store.records import ObjectRecord
    from bqdump_local.storage.store.store import Store
    from bqdump_local.storage.wire import Request


@dataclass(frozen=True, slots=True)
class Plan:
    """The object that an upload creates."""

    bucket: str
    name: str
    settings: dict[str, Any]
    conditions: Conditions
    storage_class: str | None
    kms_key: str | None
    customer_key: str | None = None


def admitted(store: Store, plan: Plan) -> Plan:
    """The plan. Raises at once if the upload could not succeed now."""
    store.bucket(plan.bucket)
    store.access.require(plan.bucket, "storage.objects.create", item=plan.name)
    store.check_write(plan.bucket, plan.name, plan.conditions)
    if plan.kms_key and plan.customer_key:
        raise invalid("A customer-supplied key and a Cloud KMS key cannot be used together.")
    return plan


async def received(store: Store, request: Request) -> Spool:
    """The bytes of a request's body."""
    spool = store.files.spool()
    try:
        async for piece in request.stream():
            spool.write(piece)
    except (DisconnectedError, OSError):
        spool.discard()
        raise
    return spool


def unchanged(content: Content, *expected: dict[str, str]) -> Content:
    """The content, if it has these checksums."""
    try:
        for checksums in expected:
            check(content, checksums)
    except ApiError:
        content.discard()
        raise
    return content


def create(store: Store, plan: Plan, content: Content) -> ObjectRecord:
    """The object."""
    return store.put(
        plan.bucket,
        plan.name,
        content,
        settings=plan.settings,
        conditions=plan.conditions,
        storage_class=plan.storage_class,
        kms_key=plan.kms_key,
        customer_key=plan.customer_key,
    )
