"""Copying runs to another place."""

from __future__ import annotations

import time

from bqdump.copying.sets import copy_exports
from bqdump.copying.survey import Locking, Task
from bqdump.core.copy.plan import Copied, Request
from bqdump.core.documents.run import Owner
from bqdump.core.progress.events import Listener, ignore
from bqdump.core.settings.settings import Settings
from bqdump.ports.signer import PROBE
from bqdump.ports.store import Lock
from bqdump.services.copies import opened_copy
from bqdump.services.keys import open_signer


async def copy(settings: Settings, request: Request, owner: Owner, tell: Listener = ignore, tasks: int = 1) -> Copied:
    """Copy runs (default: the published run) to another place, or only show what would be copied.

    tasks: how many tasks share the files; `owner` is one of them.
    """
    if signer := open_signer(settings):
        # A key that cannot sign is refused before anything is copied.
        await signer.sign(PROBE)
    now = _clock()
    # Until a whole second, as S3 has no parts of one.
    until = (now // 1000 + 1 + request.lock) * 1000
    lock = Lock(until, request.lock_mode == "compliance") if request.lock_mode else None
    async with opened_copy(settings, request, lock) as (source, target, mover, locks):
        locking = Locking(locks, until, request.lock_mode, _clock) if locks and request.lock_mode else None
        if locking and owner.task:
            # Tasks share by notes that are replaced and deleted, which nobody can do where everything is locked.
            return Copied(copied=not request.dry, source=str(settings.target), target=str(request.target), runs=())
        tasks = 1 if locking else tasks
        task = Task(source, target, mover, owner, now, request.digests, request.dry, tell, signer, tasks, locking)
        return await copy_exports(task, request.runs, request.policy, every=request.every)


def _clock() -> int:
    return int(time.time() * 1000)
