"""Functions, table functions and procedures: the statements that create and drop them."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from bqdump_local.bigquery.errors import BigQueryError, duplicate, invalid, not_found
from bqdump_local.bigquery.functions import known
from bqdump_local.bigquery.sql.inlining import body_of, called, calls
from bqdump_local.bigquery.sql.parsing import in_parentheses, split_list
from bqdump_local.bigquery.tables.shelf import accept

if TYPE_CHECKING:
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


def run(text: str, translation: Translation) -> str | None:
    """Run a statement that creates or drops a routine. Returns its type; None for another statement."""
    if match := DROP.fullmatch(text):
        kind = " ".join(match["kind"].upper().split())
        place = _place(match["name"], translation)
        if not translation.catalog.routines.remove(*place) and not match["exists"]:
            raise not_found("Routine", f"{place[0]}:{place[1]}.{place[2]}")
        return f"DROP_{kind.replace(' ', '_')}"
    match = CREATE.match(text)
    if match is None:
        return None
    kind = " ".join(match["kind"].upper().split())
    place = _place(match["name"], translation)
    statement = f"CREATE_{kind.replace(' ', '_')}"
    if match["exists"] and translation.catalog.routines.find(*place):
        return statement
    arguments, rest = in_parentheses(text[match.end() :])
    create(translation.catalog, place, _resource(kind, arguments, rest), replace=bool(match["replace"]))
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


def _check_references(catalog: Catalog, project: str, routine: Resource) -> None:
    """Raise for the body of an SQL function that names tables or functions which do not exist, as BigQuery does."""
    if routine.get("language", "SQL") != "SQL" or routine["routineType"] not in TYPES.values():
        return
    if routine["routineType"] == "PROCEDURE" or routine.get("remoteFunctionOptions"):
        return
    body = body_of(routine)
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
        path, _ = called(call)
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
    match = BODY.fullmatch(rest)
    body = match["body"] if match else ""
    if language != "SQL":
        quoted = QUOTED_BODY.fullmatch(body)
        body = quoted["code"] if quoted else body
    elif kind.endswith("FUNCTION") and kind != "TABLE FUNCTION" and body.startswith("("):
        body = in_parentheses(body)[0].strip()
    resource: Resource = {"routineType": TYPES[kind], "language": language, "definitionBody": body}
    if listed := [_argument(text) for text in split_list(arguments)]:
        resource["arguments"] = listed
    if clauses["returns"] and kind == "TABLE FUNCTION":
        table = clauses["returns"].strip().removeprefix("TABLE").replace("<", "(").replace(">", ")")
        columns = in_parentheses(table)[0]
        resource["returnTableType"] = {"columns": [_typed(text, "type") for text in split_list(columns)]}
    elif clauses["returns"]:
        resource["returnType"] = data_type(clauses["returns"])
    if clauses["level"]:
        resource["determinismLevel"] = "_".join(clauses["level"].upper().split())
    if clauses["connection"]:
        resource["remoteFunctionOptions"] = {"connection": clauses["connection"].replace("`", "")}
        del resource["language"]
    if described := DESCRIPTION.search(options):
        resource["description"] = described["text"]
    return resource


def _argument(text: str) -> Resource:
    match = ARGUMENT.fullmatch(text)
    if match is None:
        raise BigQueryError("invalidQuery", f"Syntax error in the argument {text.strip()}", location="query")
    name = match["name"].strip("`")
    if match["kind"].upper() == "ANY TYPE":
        return {"name": name, "argumentKind": "ANY_TYPE"}
    argument = {"name": name, "dataType": data_type(match["kind"])}
    return {**argument, "mode": match["mode"].upper()} if match["mode"] else argument


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
