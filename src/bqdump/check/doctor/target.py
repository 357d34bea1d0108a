"""What a run needs of the target: the bucket's settings, the prefix, and objects."""

from __future__ import annotations

import secrets

from bqdump.check.doctor.checks import CheckOutcome, Checks
from bqdump.check.doctor.reach import note_reach, reach_of
from bqdump.core.errors import BqdumpError, DeniedError, NotFoundError, TargetError, UsageError
from bqdump.core.settings.settings import Settings
from bqdump.export.planning.target import refuse_bucket, refuse_key, refuse_place
from bqdump.ports.store import BucketInfo, Copy, ObjectStore
from bqdump.repository.prefix_owner import check_prefix


async def check_bucket(checks: Checks, store: ObjectStore, settings: Settings) -> tuple[BucketInfo | None, bool]:
    """The bucket's settings, and whether to try writing there: what is written must be deletable."""
    url, permission = store.url, "storage.buckets.get"
    try:
        bucket = await store.describe()
        refuse_place(store)
        refuse_bucket(bucket, url)
        refuse_key(bucket, settings, url)
    except DeniedError:
        detail = "location, retention and soft delete are not checked"
        checks.note("see the bucket", url, CheckOutcome.WARNING, detail, permission)
        return None, True
    except NotFoundError as error:
        # Here the missing resource is the bucket, not a document.
        checks.note("see the bucket", url, CheckOutcome.MISSING, error.cause, permission)
        return None, False
    except (TargetError, UsageError) as error:
        checks.note("see the bucket", url, CheckOutcome.REFUSED, f"{error.cause}. {error.hint}", permission)
        return None, False
    detail = f"it is in {bucket.location}" if bucket.location else ""
    checks.note("see the bucket", url, CheckOutcome.OK, detail, permission)
    return bucket, True


async def check_owner(checks: Checks, store: ObjectStore, settings: Settings) -> bool:
    """Whether the prefix is free, or this dataset's."""
    place = str(settings.target)
    found = await checks.ask(
        "the prefix is this dataset's",
        place,
        "storage.objects.get",
        lambda: check_prefix(store, settings),
        lambda found: f"it belongs to {found[0].project}.{found[0].dataset}" if found[0] else "it is free",
    )
    return found is not None


async def check_objects(
    checks: Checks, store: ObjectStore, settings: Settings, bucket: BucketInfo | None, *, writable: bool
) -> None:
    """Create, read, list, copy and delete two objects that belong to the doctor; and what else could be deleted."""
    folder = f"{settings.layout.state}doctor/"
    name = f"{folder}{secrets.token_hex(8)}.json"
    rights = {"read objects": "get", "list objects": "list", "replace objects": "update", "delete objects": "delete"}
    data, made = b'{"what":"bqdump doctor looks whether it may write here"}', dict[str, int]()
    created = None
    if writable:
        created = await checks.ask(
            "create objects", store.url, "storage.objects.create", lambda: store.write(name, data, 0)
        )
    if created is None:
        for what, right in rights.items():
            checks.note(what, store.url, CheckOutcome.UNTRIED, "no object could be made", f"storage.objects.{right}")
        return
    made[name] = created
    await checks.ask("read objects", store.url, "storage.objects.get", lambda: store.read(name))
    await checks.ask("list objects", store.url, "storage.objects.list", lambda: _listed(store, folder))
    reach = await reach_of(store, settings, name)
    if settings.template.keeps and reach.pointers and not reach.own:
        checks.note("delete objects", store.url, CheckOutcome.OK, f"not permitted, nor needed; left behind: {name}")
        note_reach(checks, store, settings, reach, bucket)
        return
    wish = Copy(name, created, f"{name}.copy", 0)
    copied = await checks.ask("replace objects", store.url, "storage.objects.update", lambda: _copied(store, wish))
    if copied:
        made[wish.target] = copied
    await checks.ask(
        "delete objects",
        store.url,
        "storage.objects.delete",
        lambda: _deleted(store, made),
        lambda _: "",
        f"left behind: {', '.join(made)}",
    )
    note_reach(checks, store, settings, reach, bucket)


async def _listed(store: ObjectStore, folder: str) -> bool:
    return any([page async for page in store.objects(folder)])


async def _copied(store: ObjectStore, wish: Copy) -> int:
    (result,) = await store.copy([wish], "doctor")
    if isinstance(result, BqdumpError):
        raise result
    return result.generation


async def _deleted(store: ObjectStore, made: dict[str, int]) -> bool:
    for result in await store.delete(list(made.items())):
        if isinstance(result, BqdumpError):
            raise result
    return True
