"""Dealing the tables of a plan to tasks: units in balanced shares, and how they are read back."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, zip_longest
from typing import NamedTuple

import msgspec

from bqdump.core.dealing import JOB_WEIGHT, share_out
from bqdump.core.documents.run import Partitioned, Plan, Share, Split, TablePlan
from bqdump.core.documents.run_layout import unit_id
from bqdump.core.documents.units import Unit, nth_part, part_count, parts_of
from bqdump.core.documents.validation import CHANGED, files_problem, final_name_problem, place_of
from bqdump.core.errors import DocumentError
from bqdump.core.plan.names import name_problem, pattern_of
from bqdump.core.plan.routes import Routed, RoutedPartition
from bqdump.core.settings.settings import Settings
from bqdump.core.units.tables import described_units, line_of, partitions_problem, table_plans


class Dealt(NamedTuple):
    """The units of a plan, one JSON line each, share after share; and the tables that have several units."""

    shares: tuple[Share, ...]
    splits: tuple[Split, ...]
    partitioned: tuple[Partitioned, ...]
    lines: bytes


def deal(settings: Settings, routed: Sequence[Routed], names: Sequence[Mapping[str, str]], tasks: int) -> Dealt:
    """The tables as units, dealt into one share for each task. names: the patterns of their files, by partition."""
    pieces = _pieces(settings, routed, tasks)
    shares, lines, offset = [], [], 0
    ids: dict[str, list[str]] = {}
    leads: dict[str, Partitioned] = {}
    for share, indices in enumerate(share_out([piece.weight for piece in pieces], min(tasks, len(pieces)))):
        start, bytes_, checksum = offset, 0, 0
        described: set[str] = set()
        for number, index in enumerate(indices):
            piece, id_ = pieces[index], unit_id(share, number)
            unit = _unit(settings, id_, piece, routed[piece.at], names[piece.at])
            if piece.of > 1:
                ids.setdefault(unit.table, [""] * piece.of)[piece.number] = id_
            if unit.partition and piece.number == 0:
                leads[unit.table] = Partitioned(unit.table, id_, len(routed[piece.at].partitions))
            line = line_of(unit, described)
            lines.append(line)
            checksum = zlib.crc32(line, checksum)
            offset, bytes_ = offset + len(line), bytes_ + unit.bytes
        shares.append(Share(start, offset - start, len(indices), bytes_, checksum))
    splits = tuple(Split(table, tuple(units)) for table, units in sorted(ids.items()))
    partitioned = tuple(lead for _, lead in sorted(leads.items()))
    return Dealt(tuple(shares), splits, partitioned, b"".join(lines))


class _Piece(NamedTuple):
    """A future unit: part `number` of `of` parts of the table at index `at`; the complete table where `of` is 1.

    weight: in bytes.
    partition: the only one that it exports, which is that of this number.
    """

    at: int
    number: int
    of: int
    weight: int
    partition: RoutedPartition | None = None


def _pieces(settings: Settings, routed: Sequence[Routed], tasks: int) -> list[_Piece]:
    pieces = []
    for at, item in enumerate(routed):
        if item.partitions:
            pieces += [
                _Piece(at, no, 1, partition.bytes + JOB_WEIGHT, partition)
                for no, partition in enumerate(item.partitions)
            ]
            continue
        # A view has no size: its weight is what its query reads.
        bytes_ = max(item.table.bytes, item.bills or 0)
        of = part_count(item.route, bytes_, tasks, settings.read_split)
        pieces += [_Piece(at, number, of, nth_part(bytes_, number, of) + JOB_WEIGHT) for number in range(of)]
    return pieces


def _unit(settings: Settings, id_: str, piece: _Piece, item: Routed, patterns: Mapping[str, str]) -> Unit:
    table, part = item.table, piece.partition
    usual = (item.format, item.compression) == (settings.format, settings.compression)
    unit = Unit(
        id=id_,
        table=table.name,
        kind=table.kind,
        route=item.route,
        rows=nth_part(table.rows, piece.number, piece.of),
        bytes=nth_part(table.bytes, piece.number, piece.of),
        pattern=patterns[part.id if part else ""],
        definition=table.definition,
        why=item.why,
        format="" if usual else item.format,
        compression="" if usual else item.compression,
        shape=item.shape,
        read_at=item.read_at,
        bills=item.bills,
        bills_at_least=item.bills_at_least,
        look=item.look,
        look_before=item.look_before,
        changed_at=item.changed_at,
        reason=item.reason,
        rows_at=item.rows_at,
    )
    if part is None:
        return unit
    return msgspec.structs.replace(
        unit,
        route=part.route,
        rows=part.rows,
        bytes=part.bytes,
        why=part.why or item.why,
        bills=part.bills,
        partition_look=part.look,
        partition=part.id,
    )


_UNITS = msgspec.json.Decoder(Unit)


def read_units(lines: bytes, plan: Plan, share: int | None = None) -> list[Unit]:
    """The units of one share, or (None) of the complete plan, in their order.

    Raises DocumentError where they cannot be the units of this plan.
    """
    shares = plan.shares if share is None else (plan.shares[share],)
    if (expected := sum(part.length for part in shares)) != len(lines):
        raise DocumentError("read", plan.units, f"it has {len(lines):,} of {expected:,} bytes", CHANGED)
    try:
        units: list[Unit] = _UNITS.decode_lines(lines)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentError("read", plan.units, f"its lines are not valid units ({error})", CHANGED) from None
    wrong = _units_problem(units, plan, range(len(plan.shares)) if share is None else (share,))
    if not wrong and plan.partitioned:
        units = described_units(units)
        wrong = partitions_problem(plan, units)
    if wrong:
        raise DocumentError("read", plan.units, wrong, CHANGED)
    for unit in units:
        if problem := name_problem(unit.table):
            raise DocumentError("read", plan.units, f"table {unit.table!r}: {problem}", CHANGED)
        if unit.pattern != pattern_of(plan, unit, unit.partition):
            cause = f"the files of table {unit.table} cannot be named {unit.pattern!r}"
            raise DocumentError("read", plan.units, cause, CHANGED)
    first = shares[0].offset if shares else 0
    for part in shares:
        at = part.offset - first
        if zlib.crc32(lines[at : at + part.length]) != part.crc32:
            raise DocumentError("read", plan.units, "its bytes do not match the checksum in the plan", CHANGED)
    return units


def read_tables(lines: bytes, plan: Plan) -> list[TablePlan]:
    """The tables of a plan, by name. Raises DocumentError where its units cannot be those of this plan."""
    return table_plans(read_units(lines, plan), plan)


def _units_problem(units: Sequence[Unit], plan: Plan, shares: Iterable[int]) -> str:
    expected = (unit_id(share, number) for share in shares for number in range(plan.shares[share].units))
    if not all(unit and unit.id == id_ for unit, id_ in zip_longest(units, islice(expected, len(units) + 1))):
        return "its units are not those of the plan"
    place = place_of(plan.units)
    for unit in units:
        if unit.partitions:
            return f"unit {unit.id} has partitions of its own"
        if wrong := files_problem(unit.table, unit.format, unit.compression, unit.definition):
            return wrong
        folder, _, last = unit.pattern.rpartition("/")
        if "*" in folder or last.count("*") != 1:
            return f"{unit.pattern!r} is not a pattern of file names"
        if place and (wrong := final_name_problem(unit.pattern, place.layout)):
            return wrong
    parts, tables = parts_of(plan), dict[str, Unit]()
    for unit in units:
        part = parts.get(unit.id)
        if part and (unit.table, unit.route) != (part.table, "read"):
            return f"unit {unit.id} is not a part of table {part.table}"
        tables.setdefault(part.lead if part else unit.id, unit)
    if len({(unit.table, unit.partition) for unit in tables.values()}) != len(tables):
        return "a table appears twice"
    return "a pattern appears twice" if len({unit.pattern for unit in tables.values()}) != len(tables) else ""
