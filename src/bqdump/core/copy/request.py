"""What a copy was asked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from bqdump.core.errors import UsageError
from bqdump.core.retention.policy import Policy, policy_of
from bqdump.core.settings.settings import RETENTION, Settings
from bqdump.core.settings.target import BUCKET, Target, parse_target
from bqdump.core.settings.values import run_id
from bqdump.core.sizes import listed

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
        raise UsageError(COPY, repr(dest), "it names no place", "Use gs://BUCKET/PREFIX or a folder.")
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
