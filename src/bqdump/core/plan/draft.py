"""From the tables of a dataset to units in balanced shares."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from bqdump.core.documents.layout import unit_id
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.documents.run import (
    Plan,
    Share,
    Skipped,
    Split,
    Unit,
)
from bqdump.core.documents.validation import CHANGED, validated_units
from bqdump.core.errors import DocumentError, UsageError
from bqdump.core.formats.fidelity import unfit
from bqdump.core.formats.formats import extension
from bqdump.core.formats.types import columns
from bqdump.core.plan.catalog import Dataset, Listed, select, unknown_kind
from bqdump.core.plan.parts import part_count, portion
from bqdump.core.plan.routes import Routed, Routing
from bqdump.core.plan.table_names import name_problem, patterns, refuse_name
from bqdump.core.plan.unsupported import Misfit, as_they_are, refuse
from bqdump.core.settings.path_template import parse_template
from bqdump.core.settings.settings import Settings
from bqdump.core.times import rfc3339
from bqdump.core.version import VERSION

# The cost of a job in addition to its bytes, as bytes: shares of many small tables get equal numbers of them.
JOB_WEIGHT = 64 << 20
MOST_RECOMMENDED, TABLES_A_TASK, READ_BYTES_A_TASK = 20, 500, 10 * 10**9
PLAN = "plan the export"


class Selection(msgspec.Struct, frozen=True):
    """The objects of a listing that are exported, those skipped, and the number of tables excluded by patterns."""

    chosen: tuple[Listed, ...]
    skipped: tuple[Skipped, ...]
    excluded: int


def choose(listing: Sequence[Listed], settings: Settings, snapshot: int) -> Selection:
    """Sort a listing into objects that are exported and those that are not.

    Raises UsageError where an include matches no table, or a file cannot have the name of a chosen table.
    """
    names = [item.name for item in listing]
    for pattern in settings.include:
        if not any(select(names, (pattern,), ())):
            import difflib

            close = difflib.get_close_matches(pattern, names, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else "{call:plan} without {setting:include} lists all tables."
            raise UsageError(PLAN, repr(pattern), f"matches no table of {settings.dataset}", hint, setting="include")
    chosen, skipped, excluded = [], [], 0
    for item, included in zip(listing, select(names, settings.include, settings.exclude), strict=True):
        if not included:
            excluded += 1
        elif item.created > snapshot:
            reason = f"created after the snapshot time {rfc3339(snapshot)}"
            skipped.append(Skipped(item.name, item.kind, reason))
        elif reason := unknown_kind(item.kind):
            skipped.append(Skipped(item.name, item.kind, reason))
        else:
            refuse_name(item.name)
            chosen.append(item)
    return Selection(tuple(chosen), tuple(skipped), excluded)


def unmatched(names: list[str], patterns: Sequence[str]) -> list[tuple[str, str]]:
    """Patterns that match no name, each with a suggestion ("" where there is none)."""
    found = []
    for pattern in patterns:
        if not any(select(names, (pattern,), ())):
            import difflib

            guesses = difflib.get_close_matches(pattern, names, n=1)
            found.append((pattern, f"; did you mean {guesses[0]!r}?" if guesses else ""))
    return found


def share_out(weights: Sequence[int], shares: int) -> list[list[int]]:
    """Indices of `weights`, dealt into shares: largest first, each to the lightest share (LPT).

    No share weighs more than 4/3 of the optimum. Equal input gives equal output.
    """
    dealt: list[list[int]] = [[] for _ in range(shares)]
    heap = [(0, 0, share) for share in range(shares)]
    for index in sorted(range(len(weights)), key=lambda i: (-weights[i], i)):
        weight, count, share = heap[0]
        dealt[share].append(index)
        heapq.heapreplace(heap, (weight + weights[index], count + 1, share))
    return dealt


def refuse_unfit(routed: Sequence[Routed]) -> None:
    """Raise UsageError where tables have columns that their format cannot hold; it names all of them."""
    misfits = [
        Misfit(item.table.name, item.route, item.format, found)
        for item in routed
        if (found := unfit(item.format, item.route, as_they_are(columns(item.table.definition), item.shape)))
    ]
    refuse(PLAN, misfits)


def make_plan(
    settings: Settings,
    run: str,
    nonce: str,
    dataset: Dataset,
    snapshot: int,
    selection: Selection,
    routing: Routing,
    tasks: int,
) -> tuple[Plan, bytes]:
    """The plan of a run and its units, one JSON line each, share after share.

    tasks: the number of shares to make (never more than units).
    Raises UsageError for tables that cannot be exported as the settings require.
    """
    routed = routing.routed
    refuse_unfit(routed)
    names = patterns(settings, run, snapshot, routed)
    pieces = _pieces(settings, routed, tasks)
    shares, lines, offset = [], [], 0
    ids: dict[str, list[str]] = {}
    for share, indices in enumerate(share_out([piece.weight for piece in pieces], min(tasks, len(pieces)))):
        start, bytes_, checksum = offset, 0, 0
        for number, index in enumerate(indices):
            piece, id_ = pieces[index], unit_id(share, number)
            unit = _unit(settings, id_, piece, routed[piece.at], names[piece.at])
            if piece.of > 1:
                ids.setdefault(unit.table, [""] * piece.of)[piece.number] = id_
            line = msgspec.json.encode(unit) + b"\n"
            lines.append(line)
            checksum = zlib.crc32(line, checksum)
            offset, bytes_ = offset + len(line), bytes_ + unit.bytes
        shares.append(Share(start, offset - start, len(indices), bytes_, checksum))
    plan = Plan(
        run=run,
        tool=VERSION,
        nonce=nonce,
        project=dataset.project,
        dataset=dataset.name,
        location=dataset.location,
        snapshot=snapshot,
        mode=settings.template.mode,
        settings=settings.frozen(),
        digest=settings.digest(),
        units=settings.layout.run(run).units(nonce),
        shares=tuple(shares),
        tables=len(routed),
        rows=sum(item.table.rows for item in routed),
        bytes=sum(item.table.bytes for item in routed),
        skipped=(*selection.skipped, *routing.skipped),
        excluded=selection.excluded,
        bills=sum(item.bills or 0 for item in routed),
        splits=tuple(Split(table, tuple(units)) for table, units in sorted(ids.items())),
    )
    return plan, b"".join(lines)


class _Piece(NamedTuple):
    """A future unit: part `number` of `of` parts of the table at index `at`; the complete table where `of` is 1.

    weight: in bytes.
    """

    at: int
    number: int
    of: int
    weight: int


def _pieces(settings: Settings, routed: Sequence[Routed], tasks: int) -> list[_Piece]:
    pieces = []
    for at, item in enumerate(routed):
        # A view has no size: its weight is what its query reads.
        bytes_ = max(item.table.bytes, item.bills or 0)
        of = part_count(item.route, bytes_, tasks, settings.read_split)
        pieces += [_Piece(at, number, of, portion(bytes_, number, of) + JOB_WEIGHT) for number in range(of)]
    return pieces


def _unit(settings: Settings, id_: str, piece: _Piece, item: Routed, pattern: str) -> Unit:
    table = item.table
    usual = (item.format, item.compression) == (settings.format, settings.compression)
    return Unit(
        id=id_,
        table=table.name,
        kind=table.kind,
        route=item.route,
        rows=portion(table.rows, piece.number, piece.of),
        bytes=portion(table.bytes, piece.number, piece.of),
        pattern=pattern,
        definition=table.definition,
        why=item.why,
        format="" if usual else item.format,
        compression="" if usual else item.compression,
        shape=item.shape,
        moment=item.moment,
        bills=item.bills,
        bills_at_least=item.bills_at_least,
    )


_UNITS = msgspec.json.Decoder(Unit)


def read_units(lines: bytes, plan: Plan, share: int | None = None) -> list[Unit]:
    """The units of one share, or (None) of the complete plan, in their order.

    Raises DocumentError where they cannot be the units of this plan.
    """
    shares = plan.shares if share is None else (plan.shares[share],)
    if (expected := sum(one.length for one in shares)) != len(lines):
        raise DocumentError("read", plan.units, f"it has {len(lines):,} of {expected:,} bytes", CHANGED)
    try:
        units: list[Unit] = _UNITS.decode_lines(lines)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentError("read", plan.units, f"its lines are not valid units ({error})", CHANGED) from None
    for unit in validated_units(units, plan, share):
        if problem := name_problem(unit.table):
            raise DocumentError("read", plan.units, f"table {unit.table!r}: {problem}", CHANGED)
        if unit.pattern != pattern_of(plan, unit):
            cause = f"the files of table {unit.table} cannot be named {unit.pattern!r}"
            raise DocumentError("read", plan.units, cause, CHANGED)
    first = shares[0].offset if shares else 0
    for one in shares:
        at = one.offset - first
        if zlib.crc32(lines[at : at + one.length]) != one.crc32:
            raise DocumentError("read", plan.units, "its bytes do not match the checksum in the plan", CHANGED)
    return units


def pattern_of(export: Plan | Manifest, table: Unit | TableEntry) -> str:
    """The pattern of a table's final file names, from the settings in the plan or manifest."""
    carried = table.carried if isinstance(table, TableEntry) else None
    settings, of = (export.settings | carried.settings, carried) if carried else (export.settings, export)
    name = parse_template(str(settings["path"])).pattern(
        table=table.table,
        ext=extension(table.format or str(settings["format"]), table.compression or str(settings["compression"])),
        run=of.run,
        project=export.project,
        dataset=export.dataset,
        date=rfc3339(of.snapshot)[:10],
    )
    return str(settings["prefix"]) + name


def recommended_tasks(tables: int, read_bytes: int = 0) -> int:
    """The recommended number of tasks. Extract jobs run in BigQuery, and one task watches hundreds of them.

    read_bytes: of the tables on the read route, which each task reads at some hundred MB a second.
    """
    return max(1, min(MOST_RECOMMENDED, max(-(-tables // TABLES_A_TASK), -(-read_bytes // READ_BYTES_A_TASK))))
