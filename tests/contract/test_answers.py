"""Every request of an export is answered in every possible way, and the export completes with the same result."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from bqdump.adapters.gcs.store import CloudStore
from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import BqdumpError, TargetError
from contract.stacks import BUCKET, QUICK, Stack, serve_stack
from local.bigquery_server import PROJECT

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
SPOILED = ("reset-body", "close-body", "empty")
LASTING: tuple[tuple[int, str], ...] = (
    (400, "invalid"), (401, "authError"), (403, "accessDenied"), (403, "quotaExceeded"), (404, "notFound"),
    (409, "duplicate"), (412, "conditionNotMet"), (413, "uploadTooLarge"), (501, "notImplemented"),
)  # fmt: skip
# Of these it could matter to an export that they came after all, and these some operations expect. The others are
# refusals like 400, and cost time to try: each operation meets one of them in turn.
CARRIED_OUT = (403, 404, 409, 412)
REFUSALS = tuple(one for one in LASTING if one[0] not in CARRIED_OUT or one[1] == "quotaExceeded")
PERMANENT = {
    "a refusal": dict(zip(OPERATIONS, itertools.cycle(REFUSALS), strict=False)),
    **{" ".join(map(str, one)): dict.fromkeys(OPERATIONS, one) for one in LASTING if one not in REFUSALS},
}
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
    asked = set[str]()
    for number in range(10):
        # A job that is done before its first state is asked for needs no listing.
        stack.export(stack.settings(name), f"{name}again{number}")
        asked |= {operation.removesuffix(" in a batch") for operation in stack.counts()}
        if "bigquery.jobs.list" in asked:
            break
    assert asked == set(OPERATIONS)


@pytest.mark.parametrize("after", [False, True], ids=["not carried out", "carried out"])
def test_temporary_errors_do_not_change_the_result(stack: Stack, wanted: dict[str, Any], after: bool) -> None:
    """Each operation is answered with every error, one after the other.

    A job that is done before its first state is asked for leaves the errors of listings to the next run.
    """
    ways = [*PASSING, *((way, "") for way in SPOILED if after)]
    stack.jobs(ACCEPTED)
    stack.faults(
        *(
            rule(operation, *way, after=after)
            for operation in (OPERATIONS if after else CHANGING)
            for way in ways
            # gRPC has no reasons in addition to its statuses, and no answers without a message.
            if not (operation.startswith("bigquery.storage.") and (way[1] or way[0] == "empty"))
        )
    )
    for _ in range(10):
        name = f"run{next(TIMES)}"
        settings = stack.settings(name)
        assert stack.export(settings, name).state == "published"
        assert content(stack.manifest(settings)) == wanted
        left = stack.left()
        if not left:
            break
        assert {rule["operation"] for rule in left} == {"bigquery.jobs.list$"}
    assert left == []


def resume_through(stack: Stack, wanted: dict[str, Any], faults: list[dict[str, Any]]) -> None:
    """Meet one fault of each operation. A start that one of them ends is resumed, and goes on to the next.

    A run that is published must be complete. Faults of operations that it had behind it are left for the next run.
    """
    assert faults
    while faults:
        name, published, met = f"run{next(TIMES)}", False, 0
        settings = stack.settings(name)
        while not published:
            stack.jobs(ACCEPTED)
            stack.faults(*faults)
            # Some of the errors are regular answers, such as a failed precondition.
            with suppress(BqdumpError):
                assert stack.export(settings, name, f"{name}start{next(TIMES)}").state == "published"
                published = True
            left = stack.left()
            assert published or len(left) < len(faults)
            met, faults = met + len(faults) - len(left), left
        assert content(stack.manifest(settings)) == wanted
        assert met


@pytest.mark.parametrize("errors", PERMANENT.values(), ids=list(PERMANENT))
def test_after_permanent_errors_the_run_can_be_resumed(
    stack: Stack, wanted: dict[str, Any], errors: dict[str, tuple[int, str]]
) -> None:
    resume_through(stack, wanted, [rule(operation, *error) for operation, error in errors.items()])


@pytest.mark.parametrize(("status", "reason"), [one for one in LASTING if one[0] in CARRIED_OUT])
def test_after_an_error_of_what_was_carried_out_the_run_can_be_resumed(
    stack: Stack, wanted: dict[str, Any], status: int, reason: str
) -> None:
    resume_through(stack, wanted, [rule(operation, status, reason, after=True) for operation in CHANGING])


REFUSED = r"Whoever administers the policies of the organization can allow it\."


def test_a_refusal_by_a_policy_is_not_taken_for_another_writer(stack: Stack) -> None:
    def policy(operation: str) -> dict[str, Any]:
        return rule(operation, 412, "orgPolicyConstraintFailed") | {"times": 10_000}

    async def deleted() -> list[bool | BqdumpError]:
        store = CloudStore(BUCKET, PROJECT, patience=QUICK)
        try:
            generation = await store.write("refused", b"x", 0)
            stack.faults(policy("storage.objects.delete"))
            return await store.delete([("refused", generation)])
        finally:
            await store.close()

    name = f"run{next(TIMES)}"
    stack.faults(policy("storage.objects.insert"))
    with pytest.raises(TargetError, match=REFUSED):
        stack.export(stack.settings(name), name)
    stack.faults()
    (result,) = asyncio.run(deleted())
    stack.faults()
    assert isinstance(result, TargetError)
