"""The console on a free port of this process, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.ui.app import serve

Value = TypeVar("Value")


class Site:
    """A running console. `url` ends with a slash."""

    def __init__(self, store: ObjectStore, settings: Settings, trusting: ObjectStore | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        address: Future[str] = Future()
        self._serving = self.start(serve(store, settings, 0, address.set_result, trusting))
        self.url = address.result(20)

    def do(self, work: Coroutine[Any, Any, Value]) -> Value:
        """The result of the coroutine, run in the console's event loop."""
        return self.start(work).result(60)

    def start(self, work: Coroutine[Any, Any, Value]) -> Future[Value]:
        """The same without waiting for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Stop serving, and cancel everything else in the loop."""
        self._serving.cancel()
        self.do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            # The server ends by itself, having closed its connections.
            _, left = await asyncio.wait(others, timeout=2)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
