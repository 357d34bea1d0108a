"""Record batches before they are encoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bqdump.core.errors import RowsError
from bqdump.ports.reader import Batch


def gathered(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Groups of batches, each of about `size` bytes in total; the last one may be smaller."""
    held: list[Batch] = []
    total = 0
    for batch in batches:
        held.append(batch)
        total += len(batch.data)
        if total >= size:
            yield held
            held, total = [], 0
    if held:
        yield held


def check_columns(arriving: Sequence[str], expected: Sequence[str]) -> None:
    """Raise RowsError if the rows have other columns than the file, so that no column is lost silently."""
    if missing := [name for name in expected if name not in arriving]:
        raise RowsError("read", "rows", f"missing column {missing[0]}")
    if unknown := [name for name in arriving if name not in expected]:
        raise RowsError("read", "rows", f"unknown column {unknown[0]}")


def check_rows(rows: int, batches: Sequence[Batch]) -> None:
    """Raise RowsError if batches contain more or fewer rows than they announce."""
    announced = sum(batch.rows for batch in batches)
    if rows != announced:
        raise RowsError("read", "rows", f"{rows} rows arrived, but {announced} were announced")
