"""A check of the services: verdicts, what it creates and deletes, and what it publishes of names."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.errors import (
    BqdumpError,
    DeniedError,
    JobFailedError,
    NotFoundError,
    OutageError,
    UsageError,
)
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset
from bqdump.ports.store import BucketInfo
from bqdump_claims.claim import Claim, Observed
from bqdump_claims.claims import CLAIMS, MODULES
from bqdump_claims.result import NotTriedError, ServiceCheck, TriedClaim, Verdict
from bqdump_claims.run import LEAST_BILLED, Ports, bill, check_service, chosen, propose
from bqdump_claims.scratch import Scratch
from bqdump_memory.destination import MemoryDestination

Observe = Callable[[Scratch], Awaitable[Observed]]
SETTINGS = Settings(project="my-project", dataset="", target=Target("gs", "memory", "some/"))


def _no_read_route() -> NoReturn:
    raise UsageError("read tables", "route read", "polars is not installed")


class TriedService:
    """A store and a destination in memory, and a clock that moves with every look."""

    def __init__(self) -> None:
        self.time = 1_700_000_000_000
        self.store = MemoryStore()
        self.big = MemoryDestination(self.store, self.clock)

    def clock(self) -> int:
        self.time += 2
        return self.time

    @property
    def ports(self) -> Ports:
        return Ports(self.big, self.store, _no_read_route, google=False)

    async def check(
        self, *claims: Claim, settings: Settings = SETTINGS, tell: Callable[[TriedClaim], None] = lambda _: None
    ) -> ServiceCheck:
        return await check_service(self.ports, await propose(self.ports, settings, claims), tell)


def claim(observe: Observe, expected: Observed | None = None, id_: str = "some.claim", **fields: Any) -> Claim:
    return Claim(
        id_,
        sentence="it is so",
        page="formats.md",
        expected={"answer": "yes"} if expected is None else expected,
        observe=observe,
        **fields,
    )


def answering(**observed: str) -> Observe:
    async def observe(_: Scratch) -> Observed:
        return observed

    return observe


def raising(error: Exception) -> Observe:
    async def observe(_: Scratch) -> Observed:
        raise error

    return observe


FAILED = JobFailedError("run", "job 7", "invalid: no RANGE in Avro")
VERDICTS: Sequence[tuple[Claim, Verdict]] = (
    (claim(answering(answer="yes", evidence="much")), Verdict.CONFIRMED),
    (claim(answering(answer="no")), Verdict.DIFFERENT),
    (claim(answering()), Verdict.DIFFERENT),
    (claim(answering(answer="whatever"), {}), Verdict.OBSERVED),
    (claim(raising(FAILED)), Verdict.DIFFERENT),
    (claim(raising(FAILED), {}), Verdict.OBSERVED),
    (claim(raising(IndexError("list index out of range"))), Verdict.DIFFERENT),
    (claim(raising(DeniedError("list", "policies", "no permission"))), Verdict.NOT_TRIED),
    (claim(raising(OutageError("query", "table t", "no answer"))), Verdict.NOT_TRIED),
    (claim(raising(NotTriedError("no key is given"))), Verdict.NOT_TRIED),
)


@pytest.mark.parametrize(("one", "verdict"), VERDICTS)
def test_a_claim_is_compared_with_what_is_observed(one: Claim, verdict: Verdict) -> None:
    found = asyncio.run(TriedService().check(one)).claims[0]
    assert found.verdict is verdict
    assert bool(found.why) == (verdict is Verdict.NOT_TRIED)


def test_what_fails_is_about_one_claim() -> None:
    reported: list[TriedClaim] = []
    claims = [one._replace(id=f"some.{n}") for n, (one, _) in enumerate(VERDICTS)]
    found = asyncio.run(TriedService().check(*claims, tell=reported.append))
    assert [one.id for one in found.claims] == [one.id for one in claims]
    assert sorted(one.id for one in reported) == sorted(one.id for one in claims)
    assert found.claims[4].observed == {"error": "invalid: no RANGE in Avro"}
    assert found.claims[6].observed == {"error": "cannot be interpreted: IndexError: list index out of range"}
    assert found.claims[7].why == "no permission"


async def _leave_much(scratch: Scratch) -> Observed:
    assert msgspec.json.decode(await _resource(scratch))["defaultTableExpirationMs"] == "86400000"
    await scratch.put(f"{scratch.place.folder}mine.json", b"{}")
    await scratch.begin(scratch.destination.create_table(scratch.dataset, "t", msgspec.Raw(b"{}")))
    await scratch.extract("t", "csv")
    return {"answer": "yes"}


async def _resource(scratch: Scratch) -> msgspec.Raw:
    found = await scratch.destination.find_dataset(scratch.dataset.project, scratch.dataset.name)
    assert found
    return found


def test_only_what_the_check_made_is_deleted() -> None:
    world = TriedService()
    world.big.put("my-project", "bqdump_check_other", "t", ["1"])
    others = ["some/_bqdump-check/other/a.json", "some/_bqdump/latest.json"]
    for name in others:
        asyncio.run(world.store.write(name, b"{}", 0))
    found = asyncio.run(world.check(claim(_leave_much)))
    assert [one.verdict for one in found.claims] == [Verdict.CONFIRMED]
    assert list(world.big.datasets) == [("my-project", "bqdump_check_other")]
    assert world.store.names_now() == sorted(others)
    assert found.left == 0


def test_checks_at_the_same_time_have_nothing_in_common() -> None:
    world = TriedService()

    async def both() -> Sequence[ServiceCheck]:
        return await asyncio.gather(world.check(claim(_leave_much)), world.check(claim(_leave_much)))

    assert [one.claims[0].verdict for one in asyncio.run(both())] == [Verdict.CONFIRMED] * 2
    assert world.big.datasets == {}


def test_a_job_that_was_started_before_the_end_leaves_nothing() -> None:
    """The files of a job appear at its end, after the check was cancelled."""
    world = TriedService()
    world.big.seconds = lambda _: 30.0

    async def cancelled() -> None:
        work = asyncio.ensure_future(world.check(claim(_leave_much)))
        while not world.big.extracted:
            await asyncio.sleep(0.01)
        work.cancel()
        await work

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert len(world.big.extracted) == 1
    assert world.store.names_now() == []
    assert world.big.datasets == {}


def test_a_check_that_is_cancelled_while_its_dataset_is_created_leaves_nothing() -> None:
    class Slow(MemoryDestination):
        async def create_dataset(self, project: str, name: str, definition: msgspec.Raw) -> bool:
            await asyncio.sleep(1)
            return await super().create_dataset(project, name, definition)

    world = TriedService()
    world.big = Slow(world.store, world.clock)

    async def cancelled() -> None:
        work = asyncio.ensure_future(world.check(claim(_leave_much)))
        await asyncio.sleep(0.5)
        work.cancel()
        await work

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert world.big.datasets == {}


@pytest.mark.parametrize(
    "error", [DeniedError("create", "dataset", "no permission"), NotFoundError("create", "d", "no")]
)
def test_where_no_dataset_can_be_created_nothing_is_tried_and_nothing_dropped(
    error: BqdumpError, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing(MemoryDestination):
        async def create_dataset(self, project: str, name: str, definition: msgspec.Raw) -> bool:
            raise error

        async def drop_dataset(self, dataset: Dataset) -> None:
            raise AssertionError("there is none")

    world = TriedService()
    world.big = Refusing(world.store, world.clock)
    with pytest.raises(type(error)):
        asyncio.run(world.check(claim(_leave_much)))
    assert caplog.records == []


def test_what_cannot_be_deleted_is_named_with_the_command_that_does(caplog: pytest.LogCaptureFixture) -> None:
    class Keeping(MemoryDestination):
        async def drop_dataset(self, dataset: Dataset) -> None:
            raise DeniedError("delete", "dataset", "no permission")

    class Full(MemoryStore):
        async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
            return [DeniedError("delete", name, "no permission") for name, _ in objects]

    world = TriedService()
    world.store = Full()
    world.big = Keeping(world.store, world.clock)
    with caplog.at_level(logging.WARNING):
        found = asyncio.run(world.check(claim(_leave_much)))
    (_, name), folder = next(iter(world.big.datasets)), world.store.names_now()[0].partition("/extract")[0]
    assert found.left == 2
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [
        f"bq rm -r -f -d my-project:{name}",
        f"gcloud storage rm --recursive gs://memory/{folder}/",
    ]
    assert [vars(record)["event"] for record in caplog.records] == [LogEvent.CHECK_SCRATCH_LEFT] * 2


def test_the_result_names_no_project_bucket_or_dataset() -> None:
    async def observe(scratch: Scratch) -> Observed:
        place = f"{scratch.dataset.project}.{scratch.dataset.name} in {scratch.store.url}"
        return {"answer": place}

    world = TriedService()
    denied = claim(raising(DeniedError("get", "t", "robot@other.iam.gserviceaccount.com may not see my-project:d.t")))
    found = asyncio.run(world.check(claim(observe), denied))
    assert found.claims[0].observed == {"answer": "PROJECT.bqdump_check_NAME in gs://BUCKET"}
    assert found.claims[1].why == "ACCOUNT may not see PROJECT:d.t"


@pytest.mark.parametrize(
    ("bucket", "given", "expected"),
    [("EU", "", "EU"), ("EUR4", "", "EU"), ("NAM4", "us", "US"), ("EUROPE-WEST1", "EUROPE-west1", "europe-west1")],
)
def test_the_dataset_is_in_the_location_of_the_bucket(bucket: str, given: str, expected: str) -> None:
    world = TriedService()
    world.store.bucket = BucketInfo(bucket, 0, 0)
    settings = msgspec.structs.replace(SETTINGS, location=given)
    assert asyncio.run(world.check(settings=settings)).location == expected


def test_a_dataset_elsewhere_than_the_bucket_is_refused() -> None:
    settings = msgspec.structs.replace(SETTINGS, location="EU")
    with pytest.raises(UsageError, match="gs://memory is in US, and load jobs need a dataset in the same location"):
        asyncio.run(TriedService().check(settings=settings))


def test_without_permission_to_see_the_bucket_the_location_is_required() -> None:
    class Hidden(MemoryStore):
        async def describe(self) -> BucketInfo:
            raise DeniedError("see", "gs://memory", "storage.buckets.get denied")

    world = TriedService()
    world.store = Hidden()
    with pytest.raises(UsageError, match=r"Grant storage\.buckets\.get, or set location"):
        asyncio.run(world.check())
    settings = msgspec.structs.replace(SETTINGS, location="EU")
    assert asyncio.run(world.check(settings=settings)).location == "EU"


@pytest.mark.parametrize("bucket", [BucketInfo("US", 60, 0), BucketInfo("US", 0, 0, holds=True)])
def test_a_bucket_whose_objects_cannot_be_deleted_is_refused(bucket: BucketInfo) -> None:
    world = TriedService()
    world.store.bucket = bucket
    with pytest.raises(UsageError, match="Use a bucket without"):
        asyncio.run(world.check())


def test_a_folder_is_refused() -> None:
    settings = msgspec.structs.replace(SETTINGS, target=Target("file", "/tmp/x"))
    with pytest.raises(UsageError, match="BigQuery writes to Cloud Storage only"):
        asyncio.run(TriedService().check(settings=settings))


def test_the_bill_counts_what_claims_share_once() -> None:
    claims = [claim(answering(), reads=reads) for reads in ({"a": 1}, {"a": 1}, {"b": 2}, {})]
    assert bill(claims) == 3 * LEAST_BILLED


def test_claims_are_chosen_by_patterns() -> None:
    assert {one.subject for one in chosen(["csv.*", "empty.avro.*"])} == {"csv", "empty"}
    assert chosen([]) == CLAIMS
    with pytest.raises(UsageError, match=r"claims 'cvs': no claim has such an id. Use some of 'csv\.\*'"):
        chosen(["csv.*", "cvs"])


def test_every_claim_has_an_id_of_its_own() -> None:
    assert len({one.id for one in CLAIMS}) == len(CLAIMS)
    assert sum(len(module.CLAIMS) for module in MODULES) == len(CLAIMS)


def test_claims_share_a_query_of_the_clock_which_is_later_than_all_that_they_did_before() -> None:
    async def observe(scratch: Scratch) -> Observed:
        before = await scratch.destination.now(scratch.dataset.location)
        together = await asyncio.gather(*(scratch.now() for _ in range(20)))
        later = await scratch.now()
        return {"answer": "yes" if before < together[0] < later and len(set(together)) == 1 else "no"}

    assert asyncio.run(TriedService().check(claim(observe))).claims[0].verdict is Verdict.CONFIRMED


@pytest.mark.usefixtures("no_waiting")
def test_rows_are_streamed_once_the_new_table_is_known() -> None:
    tries = list[str]()

    async def stream(_: Dataset, table: str, rows: Sequence[Mapping[str, str]]) -> None:
        tries.append(table)
        if len(tries) < 3:
            raise NotFoundError("stream into", f"table {table}", "not found")

    async def observe(scratch: Scratch) -> Observed:
        await scratch.stream("new", [{"n": "1"}])
        return {"answer": "yes"}

    async def verdict(ports: Ports) -> Verdict:
        found = await check_service(ports, await propose(ports, SETTINGS, (claim(observe),)))
        return found.claims[0].verdict

    ports = TriedService().ports
    assert asyncio.run(verdict(ports._replace(stream=stream))) is Verdict.CONFIRMED
    assert tries == ["new"] * 3
    assert asyncio.run(verdict(ports)) is Verdict.NOT_TRIED
