"""Functions, table functions and procedures: the statements that create them, and calls of those written in SQL."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp

from bqdump_local.bigquery.errors import BigQueryError, duplicate, invalid, not_found, unsupported
from bqdump_local.bigquery.sql.functions import known
from bqdump_local.bigquery.sql.parsing import in_parentheses, split_list, syntax_error
from bqdump_local.bigquery.tables.shelf import accept

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bqdump_local.bigquery.sql.translation import Translation
    from bqdump_local.bigquery.tables.catalog import Catalog
    from bqdump_local.bigquery.tables.shelf import Check

Resource = dict[str, Any]
NAME = r"(?:`[^`]+`|[\w-]+)(?:\.(?:`[^`]+`|[\w-]+))*"
CREATE = re.compile(
    r"\s*CREATE\s+(?P<replace>OR\s+REPLACE\s+)?(?P<kind>FUNCTION|AGGREGATE\s+FUNCTION|TABLE\s+FUNCTION|PROCEDURE)\s+"
    rf"(?P<exists>IF\s+NOT\s+EXISTS\s+)?(?P<name>{NAME})\s*(?=\()",
    re.IGNORECASE,
)
DROP = re.compile(
    r"\s*DROP\s+(?P<kind>FUNCTION|TABLE\s+FUNCTION|PROCEDURE)\s+(?P<exists>IF\s+EXISTS\s+)?"
    rf"(?P<name>{NAME})\s*;?\s*",
    re.IGNORECASE,
)
TYPES = {
    "FUNCTION": "SCALAR_FUNCTION",
    "AGGREGATE FUNCTION": "AGGREGATE_FUNCTION",
    "TABLE FUNCTION": "TABLE_VALUED_FUNCTION",
    "PROCEDURE": "PROCEDURE",
}
OPTIONS = re.compile(r"OPTIONS\s*(?=\()", re.IGNORECASE)
BODY = re.compile(r"\s*(?:AS\b\s*)?(?P<body>.*?)\s*;?\s*", re.IGNORECASE | re.DOTALL)
# What can follow the arguments, up to options and body.
CLAUSES = re.compile(
    r"\s*(?:RETURNS\s+(?P<returns>.+?)(?=\s+(?:DETERMINISTIC|NOT\s+DETERMINISTIC|LANGUAGE|REMOTE|OPTIONS|AS|BEGIN)\b|$))?"
    r"(?:\s*(?P<level>NOT\s+DETERMINISTIC|DETERMINISTIC))?"
    r"(?:\s*LANGUAGE\s+(?P<language>\w+))?"
    rf"(?:\s*REMOTE\s+WITH\s+CONNECTION\s+(?P<connection>{NAME}))?\s*",
    re.IGNORECASE | re.DOTALL,
)
ARGUMENT = re.compile(r"\s*(?:(?P<mode>IN|OUT|INOUT)\s+)?(?P<name>\S+)\s+(?P<kind>.+?)\s*", re.IGNORECASE | re.DOTALL)
DESCRIPTION = re.compile(r"description\s*=\s*(['\"])(?P<text>.*?)\1", re.IGNORECASE | re.DOTALL)
QUOTED_BODY = re.compile(r"[rR]?(\"\"\"|'''|\"|')(?P<code>.*)\1", re.DOTALL)
# A body can call other routines, but not itself.
DEEPEST = 16


def run(text: str, translation: Translation) -> str | None:
    """Run a statement that creates or drops a routine. Returns its type; None for another statement."""
    if found := DROP.fullmatch(text):
        kind = " ".join(found["kind"].upper().split())
        place = _place(found["name"], translation)
        if not translation.catalog.routines.remove(*place) and not found["exists"]:
            raise not_found("Routine", f"{place[0]}:{place[1]}.{place[2]}")
        return f"DROP_{kind.replace(' ', '_')}"
    found = CREATE.match(text)
    if found is None:
        return None
    kind = " ".join(found["kind"].upper().split())
    place = _place(found["name"], translation)
    statement = f"CREATE_{kind.replace(' ', '_')}"
    if found["exists"] and translation.catalog.routines.find(*place):
        return statement
    arguments, rest = in_parentheses(text[found.end() :])
    create(translation.catalog, place, _resource(kind, arguments, rest), replace=bool(found["replace"]))
    return statement


def create(
    catalog: Catalog, place: tuple[str, str, str], resource: Resource, *, replace: bool, check: Check = accept
) -> Resource:
    """Store a routine. Raises if there is one, unless `replace` is set, or if its body names what does not exist.

    check: raises for a present routine (None: there is none) that this one may not replace.
    """
    project, dataset, name = place
    catalog.dataset(project, dataset)
    now, old = str(catalog.settings.now_ms()), catalog.routines.find(*place)
    if not resource.get("routineType") or "definitionBody" not in resource:
        raise invalid("Required parameter is missing: routineType or definitionBody")
    _check_references(catalog, project, resource)
    complete = {
        **resource,
        "etag": secrets.token_urlsafe(12),
        "routineReference": {"projectId": project, "datasetId": dataset, "routineId": name},
        "creationTime": old["creationTime"] if old else now,
        "lastModifiedTime": now,
    }
    if not complete.get("remoteFunctionOptions"):
        complete.setdefault("language", "SQL")
    with catalog.lock:
        catalog.dataset(project, dataset)
        if not catalog.routines.put(project, dataset, name, complete, replace=replace, check=check):
            raise duplicate("Routine", f"{project}:{dataset}.{name}")
    return complete


def inlined(call: exp.Expression, translation: Translation) -> exp.Expression | None:
    """The expression or query (of a table function) that a call of a routine in a dataset stands for.

    None for a function that is not in a dataset. Raises if there is no such routine.
    """
    path, arguments = _called(call)
    if len(path) < 2:
        return None
    place = (path[-3] if len(path) > 2 else translation.project, path[-2], path[-1])
    found = translation.catalog.routines.find(*place)
    if found is None and len(path) == 2 and path[0].upper() in known.GROUPS:
        raise unsupported(f"the function {'.'.join(path).upper()}", location="query")
    if found is None:
        raise BigQueryError("invalidQuery", f"Function not found: {'.'.join(path)}", location="query")
    if found.get("language") != "SQL" or found["routineType"] not in ("SCALAR_FUNCTION", "TABLE_VALUED_FUNCTION"):
        raise BigQueryError("notImplemented", f"This local stand-in does not run {'.'.join(path)}", location="query")
    names = [argument["name"].lower() for argument in found.get("arguments", ())]
    if len(names) != len(arguments):
        raise BigQueryError("invalidQuery", f"No matching signature for function {'.'.join(path)}", location="query")
    given = dict(zip(names, arguments, strict=True))

    def filled(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Column) and not node.table and node.name.lower() in given:
            return exp.Paren(this=given[node.name.lower()].copy())
        return node

    return _body(found).transform(filled)


def _called(call: exp.Expression) -> tuple[list[str], list[exp.Expression]]:
    """The parts of a called function's name, and its arguments. A table has them, too, when it is a function's."""
    if isinstance(call, exp.Table):
        function = call.this
        parts = [part for part in (call.catalog, call.db, _name(function)) if part]
    else:
        function = call.expression if isinstance(call, exp.Dot) else call
        parts = [*_parts(call.this), _name(function)] if isinstance(call, exp.Dot) else [_name(function)]
    arguments = list(function.expressions) if isinstance(function, exp.Anonymous) else []
    return ".".join(parts).split("."), arguments


def _parts(node: exp.Expression) -> list[str]:
    return [*_parts(node.this), node.expression.name] if isinstance(node, exp.Dot) else [node.name]


def _name(function: exp.Expression) -> str:
    return str(function.this.name if isinstance(function.this, exp.Identifier) else function.this)


def calls(statement: exp.Expression) -> Iterator[exp.Expression]:
    """The calls of functions with a dataset in their name."""
    for node in statement.find_all(exp.Dot, exp.Anonymous):
        if (isinstance(node, exp.Dot) and isinstance(node.expression, exp.Anonymous)) or (
            isinstance(node, exp.Anonymous) and "." in _name(node) and not isinstance(node.parent, (exp.Dot, exp.Table))
        ):
            yield node


def with_calls_inlined(statement: exp.Expression, translation: Translation) -> exp.Expression:
    """The statement with the bodies of the SQL functions that it calls."""
    for _ in range(DEEPEST):
        found = [(call, body) for call in calls(statement) if (body := inlined(call, translation)) is not None]
        if not found:
            return statement
        for call, body in found:
            if call is statement:
                statement = exp.Paren(this=body)
            else:
                call.replace(exp.Paren(this=body))
    raise BigQueryError("invalidQuery", "Too many nested function calls", location="query")


def _body(routine: Resource) -> exp.Expression:
    body = routine["definitionBody"]
    try:
        known.refuse_foreign(sqlglot.tokenize(body, read="bigquery"))
        if routine["routineType"] == "TABLE_VALUED_FUNCTION":
            return sqlglot.parse_one(body, read="bigquery")
        return sqlglot.parse_one(f"SELECT {body}", read="bigquery").expressions[0].unalias()
    except sqlglot.errors.SqlglotError as error:
        raise syntax_error(error) from error


def _check_references(catalog: Catalog, project: str, routine: Resource) -> None:
    """Raise for the body of an SQL function that names tables or functions which do not exist, as BigQuery does."""
    if routine.get("language", "SQL") != "SQL" or routine["routineType"] not in TYPES.values():
        return
    if routine["routineType"] == "PROCEDURE" or routine.get("remoteFunctionOptions"):
        return
    body = _body(routine)
    defined = {cte.alias.lower() for cte in body.find_all(exp.CTE)}
    for node in body.walk():
        known.refuse_unknown(node)
    for node in body.find_all(exp.Table):
        if isinstance(node.this, exp.Func) and not node.db:
            raise known.of_tables(node)
        named = isinstance(node.this, exp.Identifier) and node.db and node.name.lower() not in defined
        if named and not node.db.upper().startswith("INFORMATION_SCHEMA"):
            catalog.table(node.catalog or project, node.db, node.name)
    for call in calls(body):
        path, _ = _called(call)
        if len(path) > 1 and not catalog.routines.find(path[-3] if len(path) > 2 else project, path[-2], path[-1]):
            raise BigQueryError("invalidQuery", f"Function not found: {'.'.join(path)}", location="query")


def _resource(kind: str, arguments: str, rest: str) -> Resource:
    clauses, options = CLAUSES.match(rest), ""
    if clauses is None:
        raise BigQueryError("invalidQuery", f"Syntax error in CREATE {kind}", location="query")
    language, rest = (clauses["language"] or "SQL").upper(), rest[clauses.end() :]
    language = "JAVASCRIPT" if language == "JS" else language
    if OPTIONS.match(rest):
        options, rest = in_parentheses(rest)
    found = BODY.fullmatch(rest)
    body = found["body"] if found else ""
    if language != "SQL":
        quoted = QUOTED_BODY.fullmatch(body)
        body = quoted["code"] if quoted else body
    elif kind.endswith("FUNCTION") and kind != "TABLE FUNCTION" and body.startswith("("):
        body = in_parentheses(body)[0].strip()
    made: Resource = {"routineType": TYPES[kind], "language": language, "definitionBody": body}
    if listed := [_argument(text) for text in split_list(arguments)]:
        made["arguments"] = listed
    if clauses["returns"] and kind == "TABLE FUNCTION":
        table = clauses["returns"].strip().removeprefix("TABLE").replace("<", "(").replace(">", ")")
        columns = in_parentheses(table)[0]
        made["returnTableType"] = {"columns": [_typed(text, "type") for text in split_list(columns)]}
    elif clauses["returns"]:
        made["returnType"] = data_type(clauses["returns"])
    if clauses["level"]:
        made["determinismLevel"] = "_".join(clauses["level"].upper().split())
    if clauses["connection"]:
        made["remoteFunctionOptions"] = {"connection": clauses["connection"].replace("`", "")}
        del made["language"]
    if described := DESCRIPTION.search(options):
        made["description"] = described["text"]
    return made


def _argument(text: str) -> Resource:
    found = ARGUMENT.fullmatch(text)
    if found is None:
        raise BigQueryError("invalidQuery", f"Syntax error in the argument {text.strip()}", location="query")
    name = found["name"].strip("`")
    if found["kind"].upper() == "ANY TYPE":
        return {"name": name, "argumentKind": "ANY_TYPE"}
    made = {"name": name, "dataType": data_type(found["kind"])}
    return {**made, "mode": found["mode"].upper()} if found["mode"] else made


def _typed(text: str, key: str) -> Resource:
    name, kind = text.strip().split(None, 1)
    return {"name": name.strip("`"), key: data_type(kind)}


def data_type(text: str) -> Resource:
    """A `StandardSqlDataType` for a type in GoogleSQL."""
    return _data_type(exp.DataType.build(text, dialect="bigquery"))


def _data_type(node: exp.DataType) -> Resource:
    if node.this == exp.DataType.Type.ARRAY:
        return {"typeKind": "ARRAY", "arrayElementType": _data_type(node.expressions[0])}
    if node.this == exp.DataType.Type.STRUCT:
        fields = [{"name": member.name, "type": _data_type(member.args["kind"])} for member in node.expressions]
        return {"typeKind": "STRUCT", "structType": {"fields": fields}}
    return {"typeKind": node.sql(dialect="bigquery").partition("(")[0]}


def _place(name: str, translation: Translation) -> tuple[str, str, str]:
    parts = name.replace("`", "").split(".")
    if len(parts) > 1:
        return (parts[-3] if len(parts) > 2 else translation.project, parts[-2], parts[-1])
    if translation.default_dataset is None:
        raise BigQueryError("invalidQuery", f"Routine name {name} missing dataset", location="query")
    return (*translation.default_dataset, parts[0])
