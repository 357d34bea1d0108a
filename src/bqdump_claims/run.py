"""The check: make a scratch dataset and prefix, try every claim, and delete what was made, whatever happens."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from bqdump.core.errors import (
    BqdumpError,
    ConflictError,
    DeniedError,
    DocumentError,
    JobFailedError,
    RowsError,
    UsageError,
)
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.tables.catalog import Dataset
from bqdump.core.times import time_of
from bqdump.core.version import VERSION
from bqdump.export.planning.target import refuse_bucket
from bqdump.export.task import ReadRoute
from bqdump.ports.destination import Destination
from bqdump.ports.store import ObjectStore
from bqdump_claims.claim import Claim
from bqdump_claims.claims import CLAIMS
from bqdump_claims.result import NotTriedError, ServiceCheck, TriedClaim, Verdict
from bqdump_claims.scratch import Place, Scratch, Stream, cannot_stream

log = logging.getLogger(__name__)

DATASET, FOLDER = "bqdump_check_", "_bqdump-check/"
# https://cloud.google.com/bigquery/pricing#on_demand_pricing: of each table that a query reads.
LEAST_BILLED = 10 << 20
# A file holds up to 1 GB of rows: https://cloud.google.com/bigquery/docs/exporting-data#limitations
SEVERAL, SEVERAL_LOCALLY = 1_200_000_000, 60_000
CHECK = "check the service"
# BigQuery's location next to a dual-region bucket.
# https://cloud.google.com/bigquery/docs/batch-loading-data#colocation
DUAL_REGIONS = {"ASIA1": "asia-northeast1", "EUR4": "EU", "NAM4": "US"}
MULTI_REGIONS = ("EU", "US")
# Errors that say something about a claim; others only say that it could not be tried.
TELLING = (ConflictError, DocumentError, JobFailedError, RowsError)
LONGEST_TEXT = 500
ACCOUNT = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")


class Ports(NamedTuple):
    """What a check works on.

    open_read_route: see Task.
    google: False where stand-ins answer.
    stream: see Scratch.
    """

    destination: Destination
    store: ObjectStore
    open_read_route: Callable[[], ReadRoute]
    google: bool
    stream: Stream = cannot_stream


class Proposal(NamedTuple):
    """What a check would do.

    place: where.
    bytes_billed: what its queries bill, at most.
    """

    place: Place
    claims: tuple[Claim, ...]
    bytes_billed: int


def chosen(patterns: Sequence[str]) -> tuple[Claim, ...]:
    """The claims whose id matches one of the patterns; all without any. Raises UsageError if one matches nothing."""
    for pattern in patterns:
        if not any(fnmatchcase(claim.id, pattern) for claim in CLAIMS):
            subjects = ", ".join(dict.fromkeys(f"'{claim.subject}.*'" for claim in CLAIMS))
            raise UsageError(
                CHECK, repr(pattern), "no claim has such an id", f"Use some of {subjects}.", setting="claims"
            )
    return tuple(claim for claim in CLAIMS if not patterns or any(fnmatchcase(claim.id, glob) for glob in patterns))


def bill(claims: Sequence[Claim]) -> int:
    """The bytes that the queries of these claims bill, at most."""
    reads: dict[str, int] = {}
    for claim in claims:
        reads |= claim.reads
    return sum(reads.values()) * LEAST_BILLED


async def propose(ports: Ports, settings: Settings, claims: tuple[Claim, ...] = CLAIMS) -> Proposal:
    """Find the location, and choose names that nothing has. Makes nothing.

    Raises UsageError for a bucket that cannot be used, NotFoundError if there is none.
    """
    target = settings.target
    if not target.bucket:
        cause = "BigQuery writes to Cloud Storage only"
        raise UsageError(CHECK, str(target), cause, "Name a bucket: {setting:bucket}.", setting="to")
    location = await _location(ports.store, settings)
    name = secrets.token_hex(8)
    dataset = Dataset(settings.project, f"{DATASET}{name}", location)
    several = SEVERAL if ports.google else SEVERAL_LOCALLY
    place = Place(dataset, target, f"{target.prefix}{FOLDER}{name}/", name, settings.kms_key, several)
    return Proposal(place, claims, bill(claims))


async def _location(store: ObjectStore, settings: Settings) -> str:
    try:
        bucket = await store.describe()
    except DeniedError as error:
        if settings.location:
            return settings.location
        cause = f"its location cannot be read: {error.cause}"
        raise UsageError(CHECK, store.url, cause, "Grant storage.buckets.get, or set {setting:location}.") from None
    refuse_bucket(bucket, store.url)
    place = bucket.location.upper()
    nearby = place if place in MULTI_REGIONS else DUAL_REGIONS.get(place, place.lower())
    if settings.location and settings.location.lower() != nearby.lower():
        cause = f"{store.url} is in {bucket.location}, and load jobs need a dataset in the same location"
        hint = "Leave {setting:location} out, or use another bucket."
        raise UsageError(CHECK, settings.location, cause, hint, setting="location")
    return nearby


async def check_service(
    ports: Ports, proposal: Proposal, tell: Callable[[TriedClaim], None] = lambda _: None
) -> ServiceCheck:
    """Try every claim of a proposal. tell: is called with each one that was tried.

    Raises errors of creating the dataset, such as DeniedError, after which nothing is left.
    """
    place = proposal.place
    began, start = time.time(), time.monotonic()
    scratch = Scratch(ports.destination, ports.store, ports.open_read_route, place, ports.stream)
    tried: list[TriedClaim] = []
    left = 0
    try:
        await scratch.create()
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(_try(claim, scratch, tell)) for claim in proposal.claims]
        tried = [task.result() for task in running]
    finally:
        left = await _clean(scratch)
    return ServiceCheck(
        version=VERSION,
        date=time_of(int(began * 1000)),
        google=ports.google,
        location=place.dataset.location,
        seconds=round(time.monotonic() - start, 1),
        expected_bytes_billed=proposal.bytes_billed,
        claims=tuple(tried),
        left=left,
    )


async def _clean(scratch: Scratch) -> int:
    left = await scratch.clean()
    for table in left:
        log.warning("not deleted: %s", table, extra=LogEvent.CHECK_SCRATCH_LEFT.extra())
    return len(left)


async def _try(claim: Claim, scratch: Scratch, tell: Callable[[TriedClaim], None]) -> TriedClaim:
    """Try a claim. Whatever fails is a finding about this claim, and no other."""
    observed: Mapping[str, str] = {}
    why = ""
    try:
        observed = await claim.observe(scratch)
    except NotTriedError as error:
        why = str(error)
    except TELLING as error:
        observed = {"error": error.cause}
    except BqdumpError as error:
        why = f"{error.cause} {error.hint}".strip()
    except Exception as error:
        # A service may answer with anything.
        observed = {"error": f"cannot be interpreted: {type(error).__name__}: {error}"}
    hide = _Hidden(scratch.place)
    tried = TriedClaim(
        id=claim.id,
        verdict=verdict(claim, observed, why),
        claim=claim.sentence,
        page=claim.page,
        expected=dict(claim.expected),
        observed={word: hide(text) for word, text in observed.items()},
        why=hide(why),
    )
    tell(tried)
    return tried


def verdict(claim: Claim, observed: Mapping[str, str], why: str) -> Verdict:
    """How a claim compares with what was observed."""
    if why:
        return Verdict.NOT_TRIED
    if not claim.expected:
        return Verdict.OBSERVED
    same = all(observed.get(word) == text for word, text in claim.expected.items())
    return Verdict.CONFIRMED if same else Verdict.DIFFERENT


class _Hidden:
    """Texts without names of project, dataset, bucket and accounts: the result may be published."""

    def __init__(self, place: Place) -> None:
        names = {place.name: "NAME", place.target.bucket: "BUCKET", place.dataset.project: "PROJECT"}
        self._names = {name: word for name, word in names.items() if name}

    def __call__(self, text: str) -> str:
        for name, word in self._names.items():
            text = text.replace(name, word)
        return ACCOUNT.sub("ACCOUNT", text)[:LONGEST_TEXT]
