"""Field ids for Parquet files that BigQuery wrote: a second footer, added to each file where it was written.

Any task may do this at any time, also when another one does: a file that has ids is left as it is. It happens before
the manifest exists, which records the files as they are then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from bqdump.core.documents.run import TablePlan
from bqdump.core.errors import BqdumpError, ConflictError, DeniedError, DocumentError, VerificationError
from bqdump.core.formats.types import columns
from bqdump.core.iceberg.footer import instants, second_footer
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.tables.unsupported import exported
from bqdump.export.collected import Collected
from bqdump.export.publish.clear import delete
from bqdump.export.publish.count import TIMES_READ, read_footer
from bqdump.export.task import RunningExport
from bqdump.ports.store import ObjectInfo

log = logging.getLogger(__name__)

FILES_AT_ONCE = 24
# Only tasks of this run change these files, and each at most once.
TIMES_CHANGED = 5


async def add_field_ids(export: RunningExport, tables: Sequence[TablePlan], collected: Collected) -> None:
    """Give the files of tables that BigQuery wrote as Parquet field ids, and their TIMESTAMPs the UTC flag.

    `collected` then has the files as they are now. A table whose files cannot be changed is left as it is, with a
    warning. Raises VerificationError for a file that is gone, and what reading raises.
    """
    slots = asyncio.Semaphore(FILES_AT_ONCE)

    async def number(table: TablePlan) -> None:
        files = collected.written.get(table.id, [])
        if table.route == "read" or export.format_of(table) != "parquet" or not files:
            return
        times = frozenset(instants(exported(columns(table.definition), table.shape)))

        async def changed(info: ObjectInfo) -> ObjectInfo:
            async with slots:
                return await _with_ids(export, info, times)

        try:
            collected.written[table.id] = list(await asyncio.gather(*map(changed, files)))
        except DeniedError as error:
            message = "%s: its files stay without field ids: %s"
            log.warning(message, table.table, error, extra=LogEvent.FILES_WITHOUT_IDS.extra(table=table.table))

    await asyncio.gather(*map(number, tables))


async def _with_ids(export: RunningExport, info: ObjectInfo, times: frozenset[str]) -> ObjectInfo:
    """The file with ids."""
    scratch = f"{export.layout.staging}footers/{export.owner.execution}-{export.owner.task}/{info.name}"
    for _ in range(TIMES_CHANGED):
        with suppress(ConflictError, VerificationError):
            more = second_footer(await _certain_footer(export, info), times, info.name)
            return await export.store.append(info.name, info.generation, more, scratch) if more else info
        # Another task has done it, or this one, and the answer was lost.
        found = await export.store.stat(info.name)
        if found is None:
            raise VerificationError("publish", info.name, "it was deleted meanwhile")
        info = found
    raise ConflictError("append to", info.name, "others keep changing it")


async def _certain_footer(export: RunningExport, info: ObjectInfo) -> bytes:
    """The footer, which is read until it is the same twice: parts of files come without a checksum."""
    last = b""
    for _ in range(2 * TIMES_READ):
        footer = await read_footer(export.store, info)
        if footer == last:
            return footer
        last = footer
    raise DocumentError("read the Parquet footer of", info.name, "it is different each time")


async def clear_scratch(export: RunningExport) -> None:
    """Delete what killed tasks have left. An error is only logged."""
    try:
        async for page in export.store.objects(f"{export.layout.staging}footers/"):
            await delete(export, ((info.name, info.generation) for info in page))
    except BqdumpError as error:
        log.warning("staged footers could not be deleted: %s", error, extra=LogEvent.CLEANUP_FAILED.extra())
