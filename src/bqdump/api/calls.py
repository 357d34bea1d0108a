"""A call of the Python API: settings from keyword arguments, an event loop of its own, errors in Python's words."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from bqdump.api.arguments import Options
from bqdump.core.errors import BqdumpError, UsageError, first_of
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.resolve import arguments, resolve
from bqdump.core.settings.resolve import file as settings_file
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import size_text
from bqdump.core.wording import PYTHON
from bqdump.ports.store import ObjectStore
from bqdump.services import serving
from bqdump.services.config import read_config
from bqdump.services.opening import Services

Result = TypeVar("Result")
Raised = TypeVar("Raised", bound=BaseException)
SIGNAL_SECONDS = 0.5
log = logging.getLogger("bqdump")
log.addHandler(logging.NullHandler())


def tell_bill(bytes_billed: int) -> None:
    """Log what BigQuery bills."""
    billed = LogEvent.QUERY_BILLED.extra()
    log.info("BigQuery bills %s for this comparison", size_text(bytes_billed), extra=billed)


def settings_of(options: Options, required: Sequence[str]) -> Settings:
    """The settings of a call. Raises UsageError, naming the argument."""
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    file = given.pop("config", None)
    sources = [arguments(given), *([settings_file(read_config(file), file)] if file else [])]
    try:
        return resolve(*sources, required=required)
    except UsageError as error:
        raise _in_words(error) from None


@contextmanager
def python_words() -> Iterator[None]:
    """Errors inside name settings as keyword arguments."""
    try:
        yield
    except UsageError as error:
        raise _in_words(error) from None


def _in_words(error: Raised) -> Raised:
    """The same error, whose cause and hint name settings as keyword arguments."""
    if isinstance(error, BqdumpError):
        error.in_words(PYTHON)
    return error


def ask(question: Callable[[ObjectStore, Settings], Awaitable[Result]], options: Options) -> Result:
    """Open the target, ask it the question, and close it."""
    settings = settings_of(options, ("bucket",))
    return finish(serving.ask(settings, lambda store: question(store, settings)))


def ask_each(question: Callable[[ObjectStore, Settings], Awaitable[Result]], options: Options) -> list[Result]:
    """Ask every target the question: one, or for a set of datasets one for each location. See serving.ask_each."""
    return finish(serving.ask_each(settings_of(options, ("bucket",)), question))


def serve(
    settings: Settings, work: Callable[[Services], Awaitable[Result]], tasks: int = 1, *, patient: bool = False
) -> Result:
    """Open source and target for one of this many tasks, do the work, and close them. patient: see open_store."""
    return finish(serving.serve(settings, work, tasks, patient=patient))


def finish(work: Coroutine[Any, Any, Result]) -> Result:
    """Run the coroutine in an event loop of a new thread, as one may be running in this thread.

    An exception that interrupts the wait (Ctrl-C, a timeout of the host) cancels the work before it is raised.
    """
    loop = asyncio.new_event_loop()
    outcome: Future[Result] = Future()

    def go() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                result = runner.run(work)
        except BaseException as error:
            outcome.set_exception(_in_words(first_of(error)))
        else:
            outcome.set_result(result)

    def cancel() -> None:
        for task in asyncio.all_tasks(loop):
            task.cancel()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(go,), name="bqdump")
    thread.start()
    try:
        # A wait without an end would miss a signal that comes just before it begins.
        while not wait((outcome,), timeout=SIGNAL_SECONDS).done:
            pass
        return outcome.result()
    except BaseException:
        if not outcome.done():
            loop.call_soon_threadsafe(cancel)
        raise
    finally:
        thread.join()
