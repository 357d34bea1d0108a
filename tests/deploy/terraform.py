"""Parses Terraform files, and checks resources with the provider's schema, and all references."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import hcl2

META = {"count", "for_each", "depends_on", "lifecycle", "provider"}
MARK = "__is_block__"
# Keys that python-hcl2 adds to a block.
OWN = {MARK, "__comments__", "__inline_comments__"}
Body = dict[str, Any]


def load(text: str) -> Body:
    """One Terraform file."""
    document = hcl2.loads(text)
    assert isinstance(document, dict)
    return document


@cache
def load_module(folder: Path) -> Body:
    """All files of one folder as one document. Parsing takes a while, so each process does it once."""
    module: Body = {}
    for path in sorted(folder.glob("*.tf")):
        for key, value in load(path.read_text()).items():
            if key not in OWN:
                module.setdefault(key, []).extend(value)
    return module


def named(document: Body, kind: str) -> dict[str, Body]:
    """The blocks of a kind with one label, such as variable "x" {}, by that label."""
    return {label.strip('"'): body for block in document.get(kind, []) for label, body in _items(block)}


def resources(document: Body) -> Iterator[tuple[str, str, Body]]:
    """Type, name and body of every resource."""
    for block in document.get("resource", []):
        for kind, instances in _items(block):
            for name, body in _items(instances):
                yield kind.strip('"'), name.strip('"'), body


def check_resources(document: Body, schema: Mapping[str, Any]) -> list[str]:
    """The parts of a module's resources that the provider would refuse."""
    errors: list[str] = []
    for kind, name, body in resources(document):
        known = schema["resources"].get(kind)
        if known is None:
            errors.append(f"{kind}.{name}: the schema has no such resource (run extract_schema.py)")
        else:
            own = {key: value for key, value in body.items() if key not in META}
            errors += _check(own, known, schema["blocks"], f"{kind}.{name}")
    return errors


def _check(body: Body, known: Mapping[str, str], blocks: Mapping[str, Any], where: str) -> list[str]:
    errors, names = [], set()
    for key, value, is_block in _arguments(body):
        names.add(key)
        kind = known.get(key, "").removesuffix("!")
        inner = re.fullmatch(r"(?:list\()?block (\w+)\)?", kind)
        if not kind:
            errors.append(f"{where}: there is no argument {key!r}")
        elif inner and not is_block:
            errors.append(f"{where}.{key}: a block is wanted")
        elif inner:
            errors += _check(value, blocks[inner.group(1)], blocks, f"{where}.{key}")
        elif is_block:
            errors.append(f"{where}.{key}: a value is wanted, not a block")
        elif not _fits(value, kind):
            errors.append(f"{where}.{key}: {kind} is wanted, not {value!r}")
    missing = [key for key, kind in known.items() if kind.endswith("!") and key not in names]
    return errors + [f"{where}: {key!r} is missing" for key in missing]


def _arguments(body: Body) -> Iterator[tuple[str, Any, bool]]:
    """The name and the value of every argument, and whether it is a block. A dynamic block counts as its content."""
    for key, value in _items(body):
        if key == "dynamic":
            for one in value:
                for name, parts in _items(one):
                    for content in parts["content"]:
                        yield name.strip('"'), content, True
        elif isinstance(value, list) and value and all(isinstance(one, dict) and MARK in one for one in value):
            for one in value:
                yield key, one, True
        else:
            yield key, value, False


def _fits(value: Any, kind: str) -> bool:
    if kind == "any" or (isinstance(value, str) and value.startswith("${")):
        return True
    if isinstance(value, bool):
        return kind == "bool"
    if isinstance(value, int | float):
        return kind == "number"
    if isinstance(value, list):
        return kind.startswith("list(")
    if isinstance(value, dict):
        return kind.startswith("map(")
    return kind == "string"


def check_references(document: Body) -> list[str]:
    """Names that are used but not declared, and variables that are declared but not used."""
    # What was moved is no longer declared.
    text = " ".join(_texts({key: value for key, value in document.items() if key != "moved"}))
    used = {kind: set(re.findall(rf"\b{kind}\.(\w+)", text)) for kind in ("var", "local")}
    variables = set(named(document, "variable"))
    local = {key for block in document.get("locals", []) for key, _ in _items(block)}
    errors = [f"var.{name} is not declared" for name in used["var"] - variables]
    errors += [f"var.{name} is never used" for name in variables - used["var"]]
    errors += [f"local.{name} is not declared" for name in used["local"] - local]
    errors += [f"local.{name} is never used" for name in local - used["local"]]
    declared = {f"{kind}.{name}" for kind, name, _ in resources(document)}
    for name in sorted(set(re.findall(r"(?<![\w.\"/])(google_\w+\.\w+)", text)) - declared):
        errors.append(f"{name} is not declared")
    return errors


def check_call(call: Body, module: Body) -> list[str]:
    """The invalid arguments of a module call."""
    variables = named(module, "variable")
    given = {key for key, _ in _items(call)} - {"source", "version", *META}
    errors = [f"the module has no variable {name!r}" for name in sorted(given - set(variables))]
    expected = {name for name, body in variables.items() if "default" not in body}
    return errors + [f"{name!r} is missing" for name in sorted(expected - given)]


def _items(body: Body) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in body.items() if key not in OWN]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        for _, one in _items(value):
            yield from _texts(one)
