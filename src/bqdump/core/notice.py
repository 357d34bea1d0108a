"""What is posted about a run or a drill, and in which form a webhook takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import msgspec

from bqdump.core.errors import BqdumpError, first_of, words_of
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted, named, size_text
from bqdump.core.times import time_text
from bqdump.core.wording import COMMANDS

if TYPE_CHECKING:
    from bqdump.core.progress.export import Export
    from bqdump.core.restore.drill import Drilled

NOTHING = msgspec.Raw(b"null")
# These take a text and refuse other fields.
# https://api.slack.com/messaging/webhooks, https://developers.google.com/workspace/chat/quickstart/webhooks
CHATS = ("hooks.slack.com", "hooks.slack-gov.com", "chat.googleapis.com")


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What happened.

    text: for people.
    result: the document that `--json` prints, JSON null where there is none.
    error: why there is none, "" otherwise.
    """

    event: Literal["run_published", "run_failed", "drill_failed"]
    text: str
    run: str
    project: str
    dataset: str
    target: str
    result: msgspec.Raw = NOTHING
    error: str = ""


def run_published(settings: Settings, done: Export) -> Notice:
    """A run is published."""
    tables, rows = counted(done.tables, "table"), counted(done.rows, "row")
    missing = f"; {counted(len(done.failed), 'table')} failed and missing" if done.failed else ""
    what = f"{tables}, {rows}, {size_text(done.bytes)}, as of {time_text(done.snapshot_time)}{missing}"
    text = f"bqdump: run {done.run} of {_source(settings)} is published: {what}"
    return _notice(settings, "run_published", done.run, text, _json(done))


def run_failed(settings: Settings, run: str, error: BaseException) -> Notice:
    """A run ended with an error. It may have begun to replace the published files."""
    cause = _cause(error)
    text = f"bqdump: run {run} of {_source(settings)} failed and is not published: {cause}"
    return _notice(settings, "run_failed", run, text, error=cause)


def drill_failed(settings: Settings, done: Drilled) -> Notice:
    """A drill found a difference, or something that cannot be restored."""
    problems = named(done.problems, 3, separator="; ")
    text = f"bqdump: run {done.run} in {settings.target} may not be restorable: {problems}"
    return _notice(settings, "drill_failed", done.run, text, _json(done))


def drill_ended(settings: Settings, run: str, error: BaseException) -> Notice:
    """A drill ended with an error, without a result."""
    cause = _cause(error)
    return _notice(
        settings,
        "drill_failed",
        run,
        f"bqdump: a drill of {settings.target} ended without a result: {cause}",
        error=cause,
    )


def body(notice: Notice, url: str) -> bytes:
    """What is posted to this address: only the text where a chat takes nothing else."""
    if urlsplit(url).hostname in CHATS:
        return msgspec.json.encode({"text": notice.text})
    return msgspec.json.encode(notice)


def _notice(
    settings: Settings,
    event: Literal["run_published", "run_failed", "drill_failed"],
    run: str,
    text: str,
    result: msgspec.Raw = NOTHING,
    error: str = "",
) -> Notice:
    return Notice(
        event=event,
        text=text,
        run=run,
        project=settings.project,
        dataset=settings.dataset,
        target=str(settings.target),
        result=result,
        error=error,
    )


def _source(settings: Settings) -> str:
    return f"{settings.project}.{settings.dataset}"


def _cause(error: BaseException) -> str:
    first = first_of(error)
    return first.sentence(COMMANDS) if isinstance(first, BqdumpError) else words_of(first)


def _json(document: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(document))
