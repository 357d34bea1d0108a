"""The files of an export while load jobs read them: by name, whatever their generation, and from Cloud Storage only.

So files of a local folder or another service are uploaded to a bucket first, and deleted from there when their tables
are restored, or when the restore was killed and is not resumed. Only what a restore has named before it uploaded
anything is deleted, at the generation that was listed, and only with the checksum of the export's file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager

from msgspec.structs import replace

from bqdump.core.documents.manifest import File, TableEntry
from bqdump.core.errors import BqdumpError, ConflictError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.documents import Restores, Upload, Uploads
from bqdump.core.sizes import counted, size_text
from bqdump.file_content import digest_of, read_file
from bqdump.ports.store import ObjectInfo, ObjectStore
from bqdump.repository.objects import common_prefix, looked_up, recorded_in, with_checksums
from bqdump.repository.repository import create, delete, exists, load
from bqdump.restoration.jobs import FailedJobError
from bqdump.restoration.ledger import Ledger
from bqdump.restoration.task import RunningRestore

log = logging.getLogger(__name__)


async def announce_uploads(restore: RunningRestore) -> None:
    """Name what this restore may upload."""
    if restore.uploads_files:
        uploads = Uploads(restore.id, restore.decision.planned, tuple(_named(restore)))
        await create(restore.task.bucket, Restores(restore.task.layout).uploads(restore.mark), uploads)


async def clear_uploads(restore: RunningRestore, ledger: Ledger) -> None:
    """Delete the uploads of tables that are restored, and those that other restores have left.

    An error is only logged: the next restore through this bucket tries again.
    """
    if restore.uploads_files:
        with _logged():
            await _delete(restore, restore.id, _named(restore, ledger.receipts))
            await _clear_others(restore)


async def drop_uploads(restore: RunningRestore) -> None:
    """Delete all uploads of a restore that nothing resumes, and the list of them. An error is only logged."""
    if restore.uploads_files:
        store, document = restore.task.bucket, Restores(restore.task.layout).uploads(restore.mark)
        with _logged():
            await _delete(restore, restore.id, _named(restore))
            if info := await store.stat(document.name):
                await delete(store, [(info.name, info.generation)])


@contextmanager
def _logged() -> Iterator[None]:
    try:
        yield
    except BqdumpError as error:
        message = "files that were uploaded to be restored could not be deleted: %s"
        log.warning(message, error, extra=LogEvent.CLEANUP_FAILED.extra())


async def delete_uploads(restore: RunningRestore, entry: TableEntry) -> None:
    """Delete the uploads of a table that is restored."""
    if restore.uploads_files:
        store = restore.task.bucket
        named = _uploads_of(entry)
        infos = await looked_up(store, (restore.uploaded(file.name) for file in named))
        stored = zip(named, infos, strict=True)
        await delete(store, [(info.name, info.generation) for file, info in stored if info and _is(info, file)])


async def _clear_others(restore: RunningRestore) -> None:
    task, layout = restore.task, restore.task.layout
    lists: list[ObjectInfo] = []
    async for page in task.bucket.objects(Restores(layout).uploading):
        lists += [info for info in page if info.name != Restores(layout).uploads(restore.mark).name]
    if not lists:
        return
    now = await restore.destination.now(restore.target.location)
    for info in lists:
        mark = info.name.removeprefix(Restores(layout).uploading).removesuffix(".json")
        stored = await load(task.bucket, Restores(layout).uploads(mark))
        if stored is None:
            continue
        other, after = stored.value, task.settings.abandoned_seconds * 1000
        abandoned = 0 < after < now - other.planned
        if abandoned or _is_before(other.restore, restore.id) or await _is_finished(restore, other.restore):
            await _delete(restore, other.restore, other.files)
        if abandoned:
            await delete(task.bucket, [(info.name, stored.generation)])


def _is_before(other: str, mine: str) -> bool:
    """Whether this restore was begun as the other one, of the same, can no longer be resumed."""
    (same, number), (what, later) = other.split("-"), mine.split("-")
    return same == what and int(number) < int(later)


async def _is_finished(restore: RunningRestore, other: str) -> bool:
    return await exists(restore.task.bucket, Restores(restore.task.layout).restore(other).result)


async def _delete(restore: RunningRestore, of: str, named: Iterable[Upload]) -> None:
    """Delete these uploads of a restore, as far as they are there."""
    files, size = await delete_named(restore.task.bucket, Restores(restore.task.layout).restore(of).files, named)
    if files:
        message, deleted = "deleted what restore %s had uploaded: %s, %s", LogEvent.UPLOADS_DELETED.extra()
        log.info(message, of, counted(files, "file"), size_text(size), extra=deleted)


async def delete_named(store: ObjectStore, folder: str, named: Iterable[Upload]) -> tuple[int, int]:
    """Delete these uploads below a folder, as far as they are there; the number of files, and their bytes."""
    by_name = {upload.name: upload for upload in named}
    files = size = 0
    async for page in store.objects(folder):
        mine = [info for info in page if (upload := by_name.get(info.name.removeprefix(folder))) and _is(info, upload)]
        files += await delete(store, [(info.name, info.generation) for info in mine])
        size += sum(info.size for info in mine)
    return files, size


def _named(restore: RunningRestore, receipts: Container[int] | None = None) -> Iterator[Upload]:
    """The files of the tables, or of those that have a receipt."""
    for number, step in enumerate(restore.plan.tables):
        if receipts is None or number in receipts:
            yield from _uploads_of(step.entry)


def _uploads_of(entry: TableEntry) -> list[Upload]:
    return [Upload(file.name, file.size, file.crc32c) for file in entry.files]


def _is(info: ObjectInfo, upload: Upload) -> bool:
    """Whether this object has the content of the export's file."""
    return (info.size, info.crc32c) == (upload.size, upload.crc32c)


async def upload_files(restore: RunningRestore, entry: TableEntry) -> dict[str, int]:
    """Upload a table's files that are not there yet. Returns the generation of each upload, by its name.

    Raises OtherFileError for a file, or an upload of another process, that is not as exported, or FailedJobError.
    """
    if not restore.uploads_files:
        return {}
    uploads = await asyncio.gather(*(_upload(restore, entry.table, file) for file in entry.files))
    return {info.name: info.generation for info in uploads}


async def changed_uploads(restore: RunningRestore, uploaded: Mapping[str, int]) -> list[str]:
    """The names of uploads that are missing or have another generation than when they were compared."""
    infos = await looked_up(restore.task.bucket, uploaded)
    there = {info.name: info.generation for info in infos if info}
    return [name for name, generation in uploaded.items() if there.get(name) != generation]


async def _upload(restore: RunningRestore, table: str, file: File) -> ObjectInfo:
    name, bucket, mine = restore.uploaded(file.name), restore.task.bucket, False
    async with restore.uploads:
        stored = await bucket.stat(name)
        if stored is None or stored.crc32c != file.crc32c:
            try:
                stored = await read_file(
                    restore.task.store, file, lambda content: bucket.stream(name, content, 0), table=table
                )
                mine = True
            except ConflictError:
                stored = await bucket.stat(name)
        if stored is None or (stored.size, stored.crc32c) != (file.size, file.crc32c):
            raise FailedJobError(table, "checksum", f"{name} is not the file that was uploaded")
        # A CRC32C is easily forged.
        if file.sha256 and not mine:
            await digest_of(bucket, replace(file, name=name, generation=stored.generation), table=table)
    return stored


# More files than this are listed, with one request for 1,000, instead of looked at one by one.
LOOKED_AT = 4


async def changed_files(restore: RunningRestore, entry: TableEntry) -> list[str]:
    """The names of a table's files that are missing, or have another generation or checksum than in the manifest.

    The generations of a copied export are those of the copy as it is now, which has changed if its checksum has.
    """
    files = {file.name: file for file in entry.files}
    stored = await _stored(restore, list(files.values()))
    return [name for name, file in files.items() if stored.get(name) != (file.generation, file.crc32c)]


async def _stored(restore: RunningRestore, files: list[File]) -> dict[str, tuple[int, str]]:
    """Generations and checksums by name."""
    store = restore.task.store
    if len(files) <= LOOKED_AT:
        infos = await looked_up(store, (file.name for file in files))
        return {info.name: (info.generation, info.crc32c) for info in infos if info}
    expected = {file.name for file in files}
    listed: dict[str, ObjectInfo] = {}
    async for page in store.objects(common_prefix(expected)):
        listed.update({info.name: info for info in page if info.name in expected})
    stored = await with_checksums(store, listed, recorded_in(files))
    return {name: (info.generation, info.crc32c) for name, info in stored.items()}
