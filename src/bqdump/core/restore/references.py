"""References of SQL to the tables and routines of datasets, mapped to the datasets that these are restored into.

A reference is a path where GoogleSQL expects a table (after FROM, JOIN, INTO …, or a comma in FROM), or a path in front
of a parenthesis, which calls a routine. Any other path is a column, so the same words there stay as they are.
Sources: https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#path_expressions,
https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#from_clause
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bqdump.core.restore.names import Move, Moves, Token, tokens
from bqdump.core.sql.statements import identifier

# A table, or another object of a dataset, is named behind these.
BEFORE_NAMES = {
    *("FROM", "JOIN", "INTO", "INSERT", "UPDATE", "DELETE", "MERGE", "USING", "TABLE", "VIEW", "MODEL", "CALL"),
    *("EXISTS", "FUNCTION", "PROCEDURE", "REFERENCES", "CLONE", "COPY"),
}
# What may stand between such a word and the name.
BETWEEN = {"IF", "NOT", "ONLY", "LATERAL"}
# These end a FROM clause; behind a comma there is no table any more.
ENDS_FROM = {
    *("WHERE", "GROUP", "ORDER", "HAVING", "QUALIFY", "WINDOW", "LIMIT", "SELECT", "UNION", "INTERSECT", "EXCEPT"),
    *("SET", "VALUES", "WHEN", "THEN"),
}
KEYWORDS = BEFORE_NAMES | BETWEEN | ENDS_FROM | {"ON", "INDEX", "POLICY", "EXTRACT", "UNNEST", "DISTINCT"}
# Namespaces of GoogleSQL's own functions.
BUILT_IN = {"SAFE", "NET", "HLL_COUNT", "KLL_QUANTILES", "KEYS", "AEAD", "ML", "AI", "OBJ"}
SCHEMA_VIEWS = "INFORMATION_SCHEMA"
SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Mapped(NamedTuple):
    """A text after mapping. stays: the tables and routines that it still names with a dataset of their own, sorted."""

    text: str
    stays: tuple[str, ...]


class _Path(NamedTuple):
    """A path: tokens[start:end], its segments, each of one token or of those of a project such as my-project.

    shadowed: its first name is that of a range variable.
    """

    start: int
    end: int
    segments: tuple[tuple[int, int], ...]
    names: tuple[str, ...]
    shadowed: bool = False

    @property
    def name(self) -> str:
        return ".".join(self.names)


def mapped(text: str, moves: Moves, *, keep: bool = False) -> Mapped:
    """The text with references to datasets that move mapped to where they go. keep: only report them.

    References without a dataset, and those to other datasets, are left. So are strings: dynamic SQL is not mapped.
    """
    words = list(tokens(text))
    stays, edits = set(), []
    for path in _Walk(words).references():
        covered = None if keep else _covered(path, moves)
        if covered:
            edits.append((path, covered))
        elif "." in path.name and not _is_column(path):
            stays.add(path.name)
    for path, (part, move) in reversed(edits):
        words[path.start : path.end] = _renamed(words, path, part, move, moves.table(move, path.name[len(part) + 1 :]))
    return Mapped("".join(token.text for token in words), tuple(sorted(stays)))


class _Scope:
    """The state within parentheses. in_from: a table follows a comma. variables: range variables of its FROM clause."""

    def __init__(self, *, in_from: bool = False, in_extract: bool = False) -> None:
        self.in_from, self.in_extract = in_from, in_extract
        self.variables: set[str] = set()


class _Walk:
    """A walk over a text that finds the paths that name tables and routines."""

    def __init__(self, words: Sequence[Token]) -> None:
        self.found = words
        self.scopes = [_Scope()]
        # In how many of the scopes a name is a range variable.
        self.visible: Counter[str] = Counter()
        # expected: a table comes next. on_table: ON is followed by one. before: the token before, "name" for a path.
        self.expected, self.on_table, self.before = False, False, ""

    @property
    def scope(self) -> _Scope:
        return self.scopes[-1]

    def references(self) -> Iterator[_Path]:
        at = 0
        while at < len(self.found):
            token = self.found[at]
            if token.kind == "space":
                at += 1
                continue
            path = self._path_at(at)
            if path and (self.expected or _next(self.found, path.end) == "("):
                yield path
            if path:
                if self.expected:
                    self._declare(path.name.rpartition(".")[2])
                elif self.scope.in_from and self.before in ("name", ")", "AS"):
                    self._declare(path.name)
                self.expected, self.before, at = False, "name", path.end
                continue
            self._step(token)
            self.before, at = token.keyword or token.text, at + 1

    def _path_at(self, at: int) -> _Path | None:
        """The path that starts here; None for a keyword, a parameter, or a member of something else."""
        token = self.found[at]
        if token.kind not in ("word", "quoted") or self.before in (".", "@") or token.keyword == "AS":
            return None
        path = _path(self.found, at, dashes=self.expected)
        path = path._replace(shadowed=self.visible[path.names[0].lower()] > 0)
        return path if len(path.names) > 1 or token.kind == "quoted" or token.keyword not in KEYWORDS else None

    def _step(self, token: Token) -> None:
        keyword, scope = token.keyword, self.scope
        if token.text == "(":
            # In FROM (a JOIN b) a table may follow at once.
            self.scopes.append(_Scope(in_from=self.expected, in_extract=self.before == "EXTRACT"))
        elif token.text == ")":
            self._forget()
            self.scopes.pop()
            self.scopes = self.scopes or [_Scope()]
            self.expected = False
        elif token.text == ";":
            self._forget()
            scope.in_from = self.expected = self.on_table = False
        elif token.text == ",":
            self.expected = scope.in_from
        elif keyword in ("INDEX", "POLICY"):
            self.on_table = True
        elif keyword == "ON":
            self.expected, self.on_table = self.on_table, False
        elif keyword in BEFORE_NAMES:
            self._name_follows(keyword)
        elif keyword in ENDS_FROM:
            scope.in_from = self.expected = False
            if keyword == "SELECT":
                self._forget()
        elif keyword not in BETWEEN:
            self.expected = False

    def _declare(self, name: str) -> None:
        if name.lower() not in self.scope.variables:
            self.scope.variables.add(name.lower())
            self.visible[name.lower()] += 1

    def _forget(self) -> None:
        self.visible.subtract(self.scope.variables)
        self.scope.variables.clear()

    def _name_follows(self, keyword: str) -> None:
        if keyword == "FROM" and (self.scope.in_extract or self.before == "DISTINCT"):
            return
        self.scope.in_from = self.scope.in_from or keyword == "FROM"
        self.expected = True


def _path(words: Sequence[Token], start: int, *, dashes: bool) -> _Path:
    """The path that starts here. dashes: an unquoted project may have dashes."""
    end = start + 1
    if dashes and words[start].kind == "word":
        while end + 1 < len(words) and words[end].text == "-" and words[end + 1].kind in ("word", "number"):
            end += 2
    segments = [(start, end)]
    while (dot := _skip(words, end)) < len(words) and words[dot].text == ".":
        part = _skip(words, dot + 1)
        if part == len(words) or words[part].kind not in ("word", "quoted", "number"):
            break
        segments.append((part, part + 1))
        end = part + 1
    names = tuple("".join(token.name for token in words[first:last]) for first, last in segments)
    return _Path(start, end, tuple(segments), names)


def _skip(words: Sequence[Token], at: int) -> int:
    while at < len(words) and words[at].kind == "space":
        at += 1
    return at


def _next(words: Sequence[Token], at: int) -> str:
    at = _skip(words, at)
    return words[at].text if at < len(words) else ""


def _covered(path: _Path, moves: Moves) -> tuple[str, Move] | None:
    """The part of a path that names a dataset which moves, with its project or without; None where it names another."""
    parts = path.name.split(".")
    for name in parts:
        # A project may have dots, too.
        move = moves.named(name)
        if move and path.name.startswith(f"{move.source.project}.{name}."):
            return f"{move.source.project}.{name}", move
    move = moves.named(parts[0])
    if move and len(parts) > 1 and not _is_column(path) and (len(parts) == 2 or parts[1].upper() == SCHEMA_VIEWS):
        return parts[0], move
    return None


def _is_column(path: _Path) -> bool:
    """Whether a path is an array of a range variable, or a function of GoogleSQL's own."""
    return len(path.names) > 1 and (path.shadowed or path.names[0].upper() in BUILT_IN)


def _renamed(words: Sequence[Token], path: _Path, covered: str, move: Move, table: str | None) -> list[Token]:
    """The tokens of a path in the target dataset; what does not change keeps its form.

    table: the new name of a table that gets another one.
    """
    source, target = move
    with_project = "." in covered
    new = [target.name] if not with_project and target.project == source.project else [target.project, target.name]
    for number, (first, last) in enumerate(path.segments):
        names = path.names[: number + 1]
        if ".".join(names) == covered:
            renamed = _replaced(words, path, number, new)
            return renamed if table is None else [*renamed[:-1], Token("quoted", identifier(table))]
        if ".".join(names).startswith(f"{covered}."):
            # The dataset ends within one pair of backquotes.
            rest = ".".join(names)[len(covered) :] if table is None else f".{table}"
            kept = ".".join(new) + rest
            quoted = words[first] if number == 0 and kept == names[0] else Token("quoted", identifier(kept))
            return [quoted, *words[last : path.end]]
    raise AssertionError(path)


def _replaced(words: Sequence[Token], path: _Path, last: int, new: Sequence[str]) -> list[Token]:
    """The tokens of a path whose segments up to `last` are replaced by names."""
    after = list(words[path.segments[last][1] : path.end])
    if last == 0 and "." in path.names[0]:
        joined = ".".join(new)
        return [words[path.start] if joined == path.names[0] else Token("quoted", identifier(joined)), *after]
    replaced: list[Token] = []
    old = [*[None] * (len(new) - last - 1), *range(last + 1)]
    for name, number in zip(new, old, strict=True):
        if replaced:
            gap = words[path.segments[number - 1][1] : path.segments[number][0]] if number else [Token("sign", ".")]
            replaced += gap
        replaced += [Token("quoted", identifier(name))] if number is None else _named(words, path, number, name)
    return [*replaced, *after]


def _named(words: Sequence[Token], path: _Path, number: int, name: str) -> list[Token]:
    """A segment with another name, quoted if it was or has to be."""
    first, last = path.segments[number]
    if path.names[number] == name:
        return list(words[first:last])
    if words[first].kind == "word" and SIMPLE.fullmatch(name):
        return [Token("word", name)]
    return [Token("quoted", identifier(name))]
