"""The metrics of the console, for Prometheus."""

from __future__ import annotations

import asyncio
import time

from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.metrics import CONTENT_TYPE, metrics_text
from bqdump.core.wording import COMMANDS
from bqdump.restoration.recovery import recoveries
from bqdump.ui.archive import Collection

# Seconds: whoever asks more often gets the same answer, as each costs listings of the files.
KEPT_SECONDS = 60.0


class Metrics:
    """What the place shows now, or did a moment ago."""

    def __init__(self, collection: Collection) -> None:
        self._collection, self._lock = collection, asyncio.Lock()
        self._text, self._until = "", 0.0

    async def __call__(self, _: Request) -> Response:
        """See core.metrics."""
        async with self._lock:
            if time.monotonic() >= self._until:
                exports, trusting = await self._collection.exports(), self._collection.trusting
                if trusting:
                    exports = exports.through(lambda _: trusting)
                found = await recoveries(exports, int(time.time() * 1000), COMMANDS)
                self._text = metrics_text(found, self._collection.settings, time.time())
                self._until = time.monotonic() + KEPT_SECONDS
        return Response(self._text, headers={"content-type": CONTENT_TYPE})
