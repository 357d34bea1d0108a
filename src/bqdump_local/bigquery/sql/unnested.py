"""Arrays as tables: offsets, and members of structs, which are columns there: `SELECT key FROM t, UNNEST(params)`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlglot import exp

from bqdump_local.bigquery.types import Field

# The parts of a column's path, the first one first.
PATH = ("catalog", "db", "table", "this")
# Expressions whose value has the elements of an array in them.
SAME_ELEMENTS = (exp.ArrayConcat, exp.ArrayReverse, exp.ArraySlice, exp.Coalesce, exp.If, exp.Paren)
ARRAYS = (exp.Array, exp.ArrayAgg, exp.Column, exp.Dot, *SAME_ELEMENTS)


class Source(NamedTuple):
    """An array of structs in a FROM clause: its name, the name of its offset, and the members of the structs.

    before: the arrays that come before it, and it itself, which cannot name its members.
    """

    node: exp.Unnest
    name: exp.Identifier
    offset: exp.Identifier | None
    members: tuple[str, ...]
    before: Sequence[exp.Expression] = ()


def name_members(statement: exp.Expression, tables: dict[str, Sequence[Field]]) -> None:
    """Qualify columns that are members of structs in arrays, and list the members for `*`.

    tables: the columns of the stored tables that the statement names, by their aliases in lower case. What is not found
    there, nor in the statement, stays as it is.
    """
    queries = {cte.alias.lower(): cte.this for cte in statement.find_all(exp.CTE)}
    for select in list(statement.find_all(exp.Select)):
        nodes = _sources(select)
        sources = [_source(node, statement, tables) for node in nodes if isinstance(node, exp.Unnest)]
        arrays = [
            source._replace(before=nodes[: nodes.index(source.node) + 1]) for source in sources if source is not None
        ]
        if arrays:
            taken = {name for node in nodes for name in _names_of(node, queries, tables)}
            members = {
                lower: array for array in arrays for name in array.members if (lower := name.lower()) not in taken
            }
            for column in list(_columns(select)):
                _qualify(column, select, members)
            _list_members(select, nodes, arrays)


def _sources(select: exp.Select) -> list[exp.Expression]:
    first = select.args.get("from_")
    joined = [join.this for join in select.args.get("joins") or ()]
    return [first.this, *joined] if first is not None else joined


def _source(node: exp.Unnest, statement: exp.Expression, tables: dict[str, Sequence[Field]]) -> Source | None:
    if len(node.expressions) != 1:
        return None
    members = _members(node.expressions[0], statement, tables)
    if not members and not _has_structs(node.expressions[0]):
        return None
    alias = node.args.get("alias")
    if alias is None or not alias.columns:
        used = {name.alias_or_name for name in statement.find_all(exp.TableAlias)}
        named = next(name for n in range(len(used) + 1) if (name := f"unnested_{n}") not in used)
        alias = exp.TableAlias(this=exp.to_identifier(f"of_{named}"), columns=[exp.to_identifier(named)])
        node.set("alias", alias)
    offset = node.args.get("offset")
    return Source(node, alias.columns[0], offset if isinstance(offset, exp.Identifier) else None, members)


def _members(
    array: exp.Expression,
    statement: exp.Expression,
    tables: dict[str, Sequence[Field]],
    seen: frozenset[str] = frozenset(),
) -> tuple[str, ...]:
    """The members of the structs in an array; none if it has no structs, or they are not known.

    seen: names of arrays that are being looked up.
    """
    if isinstance(array, SAME_ELEMENTS):
        parts = [array.args["true"], array.args.get("false")] if isinstance(array, exp.If) else array.iter_expressions()
        found = (_members(part, statement, tables, seen) for part in parts if part is not None)
        return next((members for members in found if members), ())
    if isinstance(array, exp.Array) and array.expressions and isinstance(array.expressions[0], exp.Select):
        return _selected(array.expressions[0], statement, tables, seen)
    if not isinstance(array, (exp.Column, exp.Dot)):
        struct = array.find(exp.Struct) if isinstance(array, (exp.Array, exp.ArrayAgg)) else None
        return _names(struct) if struct is not None and _depth(struct, array) <= 1 else ()
    name = (array.expression.name if isinstance(array, exp.Dot) else array.name).lower()
    every = [field for fields in tables.values() for field in _nested(fields) if field.name.lower() == name]
    known = {tuple(member.name for member in field.fields) for field in every if field.mode == "REPEATED"}
    if len(known) == 1:
        return known.pop()
    if known or name in seen:
        return ()
    aliased = [alias.this for alias in statement.find_all(exp.Alias) if alias.alias.lower() == name]
    aliased = [value.this if isinstance(value, exp.IgnoreNulls) else value for value in aliased]
    of_aliases = {_members(value, statement, tables, seen | {name}) for value in aliased if isinstance(value, ARRAYS)}
    return of_aliases.pop() if len(of_aliases) == 1 else ()


def _selected(
    select: exp.Select, statement: exp.Expression, tables: dict[str, Sequence[Field]], seen: frozenset[str]
) -> tuple[str, ...]:
    """The members of what a query in ARRAY(…) selects: a struct, or the elements of another array."""
    if str(select.args.get("kind")).upper() == "STRUCT":
        return tuple(name for name in select.named_selects if name != "*")
    only = select.expressions[0].unalias() if len(select.expressions) == 1 else None
    if isinstance(only, exp.Struct):
        return _names(only)
    arrays = (node for node in _sources(select) if isinstance(node, exp.Unnest) and len(node.expressions) == 1)
    named = (node for node in arrays if isinstance(only, exp.Column) and only.name.lower() in _names_of(node, {}, {}))
    return next((_members(node.expressions[0], statement, tables, seen) for node in named), ())


def _has_structs(array: exp.Expression) -> bool:
    """Whether an array is written with structs, which need not have names."""
    return (
        isinstance(array, exp.Array)
        and bool(array.expressions)
        and isinstance(array.expressions[0], exp.Struct | exp.Tuple)
    )


def _depth(struct: exp.Expression, array: exp.Expression) -> int:
    """How many further arrays and structs are around a struct in an array."""
    depth, node = 0, struct.parent
    while node is not None and node is not array:
        depth += isinstance(node, (exp.Array, exp.ArrayAgg, exp.Func)) or (isinstance(node, exp.Query) and depth == 0)
        node = node.parent
    return depth


def _names(struct: exp.Struct) -> tuple[str, ...]:
    named = [item.name if isinstance(item, exp.PropertyEQ) else item.alias_or_name for item in struct.expressions]
    return tuple(name for name in named if name)


def _nested(fields: Sequence[Field]) -> Iterator[Field]:
    for field in fields:
        yield field
        yield from _nested(field.fields)


def _names_of(node: exp.Expression, queries: dict[str, exp.Expression], tables: dict[str, Sequence[Field]]) -> set[str]:
    """The name of a source of a query, and those of its columns, without members of structs in an array."""
    if isinstance(node, exp.Unnest):
        columns = node.args["alias"].columns if node.args.get("alias") else []
        return {column.name.lower() for column in columns}
    name = node.alias_or_name.lower()
    query = (
        node.this if isinstance(node, exp.Subquery) else queries.get("" if node.args.get("db") else node.name.lower())
    )
    outputs = query.named_selects if isinstance(query, exp.Query) else []
    return {name, *(field.name.lower() for field in tables.get(name, ())), *(output.lower() for output in outputs)}


def _columns(select: exp.Select) -> Iterator[exp.Column]:
    """The columns of a query, without those of the queries in it."""
    inside = select.walk(prune=lambda node: isinstance(node, exp.Query) and node is not select)
    return (node for node in inside if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star))


def _qualify(column: exp.Column, select: exp.Select, members: dict[str, Source]) -> None:
    path = [part for key in PATH if (part := column.args.get(key)) is not None]
    source = members.get(path[0].name.lower()) if all(isinstance(part, exp.Identifier) for part in path) else None
    if source is None or (len(path) == 1 and _means_output(column, select)):
        return
    if any(node is column.find_ancestor(exp.Unnest, exp.Select) for node in source.before):
        return
    qualified: exp.Expression = exp.Column(this=path[0].copy(), table=source.name.copy())
    for part in path[1:]:
        qualified = exp.Dot(this=qualified, expression=part.copy())
    column.replace(qualified)


def _means_output(column: exp.Column, select: exp.Select) -> bool:
    """Whether a name after the SELECT list is that of an expression in the list."""
    clause = column.find_ancestor(exp.Order, exp.Group, exp.Having, exp.Qualify, exp.Select)
    if clause is None or clause.parent is not select:
        return False
    return any(isinstance(item, exp.Alias) and item.alias.lower() == column.name.lower() for item in select.expressions)


def _list_members(select: exp.Select, nodes: Sequence[exp.Expression], arrays: Sequence[Source]) -> None:
    """`SELECT *` has the members as columns in place of the struct, for arrays that come after all other sources."""
    if str(select.args.get("kind")).upper() == "STRUCT" and len(nodes) == len(arrays):
        select.set("expressions", [part for item in select.expressions for part in _spelled(item, arrays)])
    if any(node is not source.node for source, node in zip(arrays, nodes[-len(arrays) :], strict=True)):
        return
    for star in [item for item in select.expressions if isinstance(item, exp.Star) and not item.args.get("replace")]:
        excepted = list(star.args.get("except_") or ())
        own = {name.lower() for array in arrays for name in array.members}
        left_out = [item for item in excepted if item.name.lower() not in own]
        listed: list[exp.Expression] = []
        for array in arrays:
            inner = [item.copy() for item in excepted if item.name.lower() in map(str.lower, array.members)]
            left_out.append(array.name.copy())
            listed.append(exp.Column(this=exp.Star(**({"except_": inner} if inner else {})), table=array.name.copy()))
            if array.offset is not None:
                left_out.append(array.offset.copy())
                if array.offset.name.lower() not in {item.name.lower() for item in excepted}:
                    listed.append(exp.column(array.offset.copy()))
        star.set("except_", left_out)
        place = select.expressions.index(star)
        before = [] if len(nodes) == len(arrays) else [star]
        select.set("expressions", [*select.expressions[:place], *before, *listed, *select.expressions[place + 1 :]])


def _spelled(item: exp.Expression, arrays: Sequence[Source]) -> list[exp.Expression]:
    """`*` and `i.*` of `SELECT AS STRUCT` as the members, which DuckDB does not put into a struct by themselves."""
    star = item.this if isinstance(item, exp.Column) else item
    named = item.table.lower() if isinstance(item, exp.Column) else ""
    chosen = [array for array in arrays if not named or array.name.name.lower() == named]
    if not isinstance(star, exp.Star) or not all(array.members and array.offset is None for array in chosen):
        return [item]
    excepted = {name.name.lower() for name in star.args.get("except_") or ()}
    replaced = {new.alias.lower(): new for new in star.args.get("replace") or ()}
    members = [(array, name) for array in chosen for name in array.members if name.lower() not in excepted]
    return [
        replaced[name.lower()].copy() if name.lower() in replaced else exp.column(name, array.name.copy(), quoted=True)
        for array, name in members
    ]


def count_from_zero(statement: exp.Expression) -> None:
    """Give each UNNEST … WITH OFFSET BigQuery's offsets: DuckDB's ordinality counts from 1."""
    for node in list(statement.find_all(exp.Unnest)):
        if isinstance(offset := node.args.get("offset"), exp.Identifier):
            named = node.args.get("alias")
            value = named.columns[0] if named and named.columns else exp.to_identifier("value")
            columns = exp.TableAlias(this=exp.to_identifier("numbered"), columns=[value.copy()])
            numbered = exp.Unnest(
                expressions=[item.copy() for item in node.expressions], alias=columns, offset=offset.copy()
            )
            from_zero = exp.alias_(exp.column(offset.copy()) - 1, offset.copy())
            if isinstance(node.parent, exp.Join) and node.parent.side and not node.parent.args.get("on"):
                node.parent.set("on", exp.true())
            rows = exp.select(exp.column(value.copy()), from_zero).from_(numbered)
            node.replace(exp.Lateral(this=exp.Subquery(this=rows), alias=exp.TableAlias()))
