"""A check of the services on the local stack: it passes, finds what deviates, and leaves nothing."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

import bqdump
from bqdump.core.tables.catalog import Dataset, Table
from bqdump.ports.store import ObjectInfo, Stored
from bqdump.ports.warehouse import Job
from bqdump.services.opened import Services, serve
from bqdump.verbs import ports_of
from bqdump_claims.result import ServiceCheck, Verdict
from bqdump_claims.run import check_service, chosen, propose
from integration.stage import Stage, until

COMMAND = (sys.executable, "-m", "bqdump", "check-service")
# What bqdump relies on no answer for.
OPEN = {"direct.json.INTERVAL", "direct.json.RANGE", "direct.avro.DATETIME", "direct.avro.INTERVAL",
        "direct.json.defaults", "direct.csv.required", "partitions.snapshot", "streaming.extract",
        "streaming.query"}  # fmt: skip


def scratch(stage: Stage) -> list[str]:
    return [one.dataset_id for one in stage.big.list_datasets() if one.dataset_id.startswith("bqdump_check_")]


def test_the_local_stack_does_what_every_claim_says(stage: Stage, tmp_path: Path) -> None:
    stage.upload("foreign.csv")
    stage.stack.jobs(shard_bytes=40_000)
    file = tmp_path / "found.json"
    done = subprocess.run([*COMMAND, "--yes", "--json", "--output", str(file)], env=stage.variables, cwd=stage.folder,
                          text=True, capture_output=True, check=False)  # fmt: skip
    found = json.loads(done.stdout)
    by_verdict = {one.value: {each["id"] for each in found["claims"] if each["verdict"] == one} for one in Verdict}
    assert {one["id"]: one["observed"] for one in found["claims"] if one["verdict"] == "different"} == {}
    not_tried = {"objects.key", "locks.held", "locks.extended"}
    assert (done.returncode, by_verdict["observed"], by_verdict["not tried"]) == (0, OPEN, not_tried)
    assert len(by_verdict["confirmed"]) > 250
    assert (found["google"], json.loads(file.read_text())) == (False, found)
    assert not any(name in done.stdout for name in (stage.project, stage.bucket))
    assert (scratch(stage), list(stage.objects())) == ([], ["foreign.csv"])
    billed = sum(job.total_bytes_billed or 0 for job in stage.big.list_jobs() if job.job_type == "query")
    assert 0 < billed <= found["expected_bytes_billed"]


class Deviating:
    """A port of which some answers are others."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


class Rewriting(Deviating):
    """A store whose files have other bytes."""

    def __init__(self, port: Any, old: bytes, new: bytes) -> None:
        super().__init__(port)
        self._old, self._new = old, new

    async def read(self, name: str) -> Stored:
        found = await self._port.read(name)
        return Stored(found.data.replace(self._old, self._new), found.generation)


class Headless(Deviating):
    """A store in which the second file of an export has no header."""

    async def read(self, name: str) -> Stored:
        found: Stored = await self._port.read(name)
        return found._replace(data=gzip.compress(b"1,x\n")) if name.endswith("_000000000001.csv") else found


class Clockless(Deviating):
    """A store in which each generation is smaller than the one before."""

    async def stat(self, name: str) -> ObjectInfo | None:
        found: ObjectInfo | None = await self._port.stat(name)
        return found and found._replace(generation=2**62 - found.generation)

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        generation: int = await self._port.write(name, data, 2**62 - expect if expect else expect)
        return generation


class Unlocked(Deviating):
    """A store in which locks are answered, and hold nothing."""

    async def extend(self, objects: Sequence[tuple[str, int]], until: int) -> list[bool]:
        return [True for _ in objects]


class Unfiltered(Deviating):
    """A warehouse that reports no row policies, no buffer or staleness, one time of change, and old jobs first."""

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        found: Table | None = await self._port.table(dataset, name)
        if found is None:
            return None
        fields = msgspec.json.decode(found.definition) | {"lastModifiedTime": "1"}
        kept = {key: value for key, value in fields.items() if key not in ("streamingBuffer", "maxStaleness")}
        return msgspec.structs.replace(found, definition=msgspec.Raw(msgspec.json.encode(kept)))

    async def job(self, job_id: str, location: str) -> Job:
        found: Job = await self._port.job(job_id, location)
        return replace(found, row_policies=False)

    async def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        pages = [job async for page in self._port.jobs(since) for job in page]
        yield pages[::-1]


def checked(
    stage: Stage, patterns: Sequence[str], store: Any = Deviating, big: Any = Deviating, **given: Any
) -> ServiceCheck:
    """Try claims in this process, on ports that deviate."""
    settings = stage.settings(**given)

    async def check(services: Services) -> ServiceCheck:
        ports = ports_of(services)
        deviating = ports._replace(store=store(ports.store), destination=big(ports.destination))
        return await check_service(deviating, await propose(deviating, settings, chosen(patterns)))

    return asyncio.run(serve(settings, check))


def different(answers: ServiceCheck) -> list[str]:
    return [one.id for one in answers.by_verdict(Verdict.DIFFERENT)]


@pytest.mark.parametrize(
    ("old", "new", "claims", "deviating"),
    [
        (b'"say ""x"""', b'"say \\"x\\""', ["csv.STRING.*"], ["csv.STRING.extract", "csv.STRING.query"]),
        (b"Infinity", b"inf", ["csv.FLOAT64.extract", "json.FLOAT64.query"],
         ["csv.FLOAT64.extract", "json.FLOAT64.query"]),
        (b",,", b',"",', ["csv.BYTES.extract", "csv.DATE.extract"], ["csv.BYTES.extract"]),
        (b'"sqlType": "JSON"', b'"sqlTypo": "JSON"', ["avro.JSON.extract", "avro.GEOGRAPHY.extract"],
         ["avro.JSON.extract"]),
        (b"\x18\x03geo", b"\x18\x03gea", ["parquet.GEOGRAPHY.query", "parquet.BIGNUMERIC.query"],
         ["parquet.GEOGRAPHY.query"]),
        (b'"n"', b'"m"', ["json.TIME.extract"], ["json.TIME.extract"]),
    ],
    ids=["quotes", "infinity", "empty bytes", "sqlType", "GeoParquet", "not as expected at all"],
)  # fmt: skip
def test_files_in_another_form_are_found(
    stage: Stage, old: bytes, new: bytes, claims: list[str], deviating: list[str]
) -> None:
    assert different(checked(stage, claims, lambda store: Rewriting(store, old, new))) == deviating


def test_a_file_without_a_header_among_others_is_found(stage: Stage) -> None:
    assert [one.why for one in checked(stage, ["jobs.headers.*"]).claims] == ["the job wrote a single file"] * 2
    stage.stack.jobs(shard_bytes=40_000)
    assert different(checked(stage, ["jobs.headers.*"], Headless)) == ["jobs.headers.extract", "jobs.headers.query"]


def test_generations_policies_and_metadata_that_deviate_are_found(stage: Stage) -> None:
    claims = [
        "objects.generations",
        "policies.*",
        "jobs.listing",
        "changes.merge",
        "changes.column",
        "streaming.buffer",
    ]
    found = checked(stage, [*claims, "definitions.staleness"], Clockless, Unfiltered)
    assert different(found) == [
        "policies.extract", "policies.query", "streaming.buffer", "jobs.listing", "changes.merge",
        "definitions.staleness", "objects.generations",
    ]  # fmt: skip
    assert [one.id for one in found.by_verdict(Verdict.CONFIRMED)] == [
        "policies.listing", "policies.view", "changes.column",
    ]  # fmt: skip


@pytest.mark.parametrize(("store", "verdict"), [(Deviating, Verdict.CONFIRMED), (Unlocked, Verdict.DIFFERENT)])
def test_locks_are_tried_in_a_bucket_that_has_them(stage: Stage, store: Any, verdict: Verdict) -> None:
    vault = stage.store.bucket(f"{stage.bucket}-locks")
    vault.create(project=stage.project, enable_object_retention=True)
    found = checked(stage, ["locks.*"], store, bucket=vault.name)
    assert {one.id: one.verdict for one in found.claims} == {"locks.held": verdict, "locks.extended": verdict}
    assert (found.left, list(vault.list_blobs())) == (0, [])


def test_locks_are_not_tried_in_a_bucket_without_them(stage: Stage) -> None:
    (why,) = {one.why for one in checked(stage, ["locks.*"]).claims}
    assert "--enable-per-object-retention" in why


@pytest.mark.parametrize(
    "deviation",
    [
        {"empty_table_files": 0},
        {"bare_empty_files": True},
    ],
)  # fmt: skip
def test_files_without_rows_that_deviate_are_found(stage: Stage, deviation: dict[str, Any]) -> None:
    stage.stack.jobs(**deviation)
    found = stage.command("check-service", "--project", stage.project, "--bucket", stage.bucket, "--yes",
                 "--claims", "empty.csv.*", "--claims", "empty.gzip.*", "--claims", "jobs.gzip.*")  # fmt: skip
    assert found.code == 4
    shown = [line for line in found.out.splitlines() if line.startswith(("different", "confirmed"))]
    assert {line.split()[1] for line in shown if line.startswith("different")} == {
        f"empty.{what}.{route}" for what in ("csv", "gzip") for route in ("extract", "query")
    }
    assert (
        "empty.csv.extract: a table without rows is one csv file without rows (extract) (docs/formats.md" in found.out
    )


def test_a_type_that_is_refused_hides_no_other(stage: Stage) -> None:
    """The table with all types cannot be exported and loaded, nor made to be read: each type is tried by itself."""
    refused = ("values_avro(_NUMERIC)?(@|$)", "values_read(_JSON)?` ")
    stage.stack.jobs(faults=[{"at": "run", "table": table, "reason": "invalid", "times": 99} for table in refused])
    written = [f"{what}.{type_}{route}" for what, route in (("avro", ".extract"), ("loads.avro", ""))
               for type_ in ("NUMERIC", "STRING")]  # fmt: skip
    found = checked(stage, [*written, "csv.JSON.read", "csv.NUMERIC.read"])
    assert different(found) == ["avro.NUMERIC.extract", "csv.JSON.read", "loads.avro.NUMERIC"]
    confirmed = [one.id for one in found.by_verdict(Verdict.CONFIRMED)]
    assert confirmed == ["avro.STRING.extract", "csv.NUMERIC.read", "loads.avro.STRING"]


def test_a_check_that_is_stopped_deletes_what_it_made(stage: Stage) -> None:
    stage.stack.jobs(run_seconds=1)
    running = subprocess.Popen([*COMMAND, "--yes", "--claims", "csv.STRING.*"], env=stage.variables, cwd=stage.folder,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    until(lambda: [job for job in stage.big.list_jobs() if job.job_type == "extract" and job.state != "DONE"], "a job")
    assert scratch(stage)
    running.send_signal(signal.SIGTERM)
    _, message = running.communicate(timeout=300)
    assert running.returncode == 143
    assert "What the check created is deleted, except what a line above names." in message
    assert (scratch(stage), list(stage.objects())) == ([], [])


def test_without_permission_to_create_datasets_nothing_is_made(stage: Stage) -> None:
    stage.deny("bigquery.datasets.create")
    found = stage.command("check-service", "--project", stage.project, "--bucket", stage.bucket, "--yes")
    assert found.code == 5
    (error,) = found.errors
    assert "roles/bigquery.user" in error
    assert (scratch(stage), list(stage.objects())) == ([], [])


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["--bucket", "{bucket}"], 2, "--project"),
        (["--project", "{project}"], 2, "--bucket"),
        (["--project", "{project}", "--bucket", "{bucket}"], 2, "add --yes."),
        (["--project", "{project}", "--bucket", "no-such-bucket", "--yes"], 5, "no-such-bucket"),
        (["--project", "{project}", "--to", "folder", "--yes"], 2, "BigQuery writes to Cloud Storage only"),
        (["--project", "{project}", "--bucket", "{bucket}", "--yes", "--output", "no/such.json"], 2, "no such folder"),
        (["--project", "{project}", "--bucket", "{bucket}", "--yes", "--claims", "cvs.*"], 2, "'csv.*'"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(
    stage: Stage, arguments: list[str], code: int, error: str
) -> None:
    words = (one.format(project=stage.project, bucket=stage.bucket) for one in arguments)
    found = stage.bare("check-service", *words)
    assert found.code == code
    assert error in found.errors[-1]
    assert scratch(stage) == []


def test_python_tries_the_same_claims_without_a_prompt(stage: Stage) -> None:
    found = bqdump.check_service(project=stage.project, bucket=stage.bucket, claims=["definitions.*", "objects.key"])
    assert {one.verdict.value for one in found.claims} == {"confirmed", "not tried"}
    assert {row["id"].partition(".")[0] for row in found.to_dicts()} == {"definitions", "objects"}
    assert (scratch(stage), list(stage.objects())) == ([], [])


def test_no_claim_removes_a_variable_that_threads_of_other_claims_may_be_reading(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object, name: str) -> None:
        raise AssertionError(f"{name} is removed")

    monkeypatch.setenv("CHECK_SERVICE_SALT", "another")
    with monkeypatch.context() as patch:
        patch.setattr(type(os.environ), "__delitem__", refuse)
        found = checked(stage, ["jobs.parameters"])
    assert [one.verdict for one in found.claims] == [Verdict.CONFIRMED]
