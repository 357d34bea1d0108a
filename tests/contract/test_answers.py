"""Every request of an export is answered in every possible way, and the export completes with the same result."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import BqdumpError
from contract.stacks import Stack, serve_stack

TIMES = itertools.count()
OPERATIONS = (
    "bigquery.datasets.get", "bigquery.jobs.query", "bigquery.tables.list", "bigquery.tables.get",
    "bigquery.rowAccessPolicies.list", "bigquery.routines.list", "bigquery.models.list",
    "bigquery.jobs.insert", "bigquery.jobs.list", "bigquery.jobs.get",
    "bigquery.storage.createReadSession", "bigquery.storage.readRows", "storage.buckets.get", "storage.objects.get",
    "storage.objects.insert", "storage.objects.list", "storage.batch", "storage.objects.patch", "storage.objects.copy",
    "storage.objects.delete",
)  # fmt: skip
# These change something, or answer piece by piece. To all others, an error is the same before and after the work.
CHANGING = (
    "bigquery.jobs.query", "bigquery.jobs.insert", "bigquery.storage.createReadSession", "bigquery.storage.readRows",
    "storage.objects.insert", "storage.batch", "storage.objects.patch", "storage.objects.copy",
    "storage.objects.delete",
)  # fmt: skip
PASSING: tuple[tuple[int | str, str], ...] = (
    (408, ""), (429, ""), (500, ""), (502, ""), (503, ""), (504, ""), (403, "rateLimitExceeded"),
    (403, "userRateLimitExceeded"), (400, "backendError"), ("reset", ""), ("close", ""),
)  # fmt: skip
SPOILED = ("reset-body", "close-body")
LASTING: tuple[tuple[int, str], ...] = (
    (400, "invalid"), (401, "authError"), (403, "accessDenied"), (403, "quotaExceeded"), (404, "notFound"),
    (409, "duplicate"), (412, "conditionNotMet"), (413, "uploadTooLarge"), (501, "notImplemented"),
)  # fmt: skip
# Of these it could matter to an export that they came after all, and these some operations expect. The others are
# refusals like 400, and cost time to try: each operation meets one of them in turn.
CARRIED_OUT = (403, 404, 409, 412)
REFUSALS = tuple(one for one in LASTING if one[0] not in CARRIED_OUT or one[1] == "quotaExceeded")
# A job's state is asked for by its id only where the answer to its request was lost.
ACCEPTED = {"at": "accepted", "table": "^one@", "reason": "backendError", "times": 1}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with serve_stack() as served:
        yield served


@pytest.fixture(scope="module")
def wanted(stack: Stack) -> dict[str, Any]:
    """The result of an export without faults."""
    stack.faults()
    settings = stack.settings("undisturbed")
    assert stack.export(settings, "undisturbed").state == "published"
    return content(stack.manifest(settings))


def content(manifest: Manifest) -> dict[str, Any]:
    """The content of an export, without what differs between runs."""
    prefix = manifest.settings["prefix"]
    return {
        entry.table: (entry.route, entry.rows, [(f.name.removeprefix(prefix), f.size, f.crc32c) for f in entry.files])
        for entry in manifest.tables
    }


def rule(operation: str, status: int | str, reason: str = "", *, after: bool = False) -> dict[str, Any]:
    return {"operation": f"{operation}$", "status": status, "reason": reason, "after": after, "times": 1}


def test_the_operations_under_test_are_those_of_an_export(stack: Stack) -> None:
    stack.faults()
    stack.jobs(ACCEPTED)
    stack.counts()
    name = f"run{next(TIMES)}"
    stack.export(stack.settings(name), name)
    stack.export(stack.settings(name), f"{name}again")
    assert {name.removesuffix(" in a batch") for name in stack.counts()} == set(OPERATIONS)


@pytest.mark.parametrize(
    ("operation", "after"),
    [*((name, False) for name in CHANGING), *((name, True) for name in OPERATIONS)],
    ids=lambda value: value if isinstance(value, str) else ("carried out" if value else "not carried out"),
)
def test_temporary_errors_do_not_change_the_result(
    stack: Stack, wanted: dict[str, Any], operation: str, after: bool
) -> None:
    name = f"run{next(TIMES)}"
    ways = [*PASSING, *((way, "") for way in SPOILED if after)]
    if operation.startswith("bigquery.storage."):
        # gRPC has no reasons in addition to its statuses.
        ways = [(status, reason) for status, reason in ways if not reason]
    stack.jobs(ACCEPTED)
    stack.faults(*(rule(operation, *way, after=after) for way in ways))
    settings = stack.settings(name)
    assert stack.export(settings, name).state == "published"
    assert stack.left() == []
    assert content(stack.manifest(settings)) == wanted


def ends_published(stack: Stack, wanted: dict[str, Any], name: str) -> bool:
    """Start or resume a run. An error may end it; if it is published, it must be complete."""
    settings = stack.settings(name)
    # Some of the errors are regular answers, such as a failed precondition.
    with suppress(BqdumpError):
        assert stack.export(settings, name, f"{name}start{next(TIMES)}").state == "published"
        assert content(stack.manifest(settings)) == wanted
        return True
    return False


@pytest.mark.parametrize("operation", OPERATIONS)
def test_after_permanent_errors_the_run_can_be_resumed(stack: Stack, wanted: dict[str, Any], operation: str) -> None:
    """Each start resumes what the error before it has left, as far as the operation, and there meets the next error."""
    name = ""
    others = [one for one in LASTING if one not in REFUSALS]
    for status, reason in (REFUSALS[OPERATIONS.index(operation) % len(REFUSALS)], *others):
        stack.jobs(ACCEPTED)
        stack.faults(rule(operation, status, reason))
        resumed, name = bool(name), name or f"run{next(TIMES)}"
        published = ends_published(stack, wanted, name)
        if resumed and stack.left():
            # The run before had that operation behind it.
            assert published
            name = f"run{next(TIMES)}"
            published = ends_published(stack, wanted, name)
        assert stack.left() == []
        name = "" if published else name
    assert not name or ends_published(stack, wanted, name)


@pytest.mark.parametrize("operation", CHANGING)
def test_after_an_error_of_what_was_carried_out_the_run_can_be_resumed(
    stack: Stack, wanted: dict[str, Any], operation: str
) -> None:
    for status, reason in LASTING:
        if status not in CARRIED_OUT:
            continue
        name = f"run{next(TIMES)}"
        stack.jobs(ACCEPTED)
        stack.faults(rule(operation, status, reason, after=True))
        ends_published(stack, wanted, name)
        assert stack.left() == []
        assert ends_published(stack, wanted, name)
