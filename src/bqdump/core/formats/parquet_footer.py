"""The number of rows in a Parquet file, from its footer alone.

A file ends with its metadata in Thrift's compact protocol, four bytes of length and the magic.
Source: https://parquet.apache.org/docs/file-format/ and parquet.thrift (FileMetaData: field 3 is num_rows).
"""

from __future__ import annotations

from bqdump.core.errors import DocumentError
from bqdump.core.formats.thrift_compact import I64, decode_struct

MAGIC = b"PAR1"
# What is read first from a file's end: footers of all but very wide tables fit in.
TAIL_BYTES = 64 << 10
TRAILER_BYTES = 8
SMALLEST_BYTES = len(MAGIC) + TRAILER_BYTES
# A footer of 10,000 columns and 100 row groups stays below it.
LARGEST_FOOTER_BYTES = 256 << 20
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
    """The number of rows in a footer (without its trailer). Raises DocumentError for anything else."""
    try:
        rows = decode_struct(footer, last=NUM_ROWS).get(NUM_ROWS)
    except (IndexError, ValueError) as error:
        raise _broken(name, f"its footer is damaged ({error})") from None
    if rows is None or rows.kind != I64 or rows.value < 0:
        raise _broken(name, "its footer has no number of rows")
    return int(rows.value)


def _broken(name: str, cause: str) -> DocumentError:
    return DocumentError("read the Parquet footer of", name, cause)
