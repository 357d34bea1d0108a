"""How safe a dataset is: how old its newest proven run is (RPO), and how long a restore is expected to take (RTO).

The expected time follows from what drills and restores of the place took. A restore takes a fixed time, a time for each
table, each byte and each row. None of these is negative, and they are what explains best, relative to its length, how
long each of the earlier ones took. As long as there are few, a tenth of the time is taken for fixed, and a third of the
rest for each of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from bqdump.core.results import Result, public
from bqdump.core.sizes import counted, size_text
from bqdump.core.times import CLOCKS_APART_SECONDS, days_text, duration_text, time_of, time_text


@public
class RecoveryTable(msgspec.Struct, frozen=True):
    """The newest run from which drills have proven that a table comes back.

    run, snapshot_time: "" and None where there is none.
    age: seconds since the snapshot time.
    proven: when.
    """

    table: str
    run: str = ""
    snapshot_time: datetime | None = None
    age: float | None = None
    proven: datetime | None = None


@public
class Recovery(Result, frozen=True, kw_only=True):
    """How safe a dataset is.

    run: the newest run that is published, readable and proven by drills in every table, "" for none.
    snapshot_time, age: of that run; the age in seconds.
    published, published_time, published_age: the same of the published run, proven or not.
    of, proven_tables: the number of tables of the published run, and of those that are proven.
    proven, oldest_proof: when the newest and the oldest of these proofs ended.
    rows, bytes, files, failed, bytes_billed: of the published run; seconds: how long its jobs took.
    locked_until: of the published run, where it is locked.
    restore_seconds: how long its restore is expected to take until all rows are in place; None before the first.
    basis: what that follows from.
    broken: each objective that is not met: why, and the command that fixes it.
    broken_objectives: "rpo", "rto".
    tables: those of the published run.
    """

    dataset: str
    run: str = ""
    snapshot_time: datetime | None = None
    age: float | None = None
    published: str = ""
    published_time: datetime | None = None
    published_age: float | None = None
    of: int = 0
    proven_tables: int = 0
    proven: datetime | None = None
    oldest_proof: datetime | None = None
    rows: int = 0
    bytes: int = 0
    files: int = 0
    failed: int = 0
    bytes_billed: int = 0
    seconds: float = 0.0
    locked_until: datetime | None = None
    restore_seconds: float | None = None
    basis: str = ""
    broken: tuple[str, ...] = ()
    broken_objectives: tuple[str, ...] = ()
    tables: tuple[RecoveryTable, ...] = ()

    @property
    def point_text(self) -> str:
        """The recovery point in words."""
        if self.age is None:
            return "no proven run"
        return f"proven run {self.run}, {duration_text(max(self.age, 0.0))} old"

    @property
    def time_text(self) -> str:
        """The expected time of a restore in words, with its basis."""
        if not self.published:
            return "no run to restore"
        if self.restore_seconds is None:
            return "restore time unknown before the first drill"
        return f"a restore is expected to take {duration_text(self.restore_seconds)} ({self.basis})"


class Took(NamedTuple):
    """A drill or restore that ended well: what it restored, and how long that took.

    ended: in ms since 1970 UTC.
    """

    kind: str
    ended: int
    seconds: float
    tables: int
    bytes: int
    rows: int


# As many of the newest are looked at. What a place holds, and how fast BigQuery is, changes.
NEWEST = 20
# The shares of the parts as long as little is known, their weight in relation to one drill, and rounds of the fit.
SHARES = (0.1, 0.3, 0.3, 0.3)
PRIOR, ROUNDS = 0.01, 400


def expected_seconds(earlier: Sequence[Took], tables: int, size: int, rows: int) -> float | None:
    """How long a restore of this much is expected to take; None before the first."""
    known = _newest(earlier)
    if not known:
        return None
    amounts = [(1, took.tables, took.bytes, took.rows) for took in known]
    # What is zero everywhere cannot be told from the rest.
    means = [sum(column) / len(known) or 1.0 for column in zip(*amounts, strict=True)]
    scaled = [[value / mean for value, mean in zip(row, means, strict=True)] for row in amounts]
    seconds = [max(took.seconds, 0.001) for took in known]
    shares = [share * sum(seconds) / len(seconds) for share in SHARES]
    parts = list(shares)
    for _ in range(ROUNDS):
        for part in range(len(parts)):
            # The best value of this part, given the others.
            above, below = PRIOR / shares[part], PRIOR / shares[part] ** 2
            for row, took in zip(scaled, seconds, strict=True):
                rest = sum(row[other] * parts[other] for other in range(len(parts)) if other != part)
                above += (took - rest) * row[part] / took**2
                below += (row[part] / took) ** 2
            parts[part] = max(0.0, above / below)
    wanted = (1, tables, size, rows)
    return sum(part * value / mean for part, value, mean in zip(parts, wanted, means, strict=True))


def basis_of(earlier: Sequence[Took]) -> str:
    """What the expected time follows from, in words."""
    known = _newest(earlier)
    if not known:
        return ""
    counts = [counted(count, kind) for kind in ("drill", "restore") if (count := sum(t.kind == kind for t in known))]
    shortest, longest = (duration_text(pick(took.seconds for took in known)) for pick in (min, max))
    took = shortest if shortest == longest else f"{shortest} to {longest}"
    most = max(known, key=lambda took: took.bytes)
    amount = f"{counted(most.tables, 'table')}, {size_text(most.bytes)}, {counted(most.rows, 'row')}"
    last = time_text(time_of(max(took.ended for took in known)))
    return f"{' and '.join(counts)} of up to {amount} took {took}, the last one {last}"


def _newest(earlier: Sequence[Took]) -> list[Took]:
    return sorted((took for took in earlier if took.tables), key=lambda took: took.ended)[-NEWEST:]


class Fixes(NamedTuple):
    """What fixes a broken objective.

    publish: a sentence.
    drill: the command, as a placeholder.
    signing: what it needs in addition, in words.
    nothing: why there is no run to restore.
    """

    publish: str
    drill: str
    signing: str = ""
    nothing: str = "nothing that is published can be read"


def broken(found: Recovery, rpo: int | None, rto: int | None, fixes: Fixes) -> Iterator[tuple[str, str]]:
    """Each objective that is not met, and the sentence that says why and what to do. rpo, rto: in seconds."""
    ahead = -(found.published_age or 0.0)
    if rpo is not None and (found.age is None or found.age > rpo or ahead > CLOCKS_APART_SECONDS):
        yield "rpo", _why_rpo(found, days_text(rpo), rpo, fixes)
    if rto is None:
        return
    limit = f"{{setting:rto={days_text(rto)}}}"
    if not found.published:
        yield "rto", f"{fixes.nothing}, so {limit} is broken. {fixes.publish}"
    elif found.restore_seconds is None:
        why = f"how long a restore takes is unknown, so {limit} cannot be shown: no drill or restore was measured here"
        yield "rto", f"{why}. Measure it{fixes.signing}: {fixes.drill}"
    elif found.restore_seconds > rto:
        why = f"{found.time_text}, more than {limit}"
        yield (
            "rto",
            f"{why}. Export as Parquet or in smaller datasets, then measure it again{fixes.signing}: {fixes.drill}",
        )


def _why_rpo(found: Recovery, limit: str, rpo: int, fixes: Fixes) -> str:
    objective = f"{{setting:rpo={limit}}}"
    if found.published_age is None:
        return f"{fixes.nothing}, so {objective} is broken. {fixes.publish}"
    if found.published_age < -CLOCKS_APART_SECONDS:
        ahead = f"the published run {found.published} is {duration_text(-found.published_age)} ahead of this clock"
        return f"{ahead}, so {objective} cannot be shown. Set the clock of this machine, and repeat the command."
    if found.published_age > rpo:
        old = f"the published run {found.published} is {duration_text(found.published_age)} old"
        return f"{old}, more than {objective}. {fixes.publish}"
    proven = f"{found.proven_tables:,} of {counted(found.of, 'table')}"
    newest = f"the newest proven run {found.run} is {duration_text(found.age)} old" if found.age else "no run is proven"
    of_it = f"of the published run {found.published}, drills have proven {proven}"
    return f"{newest}, so {objective} is broken: {of_it}. Prove it{fixes.signing}: {fixes.drill}"
