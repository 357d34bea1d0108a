"""A call of the Python API: settings from keyword arguments, an event loop of its own, errors in Python's words.

The settings in `help()`: keyword arguments with type and default. `bqdump.run` has a line for each; others name theirs.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import itertools
import logging
import textwrap
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from bqdump import verbs
from bqdump.api.arguments import Options
from bqdump.core.errors import BqdumpError, UsageError, first_of
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.resolve import Required, arguments, resolve
from bqdump.core.settings.resolve import file as settings_file
from bqdump.core.settings.settings import SETTINGS, Settings
from bqdump.core.sizes import size_text
from bqdump.core.times import as_of_time, only_one
from bqdump.core.wording import PYTHON, fill
from bqdump.services.opened import serve
from bqdump.services.process import read_config

Result = TypeVar("Result")
Raised = TypeVar("Raised", bound=BaseException)
SIGNAL_SECONDS = 0.5
DOCSTRING_COLUMNS = 110
log = logging.getLogger("bqdump")
log.addHandler(logging.NullHandler())


def tell_bill(bytes_billed: int) -> None:
    """Log what BigQuery bills."""
    billed = LogEvent.QUERY_BILLED.extra()
    log.info("BigQuery bills %s for this comparison", size_text(bytes_billed), extra=billed)


def settings_of(options: Options, required: Required) -> Settings:
    """The settings of a call. Raises UsageError, naming the argument."""
    values: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    file = values.pop("config", None)
    sources = [arguments(values), *([settings_file(read_config(file), file)] if file else [])]
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


def run_of(settings: Settings, run: str, as_of: str | datetime, *, files: bool = True) -> str:
    """The run that is meant, "" for the default. files: see verbs.run_as_of.

    Raises UsageError for a run and a time, or for an invalid time.
    """
    if not as_of:
        return run
    with python_words():
        only_one(run)
        wanted = as_of_time(as_of, int(time.time() * 1000))
    asking = serve(settings, lambda services: verbs.run_as_of(services.store_at, settings, wanted, files=files))
    return finish(asking).run


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


Function = TypeVar("Function", bound=Callable[..., Any])
# What the functions that only read a target use. They accept the others, so that one dictionary serves all functions.
OF_TARGET = ("bucket", "to", "prefix", "job_project", "patience", "endpoint")


class TargetOptions(TypedDict, total=False):
    """The settings that name a target; see Options."""

    config: str | None
    project: str | None
    bucket: str | None
    to: str | None
    prefix: str | None
    job_project: str | None
    patience: str | timedelta | None
    run_id: str | None


CONFIG = "TOML file with further settings."


def with_settings(names: Collection[str] = (), *, described: bool = False) -> Callable[[Function], Function]:
    """Show settings in the signature and the docstring of a function of `**options` (default: all settings).

    described: with a line for each, which other docstrings refer to.
    """

    def shown(function: Function) -> Function:
        settings = [setting for setting in SETTINGS if not names or setting.name in names]
        helps = {"config": CONFIG} | {setting.name: fill(setting.help) for setting in settings}
        signature = _signature(function, list(helps))
        if described:
            lines = [f"{_described(signature.parameters[name])}: {text}" for name, text in helps.items()]
        elif names:
            sentence = f"{', '.join(helps)}. help(bqdump.run) describes them; others have no effect."
            lines = textwrap.wrap(sentence, DOCSTRING_COLUMNS)
        else:
            lines = ["Those of bqdump.run."]
        documented: Any = function
        # Python 3.13 and later have stripped the indentation already.
        text = inspect.cleandoc(function.__doc__ or "")
        documented.__doc__ = "\n    ".join([f"{text}\n\nSettings:", *lines])
        documented.__signature__ = signature
        documented.__module__ = "bqdump"
        documented.settings = frozenset(helps)
        return function

    return shown


def settings_shown(function: Callable[..., Any]) -> frozenset[str]:
    """The settings that a function uses, as `with_settings` names them."""
    used: frozenset[str] = vars(function)["settings"]
    return used


class _Folded(inspect.Signature):
    """In help(), one line of at most 3,400 characters otherwise: settings are `**settings`, described below it."""

    def _folded(self) -> inspect.Signature:
        own = list(itertools.takewhile(lambda parameter: parameter.name != "config", self.parameters.values()))
        rest = inspect.Parameter("settings", inspect.Parameter.VAR_KEYWORD)
        return inspect.Signature([*own, rest], return_annotation=self.return_annotation)

    def __str__(self) -> str:
        return str(self._folded())

    def format(self, **options: Any) -> str:
        """What help() shows from Python 3.13 on."""
        shown: Any = self._folded()
        return str(shown.format(**options))


def _described(setting: inspect.Parameter) -> str:
    """A setting with its type, and its default if it has one: `concurrency (int | str = 500)`."""
    names = dict.fromkeys(_type_name(kind) for kind in get_args(setting.annotation) if kind is not type(None))
    default = f" = {setting.default!r}" if setting.default not in (None, msgspec.NODEFAULT) else ""
    return f"{setting.name} ({' | '.join(names)}{default})"


def _type_name(kind: Any) -> str:
    """The name of a type. What a string may be is in the text of its setting."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "str"
    if not inner:
        return "Any" if kind is Any else str(kind.__name__)
    return f"{origin.__name__}[{', '.join(map(_type_name, inner))}]"


def _signature(function: Callable[..., Any], names: list[str]) -> inspect.Signature:
    """The function's own parameters, and a keyword argument for each setting."""
    types = get_type_hints(Options)
    defaults = {field.name: field.default for field in msgspec.structs.fields(Settings) if not field.required}
    own = inspect.signature(function, eval_str=True)
    parameters = [parameter for parameter in own.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
    for name in names:
        # What is required may also be in the file, and empty strings and lists are the same as None.
        default = defaults.get(name)
        shown = default if default or isinstance(default, bool) else None
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=shown, annotation=types[name])
        )
    return _Folded(parameters, return_annotation=own.return_annotation)
