"""ALTER of tables, views and datasets."""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp

from bqdump_local.bigquery.errors import duplicate, invalid_query, unsupported
from bqdump_local.bigquery.sql.column_types import typed
from bqdump_local.bigquery.sql.parsing import COLUMN_OPTIONS
from bqdump_local.bigquery.sql.translation import Translation
from bqdump_local.bigquery.statements import columns, options
from bqdump_local.bigquery.tables.tables import Table
from bqdump_local.bigquery.types import Field, duckdb_type, quote

Properties = dict[str, object]
# Each column with the SQL that computes it from the present columns.
Columns = dict[str, tuple[Field, str]]
KINDS = {"VIEW": options.VIEW, "MATERIALIZED_VIEW": options.MATERIALIZED_VIEW, "SNAPSHOT": options.SNAPSHOT}


def alter(statement: exp.Alter, translation: Translation) -> str:
    """Change columns, options, keys or the name. Returns the statement's type."""
    node = statement.this
    if statement.kind == "SCHEMA":
        return _schema(statement, translation)
    if statement.args.get("exists") and translation.catalog.find_table(*translation.reference(node)) is None:
        return f"ALTER_{statement.kind}"
    table = translation.find(node)
    with table.lock:
        for action in statement.args.get("actions") or [None]:
            _act(table, action, translation)
    kind = table.kind if table.kind in ("VIEW", "MATERIALIZED_VIEW") else "TABLE"
    return f"ALTER_{kind}"


def _act(table: Table, action: exp.Expression | None, translation: Translation) -> None:
    match action:
        case exp.AlterSet():
            chosen = options.properties(_options_of(action), KINDS.get(table.kind, options.TABLE), translation)
            _change(table, options.merged(table.properties, chosen), translation)
        case exp.AlterRename():
            _rename(table, action.this, translation)
        case exp.AddConstraint():
            added = columns.constraints(action.expressions, translation)
            known = table.properties.get("tableConstraints") or {}
            if added.get("primaryKey") and known.get("primaryKey"):
                raise invalid_query(f"Table {table.name} already has a primary key")
            foreign = [*known.get("foreignKeys", ()), *added.get("foreignKeys", ())]
            keys = {**known, **added, **({"foreignKeys": foreign} if foreign else {})}
            _change(table, {**table.properties, "tableConstraints": keys}, translation)
        case exp.Command() if action.name.upper() == "DROP":
            _drop_key(table, action.text("expression"), translation)
        case exp.ColumnDef() | exp.Drop() | exp.RenameColumn() | exp.AlterColumn():
            _columns(table, action, translation)
        case _:
            raise unsupported("this ALTER statement", location="query")


def _options_of(action: exp.AlterSet) -> list[exp.Expression]:
    return [item for listed in action.expressions if listed is not None for item in listed.expressions]


def _change(table: Table, properties: Properties, translation: Translation) -> None:
    translation.catalog.change_table(table, properties)


def _rename(table: Table, to: exp.Table, translation: Translation) -> None:
    catalog = translation.catalog
    table.require_plain()
    if catalog.find_table(table.project, table.dataset, to.name):
        raise duplicate("Table", f"{table.project}:{table.dataset}.{to.name}")
    catalog.rename_table(table, to.name)


def _drop_key(table: Table, text: str, translation: Translation) -> None:
    words = text.upper().split()
    known = dict(table.properties.get("tableConstraints") or {})
    if words[:2] == ["PRIMARY", "KEY"]:
        if not known.pop("primaryKey", None) and words[2:] != ["IF", "EXISTS"]:
            raise invalid_query(f"Table {table.name} has no primary key")
    elif words[:1] == ["CONSTRAINT"]:
        name = text.split()[-1].strip("`")
        kept = [key for key in known.get("foreignKeys", ()) if key.get("name") != name]
        if len(kept) == len(known.get("foreignKeys", ())) and "EXISTS" not in words:
            raise invalid_query(f"Table {table.name} has no constraint {name}")
        known["foreignKeys"] = kept
    else:
        raise unsupported("this ALTER statement", location="query")
    properties = {key: value for key, value in table.properties.items() if key != "tableConstraints"}
    if left := {key: value for key, value in known.items() if value}:
        properties["tableConstraints"] = left
    _change(table, properties, translation)


def _columns(table: Table, action: exp.Expression, translation: Translation) -> None:
    present = {field.name.lower(): (field, quote(field.name)) for field in table.fields}
    if table.kind != "TABLE":
        if not action.meta.get(COLUMN_OPTIONS):
            table.require_plain()
        changed = tuple(field for field, _ in _altered(present, action, translation).values())
        schema = {"fields": [field.to_json() for field in changed]}
        _change(table, {**table.properties, "schema": schema}, translation)
        return
    altered = _altered(present, action, translation)
    fields = tuple(field for field, _ in altered.values())

    selected = ", ".join(f"{value} AS {quote(field.name)}" for field, value in altered.values())
    translation.catalog.reshape(table, selected, fields)


def _altered(present: Columns, action: exp.Expression, translation: Translation) -> Columns:
    node = action.args["tables"][0] if isinstance(action, exp.Drop) else action.this
    name = node.name
    key = name.lower()
    if isinstance(action, exp.ColumnDef):
        return _added(present, action, translation)
    if key not in present:
        if isinstance(action, exp.Drop) and action.args.get("exists"):
            return present
        raise invalid_query(f"Column not found: {name}")
    field, value = present[key]
    match action:
        case exp.Drop():
            return {other: column for other, column in present.items() if other != key}
        case exp.RenameColumn():
            renamed = action.args["to"].name
            if renamed.lower() in present and renamed.lower() != key:
                raise invalid_query(f"Column already exists: {renamed}")
            # The column keeps its place.
            names = {other: renamed.lower() if other == key else other for other in present}
            changed = {**present, key: (replace(field, name=renamed), value)}
            return {names[other]: column for other, column in changed.items()}
        case exp.AlterColumn():
            return {**present, key: _retyped(field, value, action, translation)}
    raise unsupported("this ALTER statement", location="query")


def _added(present: Columns, action: exp.ColumnDef, translation: Translation) -> Columns:
    added = columns.column(action, translation)
    key = added.name.lower()
    if key in present:
        if action.args.get("exists"):
            return present
        raise invalid_query(f"Column already exists: {added.name}")
    if added.mode == "REQUIRED":
        raise invalid_query(f"Cannot add required columns to an existing table: {added.name}")
    empty = "[]" if added.mode == "REPEATED" else "NULL"
    return {**present, key: (added, f"{empty}::{duckdb_type(added)}")}


def _retyped(field: Field, expression: str, action: exp.AlterColumn, translation: Translation) -> tuple[Field, str]:
    recorded = dict(field.recorded)
    if action.meta.get(COLUMN_OPTIONS):
        chosen = options.properties(action.meta[COLUMN_OPTIONS], options.COLUMN, translation)
        if "description" in chosen:
            field = replace(field, description=chosen.pop("description"))
        kept = {key: value for key, value in {**recorded, **chosen}.items() if value is not None}
        return replace(field, recorded=tuple(kept.items())), expression
    if kind := action.args.get("dtype"):
        other = typed(field.name, kind)
        kept = {key: value for key, value in recorded.items() if key != "maxLength"}
        wider = replace(
            other, mode=field.mode, description=field.description, recorded=(*kept.items(), *other.recorded)
        )
        return wider, f"CAST({expression} AS {duckdb_type(wider)})"
    if action.args.get("allow_null"):
        return replace(field, mode="NULLABLE"), expression
    if (default := action.args.get("default")) is not None:
        recorded["defaultValueExpression"] = default.sql(dialect="bigquery")
    elif action.args.get("drop"):
        recorded.pop("defaultValueExpression", None)
    else:
        raise unsupported("this ALTER statement", location="query")
    return replace(field, recorded=tuple(recorded.items())), expression


def _schema(statement: exp.Alter, translation: Translation) -> str:
    node = statement.this
    project, name = (node.db or translation.project, node.name)
    names = {sibling.dataset_id for sibling in translation.catalog.datasets(project)}
    if statement.args.get("exists") and name not in names:
        return "ALTER_SCHEMA"
    dataset = translation.catalog.dataset(project, name)
    for action in statement.args.get("actions") or [None]:
        if not isinstance(action, exp.AlterSet):
            raise unsupported("this ALTER SCHEMA statement", location="query")
        chosen = options.properties(_options_of(action), options.SCHEMA, translation)
        with translation.catalog.lock:
            translation.catalog.replace_dataset(dataset, options.merged(dataset.properties, chosen))
    return "ALTER_SCHEMA"
