"""What a copy did, or would do, as the Python API returns it.

What a copy was asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from bqdump.core.errors import UsageError
from bqdump.core.results import Result, public
from bqdump.core.retention.policy import Policy, policy_of
from bqdump.core.settings.settings import RETENTION, Settings
from bqdump.core.settings.target import BUCKET, EXPECTED, Target, parse_target
from bqdump.core.settings.values import run_id
from bqdump.core.sizes import listed

CopyState = Literal["copied", "there", "missing", "not copied"]


@public
class CopiedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run of the source. files, bytes: all that it has. moved_files, moved_bytes: those that the copy lacked.

    state: copied; there: it was copied before; missing: of a dry run, it would be copied; not copied: for the reason in
    `problem`.
    """

    run: str
    state: CopyState
    snapshot_time: datetime | None = None
    tables: int = 0
    files: int = 0
    bytes: int = 0
    moved_files: int = 0
    moved_bytes: int = 0
    problem: str = ""


@public
class Copied(Result, frozen=True, kw_only=True):
    """The runs that were copied, or would be, in the order of their snapshot times. copied: False for a dry run.

    source, target: their addresses. requests: about how many a dry run expects, for the files. egress: the bytes, of
    those moved, that leave the location of the source. notes: what else a person should know, in sentences.
    """

    copied: bool
    source: str
    target: str
    runs: tuple[CopiedRun, ...]
    requests: int = 0
    egress: int = 0
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> int:
        """The files that were moved, or would be."""
        return sum(run.moved_files for run in self.runs)

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return sum(run.moved_bytes for run in self.runs)

    @property
    def not_copied(self) -> list[CopiedRun]:
        """The runs that cannot be copied."""
        return [run for run in self.runs if run.state == "not copied"]


# https://cloud.google.com/storage/docs/storage-classes
STORAGE_CLASSES = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")
RULES = tuple(name for name in RETENTION if name.startswith("keep_"))
COPY = "copy"


class Request(NamedTuple):
    """target: where to. runs: by name; none: see policy and every, else the published run.

    policy: copy the runs that it keeps. every: all complete runs. storage_class: of the files there, "" for that of the
    bucket. digests: read files whose bytes pass inside the service, for their SHA-256. dry: only look.
    """

    target: Target
    runs: tuple[str, ...] = ()
    policy: Policy = Policy()
    every: bool = False
    storage_class: str = ""
    digests: bool = False
    dry: bool = False


def requested_copy(
    settings: Settings,
    dest: str,
    runs: Sequence[str],
    rules: Collection[str],
    *,
    every: bool,
    storage_class: str,
    digests: bool,
    dry: bool,
) -> Request:
    """The request. rules: the names of the arguments that are rules of retention. Raises UsageError."""
    try:
        target = parse_target(dest)
        names = tuple(dict.fromkeys(map(run_id, runs)))
    except ValueError as error:
        raise UsageError(COPY, repr(dest), str(error)) from None
    if not target:
        raise UsageError(COPY, repr(dest), "it names no place", f"Use {EXPECTED}.")
    chosen = [*(["runs by name"] if names else []), *(["all runs"] if every else []), *(["a policy"] if rules else [])]
    if len(chosen) > 1:
        raise UsageError(COPY, "", f"{listed(chosen, 'and')} were given", "Use one of them.")
    if storage_class and storage_class.upper() not in STORAGE_CLASSES:
        cause = f"unknown storage class {storage_class!r}; expected {listed(STORAGE_CLASSES)}"
        raise UsageError(COPY, "", cause)
    if storage_class and target.scheme != BUCKET:
        raise UsageError(COPY, str(target), "a storage class is for buckets of Cloud Storage only", "Leave it out.")
    policy = _policy(settings, rules) if rules else Policy()
    return Request(target, names, policy, every, storage_class.upper(), digests, dry)


def _policy(settings: Settings, rules: Collection[str]) -> Policy:
    """Of the rules that were given for this copy: those in a file are of the source."""
    none = {field.name: field.default for field in msgspec.structs.fields(Settings) if field.name in RULES}
    given = {name: getattr(settings, name) for name in rules}
    return policy_of(msgspec.structs.replace(settings, **(none | given)))
