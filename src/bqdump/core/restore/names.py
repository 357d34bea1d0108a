"""Names in a restore: those that it makes, those that tables get in the target, and those that SQL mentions.

What it makes is named after its id: jobs, scratch tables, the label of tables in progress. A repeated start makes the
same names, so it finds what an earlier one has begun.
`Moves` says where exported datasets are restored, so that what names one of them can name the restored one.
`tokens` splits GoogleSQL as far as names need it: what is a comment, a string, a quoted name, a word.
Sources: https://cloud.google.com/bigquery/docs/running-jobs#generate-jobid, https://cloud.google.com/bigquery/docs/tables,
https://cloud.google.com/bigquery/docs/labels-intro#requirements,
https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, cast

import msgspec

from bqdump.core.errors import UsageError
from bqdump.core.restore.plan import PLAN, SHOWN
from bqdump.core.sizes import counted, named
from bqdump.core.tables.catalog import Dataset, alike

# The label of a table until it is finished. Its value is the mark of the restore.
LABEL = "bqdump_restore"
SCRATCH = "bqdump_scratch_"
# The ids of a restore's jobs, as job_id makes them.
JOB = r"bqdump-restore-{restore}-\d+-[a-z]+-\d+-\d+"
_ID = re.compile(r"[0-9a-f]{12}-[0-9]{1,9}")


def digest(*what: object) -> str:
    """12 hex digits that stand for what is restored: the run, the generation of its manifest, the options."""
    return hashlib.sha256(msgspec.json.encode(what, order="deterministic")).hexdigest()[:12]


def restore_id(what: str, number: int) -> str:
    """The id of the n-th restore of what has this digest; also the value of a label."""
    id_ = f"{what}-{number}"
    if not is_restore_id(id_):
        raise ValueError(f"invalid restore id {id_!r}")
    return id_


def is_restore_id(id_: str) -> bool:
    """Whether a restore can have this id."""
    return _ID.fullmatch(id_) is not None


def mark_of(restore: str, nonce: str) -> str:
    """What the jobs, the scratch tables and the labels of a restore carry.

    Ids count the restores whose documents are in one place, so another place has the same ones, and so has this one
    once its documents are deleted. nonce: "" for a restore of a release that gave none.
    """
    return f"{restore}-{nonce}" if nonce else restore


def id_of(mark: str) -> str:
    """The id of the restore with this mark."""
    return "-".join(mark.split("-")[:2])


def job_id(restore: str, table: int, step: str, part: int, attempt: int) -> str:
    """The id of a job.

    restore: its mark.
    table: its number in the plan.
    step: such as "load", and a part of it.
    """
    return f"bqdump-restore-{restore}-{table}-{step}-{part}-{attempt}"


def load_id(restore: str, table: str, attempt: int) -> str:
    """The id of a job that loads a table under its own name, which another restore finds without the plan of this one.

    restore: its mark.
    table: its name in the target.
    """
    return job_id(restore, int(hashlib.sha256(table.encode()).hexdigest()[:16], 16), "load", 0, attempt)


def scratch_name(restore: str, table: int) -> str:
    """The name of the scratch table for a table of the plan."""
    return f"{SCRATCH}{restore.replace('-', '_')}_{table}"


def scratch_prefix(restore: str) -> str:
    """What the names of all scratch tables of a restore begin with. restore: its mark."""
    return f"{SCRATCH}{restore.replace('-', '_')}_"


def is_scratch(name: str) -> bool:
    """Whether a table is the scratch table of a restore."""
    return name.startswith(SCRATCH)


class Move(NamedTuple):
    """An exported dataset, and the one that it is restored into."""

    source: Dataset
    target: Dataset


class Moves:
    """The exported dataset, and others of its project that the same command restores.

    others: name in the export, and name in the project of the target.
    tables: the names in the target of tables of the exported dataset, where these are others.
    spellings: the names in the target of all its tables, where it ignores case: any spelling of a name is that name.
    """

    def __init__(
        self,
        source: Dataset,
        target: Dataset,
        others: Sequence[tuple[str, str]] = (),
        tables: Mapping[str, str] | None = None,
        spellings: Mapping[str, str] | None = None,
    ) -> None:
        self._tables = {name: into for name, into in (tables or {}).items() if name != into}
        self._spellings = None if spellings is None else {alike(name): into for name, into in spellings.items()}
        self._by_name = {
            name: Move(Dataset(source.project, name, source.location), Dataset(target.project, into, target.location))
            for name, into in others
        }
        self.own = self._by_name[source.name] = Move(source, target)

    def named(self, dataset: str) -> Move | None:
        """The move of the dataset of this name in the source project."""
        own = self._spellings is not None and alike(dataset) == alike(self.own.source.name)
        return self._by_name.get(dataset) or (self.own if own else None)

    def of(self, project: str, dataset: str) -> Move | None:
        """The move of this dataset."""
        move = self.named(dataset)
        return move if move and move.source.project == project else None

    def table(self, move: Move, name: str) -> str | None:
        """The name in the target of what is called so in the dataset of this move; None for the same."""
        if move != self.own:
            return None
        into = self._tables.get(name, name) if self._spellings is None else self._spellings.get(alike(name), name)
        return None if into == name else into


# Stands for the name of the exported table, in its name in the target.
TABLE = "{table}"
SETTING = "as_"
# https://cloud.google.com/bigquery/docs/tables#table_naming
CATEGORIES = ("L", "M", "N", "Pc", "Pd", "Zs")
LONGEST_BYTES = 1024


def parse_as(value: str) -> str:
    """A name for a table, which may contain {table}; "" for none. Raises UsageError."""
    if value and (problem := _problem(value.replace(TABLE, "_"))):
        if set("{}") & set(value.replace(TABLE, "")):
            problem = f"the only placeholder is {TABLE}"
        hint = f"Write a name, in which {TABLE} stands for that in the export: {TABLE}_old."
        raise UsageError(PLAN, "", f"invalid value {value!r}: {problem}", hint, setting=SETTING)
    return value


RANGE = ".."
FORM = re.compile(r"(?P<table>[^$*?]+)\$(?P<first>-?\w+)(?:\.\.(?P<last>-?\w+))?")


class PartitionRange(NamedTuple):
    """Partitions of a table from one id to another one, both included."""

    table: str
    first: str
    last: str

    def __str__(self) -> str:
        return self.first if self.first == self.last else f"{self.first}{RANGE}{self.last}"


def partition_range(value: str) -> PartitionRange:
    """The partitions that a string such as "clicks$20261101..20261130" stands for. Raises UsageError."""
    match = FORM.fullmatch(value)
    if match is None:
        hint = "Write TABLE$ID or TABLE$FIRST..LAST, in quotes, such as 'clicks$20261101..20261130'."
        cause = f"invalid value {value!r}: expected a table and the id of a partition"
        raise UsageError(PLAN, "", cause, hint, setting="partitions")
    return PartitionRange(match["table"], match["first"], match["last"] or match["first"])


def names_in_target(tables: Sequence[str], template: str) -> Mapping[str, str]:
    """The name of each of these tables in the target. template: see parse_as, "" for the same names.

    Raises UsageError where two tables would have one name, for a name that is too long, and without a table.
    """
    if not template:
        return {table: table for table in tables}
    if not tables:
        cause = "only tables can be restored under another name, and no table is chosen"
        raise UsageError(PLAN, "", cause, "{call:ls} lists the tables.", setting=SETTING)
    if TABLE not in template and len(tables) > 1:
        cause = f"{template!r} would be the name of {counted(len(tables), 'table')} ({named(tables, SHOWN)})"
        hint = f"Choose one table with {{setting:include}}, or write {TABLE} for the name of each."
        raise UsageError(PLAN, "", cause, hint, setting=SETTING)
    names = {table: template.replace(TABLE, table) for table in tables}
    for table, name in names.items():
        if problem := _problem(name):
            raise UsageError(PLAN, f"table {table}", f"{name[:60]!r}: {problem}", setting=SETTING)
    return names


def _problem(name: str) -> str:
    """Why BigQuery, or a restore, takes no table of this name; "" where both do."""
    if not all(unicodedata.category(character).startswith(CATEGORIES) for character in name):
        return "names of tables have letters, digits, spaces, - and _ only"
    if len(name.encode()) > LONGEST_BYTES:
        return f"names of tables have up to {LONGEST_BYTES:,} bytes"
    return f"names of scratch tables of a restore begin with {SCRATCH}" if is_scratch(name) else ""


Kind = Literal["space", "string", "quoted", "word", "number", "sign"]

_TOKEN = re.compile(
    r"""
    (?P<space> \s+ | (?:\#|--)[^\n]* | /\*(?s:.*?)(?:\*/|\Z) )
  | (?P<string> (?:[rR][bB]?|[bB][rR]?)? (?:
        \"\"\" (?s:(?:\\.|(?!\"\"\").)*) \"\"\" | ''' (?s:(?:\\.|(?!''').)*) '''
      | " (?:\\.|[^"\\\n])* " | ' (?:\\.|[^'\\\n])* ' ) )
  | (?P<quoted> ` (?:\\.|[^`\\\n])+ ` )
  | (?P<word> [^\W\d]\w* )
  | (?P<number> \d\w* )
  | (?P<sign> (?s:.) )
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(?s:(.)))")
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class Token(NamedTuple):
    """A piece of text. Comments are spaces. Quotes that are not closed are signs."""

    kind: Kind
    text: str

    @property
    def name(self) -> str:
        """The name that a word, a number or a quoted name stands for."""
        return _ESCAPE.sub(_character, self.text[1:-1]) if self.kind == "quoted" else self.text

    @property
    def keyword(self) -> str:
        """A word in upper case; "" for anything else."""
        return self.text.upper() if self.kind == "word" else ""


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a text; together they are the text."""
    for match in _TOKEN.finditer(text):
        kind = cast("Kind", match.lastgroup)
        yield Token(kind, match[0])


def _character(match: re.Match[str]) -> str:
    if number := match[1] or match[2] or match[3]:
        code = int(number, 16)
        return chr(code) if code < 0x110000 else match[0]
    return chr(int(match[4], 8)) if match[4] else _LETTERS.get(match[5], match[5])
