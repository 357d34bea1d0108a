"""Record batches on their way into a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bqdump.core.errors import RowsError
from bqdump.ports.reader import Batch


def gathered(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Batches of about so many bytes together; the last are fewer."""
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


def check_columns(arriving: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise RowsError where the rows have other columns than the file: none is left out in silence."""
    for names, others, words in ((wanted, arriving, "did not arrive"), (arriving, wanted, "arrived and is not known")):
        if missing := [name for name in names if name not in others]:
            raise RowsError("read", "rows", f"column {missing[0]} {words}")


def check_rows(rows: int, batches: Sequence[Batch]) -> None:
    """Raise RowsError where batches hold more or fewer rows than they announce."""
    announced = sum(batch.rows for batch in batches)
    if rows != announced:
        raise RowsError("read", "rows", f"{rows} arrived where {announced} were announced")
