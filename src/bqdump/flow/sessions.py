"""The one read session of a table that several tasks share: whoever needs it first opens it for all.

Each row of the table comes in exactly one stream of a session, and in another session the streams are others. So there
is one for the whole run, settled by a create-only document, and a part is the same streams whoever reads it.
"""

from __future__ import annotations

from bqdump.core.codec import decode, encode
from bqdump.core.documents import SharedSession
from bqdump.core.errors import ConflictError, NotFoundError, UnavailableError
from bqdump.core.parts import Part
from bqdump.flow.task import Task
from bqdump.ports.reader import ReadRequest, ReadSession


async def shared_session(task: Task, part: Part, request: ReadRequest) -> ReadSession:
    """The session of the part's table, with the part's streams only. Raises what opening and storing raise."""
    session = await _stored(task, part.lead)
    if session is None:
        opened = await task.reading.reader.open(request)
        mine = SharedSession(opened.name, opened.streams, opened.schema)
        try:
            await task.store.write(task.layout.session(part.lead), encode(mine), 0)
            session = mine
        except ConflictError:
            # Another task was first, or the answer to an earlier try of this one was lost: one counts for all.
            session = await _stored(task, part.lead)
    if session is None:
        cause = "the bucket has refused its read session, and holds none"
        raise UnavailableError("read", f"table {part.table}", cause)
    return ReadSession(session.name, session.streams[part.number :: part.of], session.schema)


async def _stored(task: Task, lead: str) -> SharedSession | None:
    name = task.layout.session(lead)
    try:
        return decode((await task.store.read(name)).data, SharedSession, name)
    except NotFoundError:
        return None
