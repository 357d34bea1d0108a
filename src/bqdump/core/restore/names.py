"""Names that a restore makes: its id, its jobs, its scratch tables, and the label of the tables that are in progress.

A repeated start makes the same names, so it finds what an earlier one has begun.
Sources: https://cloud.google.com/bigquery/docs/running-jobs#generate-jobid, https://cloud.google.com/bigquery/docs/tables,
https://cloud.google.com/bigquery/docs/labels-intro#requirements
"""

from __future__ import annotations

import hashlib
import re

import msgspec

# The label of a table until it is finished. Its value is the mark of the restore.
LABEL = "bqdump_restore"
SCRATCH = "bqdump_scratch_"
_ID = re.compile(r"[0-9a-f]{12}-[0-9]{1,9}")


def digest(*what: object) -> str:
    """12 hex digits that stand for what is restored: the run, the generation of its manifest, the options."""
    return hashlib.sha256(msgspec.json.encode(what, order="deterministic")).hexdigest()[:12]


def restore_id(what: str, number: int) -> str:
    """The id of the n-th restore of what has this digest; also the value of a label."""
    made = f"{what}-{number}"
    if not _ID.fullmatch(made):
        raise ValueError(f"invalid restore id {made!r}")
    return made


def mark_of(restore: str, nonce: str) -> str:
    """What the jobs, the scratch tables and the labels of a restore carry.

    Ids count the restores whose documents are in one place, so another place has the same ones, and so has this one
    once its documents are deleted. nonce: "" for a restore of a release that gave none.
    """
    return f"{restore}-{nonce}" if nonce else restore


def id_of(mark: str) -> str:
    """The id of the restore with this mark."""
    return "-".join(mark.split("-")[:2])


def job_id(restore: str, table: int, step: str, part: int, attempt: int) -> str:
    """The id of a job. restore: its mark. table: its number in the plan. step: such as "load", and a part of it."""
    return f"bqdump-restore-{restore}-{table}-{step}-{part}-{attempt}"


def scratch_name(restore: str, table: int) -> str:
    """The name of the scratch table for a table of the plan."""
    return f"{SCRATCH}{restore.replace('-', '_')}_{table}"


def is_scratch(name: str) -> bool:
    """Whether a table is the scratch table of a restore."""
    return name.startswith(SCRATCH)
