"""What bqdump works with: a warehouse that exports tables or has them read, an encoder, a store that keeps objects.

One contract suite for each (tests/contract) runs over every adapter; what a docstring promises here is tested there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import IO, Literal, NamedTuple, Protocol, TypeVar

from bqdump.core.catalog import Dataset, Listed, Table
from bqdump.core.errors import BqdumpError
from bqdump.core.types import Column

Result = TypeVar("Result")


class Stored(NamedTuple):
    """What `read` returns: the bytes and the generation they belong to."""

    data: bytes
    generation: int


class ObjectInfo(NamedTuple):
    """An object as a listing shows it: size in bytes, CRC32C in base64, generation, and who copied it there."""

    name: str
    size: int
    crc32c: str
    generation: int
    origin: str = ""


class Note(NamedTuple):
    """A small document that a listing brings along."""

    name: str
    data: bytes
    generation: int


class Copy(NamedTuple):
    """A wish to copy one object (at exactly this generation) over another (of generation `expect`, 0 for none)."""

    source: str
    source_generation: int
    target: str
    expect: int


class BucketInfo(NamedTuple):
    """What a bucket says about itself: location ("" for nowhere in particular), for how many seconds it keeps objects
    against deletion, whether replaced objects stay as versions, whether new objects are put under a hold, and the
    Cloud KMS key that encrypts what is written without naming one ("" for Google's own keys)."""

    location: str
    retention_seconds: int
    soft_delete_seconds: int
    versions: bool = False
    holds: bool = False
    kms_key: str = ""


NOTE_BYTES = 4096


class ObjectStore(Protocol):
    """A bucket or a folder. Names are full object names. Every error is a BqdumpError.

    NotFoundError: no such bucket or object. DeniedError: a permission is missing. ConflictError: a generation
    is not as expected. UnavailableError: may be repeated; whether the request was carried out is unknown.
    """

    @property
    def url(self) -> str:
        """How a person finds it: gs://bucket or a folder."""
        ...

    async def describe(self) -> BucketInfo:
        """What the bucket says about itself."""
        ...

    async def stat(self, name: str) -> ObjectInfo | None:
        """The object as it is now, None when there is none."""
        ...

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """The object's bytes, or a part of them; a part beyond the end is empty.

        DocumentError for one of bqdump's own documents that is larger than any run makes it: it is not loaded.
        """
        ...

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        """Store the object whole, and return its generation.

        expect: the generation it replaces, 0 for "must not exist", None for "whatever there is".
        """
        ...

    async def upload(
        self, name: str, fill: Callable[[IO[bytes]], Result], expect: int | None
    ) -> tuple[ObjectInfo, Result]:
        """Store what `fill` writes to the file that it is given, of any size, and return what `fill` returns.

        `fill` may block: it runs beside the event loop, once. The file takes writes only, in order. The object appears
        when `fill` has returned, whole and with its checksum compared; when `fill` raises, that is raised, and
        nothing has been stored.
        """
        ...

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        """Store a JSON document of at most NOTE_BYTES that `notes` brings along."""
        ...

    def notes(self, prefix: str) -> AsyncIterator[list[Note]]:
        """All notes below the prefix, page by page, by name. One request a page, not one a note."""
        ...

    def objects(self, prefix: str) -> AsyncIterator[list[ObjectInfo]]:
        """All objects whose names start with the prefix, page by page, by name."""
        ...

    async def folders(self, prefix: str) -> list[str]:
        """The names of the folders right below the prefix, which ends with a slash; by name."""
        ...

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """Copy inside the store; one result for each wish, in order. Each copy is atomic for its readers.

        Every copy carries `origin`, so that whoever finds it knows who has put it there.
        """
        ...

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        """Delete each name at exactly this generation; False where that generation is no longer there."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...


class ExtractRequest(NamedTuple):
    """An extract job: the table `table` of `dataset` as it was at `snapshot` (ms), to gs:// `uri` with one `*`."""

    job_id: str
    dataset: Dataset
    table: str
    snapshot: int
    uri: str
    format: str
    codec: str
    header: bool
    delimiter: str
    labels: dict[str, str]


class QueryRequest(NamedTuple):
    """An EXPORT DATA job: rows of the table or view `table` of `dataset`, to gs:// `uri` with one `*`.

    snapshot: the moment (ms) at which it is read, None for whenever the job runs. select: the same in GoogleSQL,
    with the texts that it knows as `@name` in `parameters`: for each name the environment variable that holds the text,
    which nobody but the warehouse looks at. max_bytes_billed: the job fails if it would bill more;
    0 for no limit.
    """

    job_id: str
    dataset: Dataset
    table: str
    snapshot: int | None
    select: str
    uri: str
    format: str
    codec: str
    header: bool
    delimiter: str
    labels: dict[str, str]
    parameters: dict[str, str]
    max_bytes_billed: int


class Estimate(NamedTuple):
    """The bytes that a query will bill. at_least: BigQuery cannot tell in advance, it may be more."""

    bytes: int
    at_least: bool


class JobError(NamedTuple):
    """Why a job failed: BigQuery's reason (such as backendError) and message."""

    reason: str
    message: str


class Job(NamedTuple):
    """A job's state; counts and times are known once it is done. `created` … `ended`: ms since 1970 UTC.

    rows: how many were exported, None where BigQuery does not tell (extract jobs, and some listings of jobs).
    billed: bytes billed, None for what is no query.
    row_policies, masking: row access policies or data masking applied to what the job has read.
    """

    id: str
    state: Literal["pending", "running", "done"]
    error: JobError | None
    files: int
    created: int
    started: int
    ended: int
    rows: int | None = None
    billed: int | None = None
    row_policies: bool = False
    masking: bool = False


class Warehouse(Protocol):
    """BigQuery, as far as an export needs it. Every error is a BqdumpError."""

    async def dataset(self, project: str, name: str) -> Dataset:
        """The dataset and its location. NotFoundError when there is none."""
        ...

    async def now(self, location: str) -> int:
        """The warehouse's own clock, in milliseconds since 1970 UTC, rounded down."""
        ...

    async def tables(self, dataset: Dataset) -> list[Listed]:
        """Everything in the dataset, every page of it, by name."""
        ...

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """The full definition of a table, None when it is gone by now. One request."""
        ...

    async def row_policies(self, dataset: Dataset, table: str) -> list[str] | None:
        """The names of a table's row access policies, None where the caller may not see whether there are any.

        Empty for a table that is gone by now. One request.
        """
        ...

    async def extract(self, request: ExtractRequest) -> Job:
        """Start a job. ConflictError when the id is taken: then `job` tells of the one that has it."""
        ...

    async def estimate(self, dataset: Dataset, table: str, select: str, parameters: dict[str, str]) -> Estimate:
        """What a query of this table or view will bill: a dry run, which is free and leaves nothing behind.

        JobFailedError where BigQuery refuses the query, with its own words as the cause. UsageError where one of
        the variables in `parameters` is not set.
        """
        ...

    async def ask(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> list[int]:
        """The one row of whole numbers that a query of this table gives.

        It is billed, and fails where that would be more than so many bytes (0: any number).
        JobFailedError where BigQuery refuses the query or fails to answer it, with its own words as the cause.
        """
        ...

    async def query(self, request: QueryRequest) -> Job:
        """Start an EXPORT DATA job, which is billed. ConflictError as with `extract`."""
        ...

    async def job(self, job_id: str, location: str) -> Job:
        """The state of one job."""
        ...

    def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """The caller's jobs created at or after `since` (ms), newest first, page by page."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...


class ReadRequest(NamedTuple):
    """A wish to read the table `table` of `dataset` as it was at `snapshot` (ms), in at most so many streams.

    columns: () for all. restriction: an expression of GoogleSQL that rows must meet, "" for none.
    """

    dataset: Dataset
    table: str
    snapshot: int
    columns: tuple[str, ...]
    restriction: str
    streams: int


class ReadSession(NamedTuple):
    """A table that can be read: each row comes in exactly one of the streams, whoever reads them, at one moment.

    schema: the Arrow schema, as an IPC message. A table without rows may have no streams.
    """

    name: str
    streams: tuple[str, ...]
    schema: bytes


class Batch(NamedTuple):
    """Rows as they arrive: an Arrow record batch, as an IPC message, and its number of rows."""

    data: bytes
    rows: int


class Reader(Protocol):
    """The Storage Read API. Every error is a BqdumpError."""

    async def open(self, request: ReadRequest) -> ReadSession:
        """A session, good for hours. NotFoundError: no such table; JobFailedError: it cannot be read so."""
        ...

    def read(self, stream: str, offset: int) -> Iterator[Batch]:
        """The rows of a stream from this one on (0: all), in the same order each time. Blocks its thread.

        Raises SessionLostError when the session has ended.
        """
        ...

    def now(self) -> int:
        """The clock of whoever reads, in milliseconds since 1970 UTC."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...


class FileShape(NamedTuple):
    """What the files of a table look like. `columns`: those that are read, in their order.

    null_marker: what stands for NULL in CSV. row_group_rows: of Parquet files, at most; 0 leaves it to the encoder.
    """

    format: str
    codec: str
    columns: tuple[Column, ...]
    header: bool = True
    delimiter: str = ","
    null_marker: str = ""
    row_group_rows: int = 0


class Encoder(Protocol):
    """Makes files of rows."""

    def encode(self, schema: bytes, batches: Iterator[Batch], shape: FileShape, file: IO[bytes]) -> int:
        """Write the rows to the file, holding a bounded part of them; returns how many there were. Blocks its thread.

        What `batches` or the file raise is raised.
        """
        ...


class DataFile(NamedTuple):
    """A file of an export: how it was written, and the columns and the CRC32C (base64) that it should have.

    null_marker: what stands for NULL in CSV beside an empty field.
    """

    name: str
    format: str
    codec: str
    header: bool
    delimiter: str
    columns: tuple[Column, ...]
    crc32c: str
    null_marker: str = ""


class Digest(NamedTuple):
    """What reading a file has shown. Of one whose CRC32C is another nothing but size and CRC32C.

    unreadable: why it cannot be decoded, else "". differences: how its columns differ from those that it should have.
    sums: what `core.canonical.file_statement` gives, statement after statement, without the rows.
    """

    size: int
    crc32c: str
    rows: int = 0
    unreadable: str = ""
    differences: tuple[str, ...] = ()
    sums: tuple[int, ...] = ()


class DataReader(Protocol):
    """A library that decodes the files of an export."""

    async def digest(self, file: DataFile, content: AsyncIterator[bytes], *, checksums: bool) -> Digest:
        """Decode every value of a file. checksums: whether the sums are wanted too."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...
