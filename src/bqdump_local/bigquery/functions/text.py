"""Strings and bytes.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlglot import exp

from bqdump_local.bigquery.errors import invalid_query, unsupported
from bqdump_local.bigquery.functions.nodes import call, cast, number, text

# An opening parenthesis that begins a capturing group.
GROUP = re.compile(r"\\.|\[\^?\]?[^\]]*\]|(\((?!\?(?!P<)))")
# Flags, width, precision and type of one argument of FORMAT.
SPECIFIER = re.compile(r"%(?P<flags>[-+ #0']*)(?P<width>\d*)(?:\.(?P<precision>\d+))?(?P<kind>[a-zA-Z%])")


def _substring(node: exp.Substring) -> exp.Expression:
    length = node.args.get("length")
    return call("substr", node.this, node.args["start"], *([length] if length is not None else []))


def _position(node: exp.StrPosition) -> exp.Expression:
    if node.args.get("position") is not None or node.args.get("occurrence") is not None:
        raise unsupported("INSTR with a position", location="query")
    return node


def _like(node: exp.Like) -> exp.Expression:
    """LIKE, in which a backslash escapes the next character. It stays plain where it can."""
    pattern = node.expression
    constants = list(pattern.find_all(exp.Literal))
    plain = all("\\" not in constant.name for constant in constants)
    if isinstance(pattern, (exp.Any, exp.All)):
        if not plain or not constants:
            raise unsupported("LIKE ANY and LIKE ALL with these patterns", location="query")
        return node
    if isinstance(pattern, exp.Literal) and plain:
        return node
    matches = call("like", node.this, pattern)
    return exp.Not(this=matches) if node.args.get("negate") else matches


def _extract(node: exp.RegexpExtract) -> exp.Expression:
    pattern, position = node.expression, node.args.get("position")
    if isinstance(pattern, exp.Literal) and sum(match[1] is not None for match in GROUP.finditer(pattern.name)) > 1:
        raise invalid_query(
            "Regular expressions passed into extraction functions must not have more than 1 capturing group"
        )
    if position is not None and position.name != "1":
        raise unsupported("REGEXP_EXTRACT with a position", location="query")
    return node


def _digest(node: exp.SHA2Digest) -> exp.Expression:
    if node.args["length"].name != "256":
        raise unsupported(f"the function SHA{node.args['length'].name}", location="query")
    return node


def _normalized(node: exp.Normalize) -> exp.Expression:
    form = node.args.get("form")
    if node.args.get("is_casefold") or (form and form.name.upper() != "NFC"):
        raise unsupported("NORMALIZE with another mode than NFC", location="query")
    return exp.Anonymous(this="nfc_normalize", expressions=[node.this.copy()])


def _format(node: exp.Format) -> exp.Expression:
    """FORMAT with a constant pattern."""
    if not isinstance(node.this, exp.Literal):
        raise unsupported("FORMAT with a pattern that is not a literal", location="query")
    pattern, arguments, parts, end = node.this.name, list(node.expressions), [], 0
    for match in SPECIFIER.finditer(pattern):
        parts.append(text(pattern[end : match.start()]))
        end = match.end()
        if match["kind"] == "%":
            parts.append(text("%"))
        elif not arguments:
            raise invalid_query(f'Too few arguments to FORMAT for pattern "{pattern}"')
        else:
            parts.append(_formatted(match, arguments.pop(0)))
    parts.append(text(pattern[end:]))
    if arguments:
        raise invalid_query(f'Too many arguments to FORMAT for pattern "{pattern}"')
    if "%" in SPECIFIER.sub("", pattern):
        raise unsupported(f'the pattern "{pattern}" of FORMAT', location="query")
    whole = parts[0]
    for part in parts[1:]:
        whole = exp.DPipe(this=whole, expression=part)
    return exp.Paren(this=whole)


def _formatted(match: re.Match[str], argument: exp.Expression) -> exp.Expression:
    flags, width, kind = match["flags"], match["width"], match["kind"]
    if kind in "di" and set(flags) <= set("-+ 0"):
        return exp.Anonymous(this="printf", expressions=[text(f"%{flags}{width}d"), argument.copy()])
    if kind in "di" and flags == "'" and not width:
        return exp.Anonymous(this="format", expressions=[text("{:,}"), argument.copy()])
    if kind in "xXo" and not flags.strip("0-"):
        return exp.Anonymous(this="printf", expressions=[text(f"%{flags}{width}{kind}"), argument.copy()])
    if kind in "fFeE" and set(flags) <= set("-+ 0"):
        places = match["precision"] or "6"
        pattern = f"%{flags}{width}.{places}{kind.lower() if kind == 'F' else kind}"
        return exp.Anonymous(this="printf", expressions=[text(pattern), exp.cast(argument.copy(), "DOUBLE")])
    if kind in "st" and not flags.strip("-") and match["precision"] is None:
        string = call("printed" if kind == "t" else "text", argument)
        if not width:
            return string
        name = "rpad" if flags else "lpad"
        size = cast(
            exp.Anonymous(this="greatest", expressions=[number(int(width)), exp.Length(this=string.copy())]), "INTEGER"
        )
        return exp.Anonymous(this=name, expressions=[string, size, text(" ")])
    raise unsupported(f"the pattern {match[0]} of FORMAT", location="query")


CHANGES: dict[type[exp.Expression], Callable[[Any], exp.Expression]] = {
    exp.ByteLength: lambda node: call("byte_length", node.this),
    exp.CodePointsToBytes: lambda node: call("code_points_to_bytes", node.this),
    exp.CodePointsToString: lambda node: call("code_points_to_string", node.this),
    exp.EndsWith: lambda node: call("ends_with", node.this, node.expression),
    exp.Format: _format,
    exp.Left: lambda node: call("left", node.this, node.expression),
    exp.Like: _like,
    exp.Normalize: _normalized,
    exp.RegexpExtract: _extract,
    exp.Repeat: lambda node: call("repeat", node.this, node.args["times"]),
    exp.Right: lambda node: call("right", node.this, node.expression),
    exp.SHA2Digest: _digest,
    exp.StartsWith: lambda node: call("starts_with", node.this, node.expression),
    exp.StrPosition: _position,
    exp.Substring: _substring,
    exp.ToCodePoints: lambda node: call("to_code_points", node.this),
}
