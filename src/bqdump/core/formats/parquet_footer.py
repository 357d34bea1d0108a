"""The number of rows in a Parquet file, from its footer alone.

A file ends with its metadata in Thrift's compact protocol, four bytes of length and the magic.
Source: https://parquet.apache.org/docs/file-format/ and parquet.thrift (FileMetaData: field 3 is num_rows).
"""

from __future__ import annotations

from bqdump.core.errors import DocumentError

MAGIC = b"PAR1"
# What is read first from a file's end: footers of all but very wide tables fit in.
TAIL_BYTES = 64 << 10
TRAILER_BYTES = 8
SMALLEST_BYTES = len(MAGIC) + TRAILER_BYTES
# A footer of 10,000 columns and 100 row groups stays below it.
LARGEST_FOOTER_BYTES = 256 << 20
DEEPEST = 32

I64 = 6
NUM_ROWS = 3


def footer_bytes(trailer: bytes, size: int, name: str) -> int:
    """How long the footer is, from the last TRAILER_BYTES of a file of `size` bytes.

    Raises DocumentError when these bytes do not end a Parquet file.
    """
    if size < SMALLEST_BYTES or len(trailer) != TRAILER_BYTES or trailer[4:] != MAGIC:
        raise _broken(name, f"it does not end with {MAGIC.decode()}")
    length = int.from_bytes(trailer[:4], "little")
    if not 0 < length <= min(size - SMALLEST_BYTES, LARGEST_FOOTER_BYTES):
        raise _broken(name, f"its footer of {length} bytes does not fit into its {size} bytes")
    return length


def num_rows(footer: bytes, name: str) -> int:
    """The number of rows that a footer (without its trailer) tells. Raises DocumentError for anything else."""
    try:
        rows = _num_rows(_Compact(footer))
    except (IndexError, ValueError, OverflowError) as error:
        raise _broken(name, f"its footer is damaged ({error})") from None
    if rows is None or rows < 0:
        raise _broken(name, "its footer tells no number of rows")
    return rows


def _num_rows(compact: _Compact) -> int | None:
    field = 0
    while (kind := compact.byte()) & 0x0F:
        field = field + (kind >> 4) if kind >> 4 else compact.signed()
        if field == NUM_ROWS and kind & 0x0F == I64:
            return compact.signed()
        compact.skip(kind & 0x0F, 0)
    return None


class _Compact:
    """Thrift's compact protocol, as far as passing over fields takes.

    Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def unsigned(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number of more than ten bytes")

    def signed(self) -> int:
        value = self.unsigned()
        return (value >> 1) ^ -(value & 1)

    def skip(self, kind: int, depth: int) -> None:
        """Pass over one value. In a list a truth value takes a byte; in a struct it is part of the field's head."""
        if depth > DEEPEST:
            raise ValueError("values nested too deep")
        match kind:
            case 1 | 2:
                return
            case 3:
                self._forward(1)
            case 4 | 5 | 6:
                self.unsigned()
            case 7:
                self._forward(8)
            case 8:
                self._forward(self.unsigned())
            case 9 | 10:
                self._skip_list(depth)
            case 11:
                self._skip_map(depth)
            case 12:
                while (head := self.byte()) & 0x0F:
                    if not head >> 4:
                        self.unsigned()
                    self.skip(head & 0x0F, depth + 1)
            case _:
                raise ValueError(f"a value of the unknown kind {kind}")

    def _skip_list(self, depth: int) -> None:
        head = self.byte()
        count = head >> 4 if head >> 4 < 15 else self.unsigned()
        self._skip_items(count, (head & 0x0F,), depth)

    def _skip_map(self, depth: int) -> None:
        if count := self.unsigned():
            kinds = self.byte()
            self._skip_items(count, (kinds >> 4, kinds & 0x0F), depth)

    def _skip_items(self, count: int, kinds: tuple[int, ...], depth: int) -> None:
        if count > len(self._data):
            raise ValueError("a list longer than the footer")
        for _ in range(count):
            for kind in kinds:
                self.skip(3 if kind in (1, 2) else kind, depth + 1)

    def _forward(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise ValueError("a value goes beyond its end")


def _broken(name: str, cause: str) -> DocumentError:
    return DocumentError("read the Parquet footer of", name, cause)
