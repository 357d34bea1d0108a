"""What an Iceberg manifest says of a Parquet file, from its footer: columns, rows, sizes, null counts and bounds.

Source: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from bqdump.core.errors import DocumentError
from bqdump.core.formats.parquet_footer import Fields, Items, decode_struct
from bqdump.core.iceberg.columns import DIGITS, Node, with_ids

SCHEMA, NUM_ROWS, ROW_GROUPS = 2, 3, 4
TYPE, TYPE_LENGTH, REPETITION, NAME, CHILDREN, CONVERTED, SCALE, PRECISION, FIELD_ID, LOGICAL = range(1, 11)
BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY, FIXED = range(8)
REPEATED = 2
PLAIN = {BOOLEAN: "boolean", INT32: "int", INT64: "long", FLOAT: "float", DOUBLE: "double", BYTE_ARRAY: "binary"}
# Members of LogicalType, and the converted types of files that have none.
STRING, MAP, LIST, ENUM, DECIMAL, DATE, TIME, TIMESTAMP, JSON, UUID = 1, 2, 3, 4, 5, 6, 7, 8, 12, 14
CONVERTED_TO = {0: STRING, 4: ENUM, 5: DECIMAL, 6: DATE, 8: TIME, 10: TIMESTAMP, 19: JSON}
MICROS = 2
UTF8_TYPES = (STRING, ENUM, JSON)
# Writers may shorten longer texts in statistics.
LONGEST_TEXT = 63
# What reading a decoded footer raises where it lacks what every footer has; RuntimeError from within generators.
LACKING = (LookupError, AttributeError, TypeError, ValueError, OverflowError, StopIteration, RuntimeError)
WIDTHS = {"int": 4, "date": 4, "long": 8, "time": 8, "timestamp": 8, "timestamptz": 8}


class FileFacts(NamedTuple):
    """A Parquet file as its footer describes it.

    columns: with the ids of its fields.
    sizes: compressed bytes by column id.
    values, nulls: their numbers by column id.
    lower, upper: bounds by column id, as Iceberg serializes them.
    offsets: of its row groups.
    """

    columns: tuple[Node, ...]
    rows: int
    sizes: dict[int, int]
    values: dict[int, int]
    nulls: dict[int, int]
    lower: dict[int, bytes]
    upper: dict[int, bytes]
    offsets: tuple[int, ...]


class Leaf(NamedTuple):
    """A column of values: its path, physical type, Iceberg type and id. repeated: within a list."""

    path: tuple[str, ...]
    physical: int
    type: str
    id: int
    repeated: bool


def file_facts(footer: bytes, name: str) -> FileFacts:
    """The facts from a footer (without its trailer). Raises DocumentError for anything else."""
    return facts_of(decoded(footer, name), name)


def decoded(footer: bytes, name: str) -> Fields:
    """The footer as a tree. Raises DocumentError for anything else."""
    try:
        return decode_struct(footer)
    except (IndexError, ValueError) as error:
        raise _broken(name, f"its footer is damaged ({error})") from None


def facts_of(metadata: Fields, name: str) -> FileFacts:
    """The facts from a decoded footer. Raises DocumentError where it lacks what every footer has."""
    try:
        columns = columns_of(metadata)
        leaves = list(_leaves(columns, iter(_physical(metadata)), (), repeated=False))
        return _facts(metadata, columns, leaves)
    except LACKING as error:
        raise lacks(name, error) from None


def columns_of(metadata: Fields) -> tuple[Node, ...]:
    """The columns of the file, with ids."""
    elements = iter(metadata[SCHEMA].value.values)
    root = next(elements)
    return with_ids([_node(elements) for _ in range(root[CHILDREN].value)])


def _node(elements: Iterator[Fields]) -> Node:
    element = next(elements)
    name, number = element[NAME].value.decode(), _get(element, FIELD_ID) or 0
    count = _get(element, CHILDREN)
    if count is None:
        node = Node(name, _type(element), (), number)
    elif _logical(element)[0] in (LIST, MAP):
        node = Node(name, "list", (_element(elements),), number)
    else:
        node = Node(name, "struct", tuple(_node(elements) for _ in range(count)), number)
    # Something repeated without a list around it has no type.
    return node._replace(type="") if _get(element, REPETITION) == REPEATED else node


def _element(elements: Iterator[Fields]) -> Node:
    """What a list holds: the child of the repeated group within it."""
    group = next(elements)
    if _get(group, CHILDREN) != 1:
        raise ValueError("a list of an old form")
    return _node(elements)._replace(name="element")


def _logical(element: Fields) -> tuple[int, Fields]:
    union = _get(element, LOGICAL)
    if union:
        ((number, value),) = union.items()
        return number, value.value
    converted = _get(element, CONVERTED)
    if converted in (1, 2, 3):
        return LIST if converted == 3 else MAP, {}
    return CONVERTED_TO.get(converted, 0), {}


def _type(element: Fields) -> str:
    physical, (logical, parameters) = element[TYPE].value, _logical(element)
    if logical == DECIMAL:
        precision, scale = _get(element, PRECISION), _get(element, SCALE) or 0
        if precision is None:
            precision, scale = parameters[2].value, parameters[1].value
        return f"decimal({precision}, {scale})" if precision <= DIGITS else ""
    if logical in UTF8_TYPES:
        return "string"
    if logical == DATE:
        return "date"
    if logical == TIME:
        return "time" if _micros(parameters) else ""
    if logical == TIMESTAMP:
        # A converted type means UTC.
        utc = parameters[1].value if parameters else True
        return ("timestamptz" if utc else "timestamp") if _micros(parameters) else ""
    if physical == FIXED:
        return f"fixed[{element[TYPE_LENGTH].value}]"
    return PLAIN.get(physical, "")


def _micros(parameters: Fields) -> bool:
    return not parameters or MICROS in parameters[2].value


def _physical(metadata: Fields) -> list[int]:
    """The physical types of the leaves, in order."""
    return [element[TYPE].value for element in metadata[SCHEMA].value.values if CHILDREN not in element]


def _leaves(
    nodes: tuple[Node, ...], physical: Iterator[int], path: tuple[str, ...], *, repeated: bool
) -> Iterator[Leaf]:
    for node in nodes:
        here = (*path, node.name)
        if node.children:
            yield from _leaves(node.children, physical, here, repeated=repeated or node.type != "struct")
        else:
            yield Leaf(here, next(physical), node.type, node.id, repeated)


def _facts(metadata: Fields, columns: tuple[Node, ...], leaves: list[Leaf]) -> FileFacts:
    groups = _get(metadata, ROW_GROUPS) or Items(12, [])
    chunks = [[chunk[3].value for chunk in group[1].value.values] for group in groups.values]
    if any(len(row) != len(leaves) for row in chunks):
        raise ValueError("a row group lacks columns")
    facts = FileFacts(columns, metadata[NUM_ROWS].value, {}, {}, {}, {}, {}, tuple(map(_offset, chunks)))
    for index, leaf in enumerate(leaves):
        of_leaf = [row[index] for row in chunks]
        facts.sizes[leaf.id] = sum(chunk[7].value for chunk in of_leaf)
        if not leaf.repeated and leaf.type:
            _count(facts, leaf, of_leaf)
    return facts


def _offset(row: list[Fields]) -> int:
    """Where a row group begins."""
    first = row[0]
    data, dictionary = first[9].value, _get(first, 11) or 0
    return int(min(data, dictionary) if dictionary else data)


def _count(facts: FileFacts, leaf: Leaf, chunks: list[Fields]) -> None:
    values = sum(chunk[5].value for chunk in chunks)
    facts.values[leaf.id] = values
    statistics: list[Fields] = [_get(chunk, 12) or {} for chunk in chunks]
    nulls = [_get(summary, 3) for summary in statistics]
    if any(count is None for count in nulls):
        return
    facts.nulls[leaf.id] = sum(nulls)
    having = [
        summary for summary, chunk, count in zip(statistics, chunks, nulls, strict=True) if count < chunk[5].value
    ]
    bounds = [_bounds(leaf, summary) for summary in having]
    if bounds and all(bounds):
        known = [bound for bound in bounds if bound]
        facts.lower[leaf.id] = _serialized(leaf.type, min(low for low, _ in known))
        facts.upper[leaf.id] = _serialized(leaf.type, max(high for _, high in known))


def _bounds(leaf: Leaf, statistics: Fields) -> tuple[Any, Any] | None:
    """The least and the greatest value, as they compare; None where they are not known for certain.

    Floating point is left out: statistics may ignore the sign of zero, and NaN.
    """
    low, high = _get(statistics, 6), _get(statistics, 5)
    if (low is None or high is None) and leaf.physical in (INT32, INT64):
        # Older files: these were compared as signed numbers.
        low, high = _get(statistics, 2), _get(statistics, 1)
    if _get(statistics, 7) is False or _get(statistics, 8) is False:
        return None
    if not isinstance(low, bytes) or not isinstance(high, bytes):
        return None
    if leaf.type in WIDTHS or leaf.type.startswith("decimal"):
        order: Literal["little", "big"] = "little" if leaf.physical in (INT32, INT64) else "big"
        return int.from_bytes(low, order, signed=True), int.from_bytes(high, order, signed=True)
    if leaf.type == "string" and max(len(low), len(high)) <= LONGEST_TEXT:
        return low, high
    return None


def _serialized(type_: str, value: Any) -> bytes:
    """A single value as Iceberg stores bounds. https://iceberg.apache.org/spec/#binary-single-value-serialization"""
    if isinstance(value, bytes):
        return value
    if width := WIDTHS.get(type_):
        return int(value).to_bytes(width, "little", signed=True)
    return int(value).to_bytes((value if value >= 0 else ~value).bit_length() // 8 + 1, "big", signed=True)


def _get(fields: Fields, number: int) -> Any:
    field = fields.get(number)
    return field.value if field else None


def lacks(name: str, error: Exception) -> DocumentError:
    """The error about one of LACKING."""
    return _broken(name, f"it lacks what every footer has ({error!r})")


def _broken(name: str, cause: str) -> DocumentError:
    return DocumentError("read the Parquet footer of", name, cause)
