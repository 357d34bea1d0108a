"""Mutants: one small change in one function of the product, such as a reviewer would have to see.

Comparisons, operands of `and` and `or`, `not`, filters of comprehensions, statements that are calls, flags, whole
numbers, arguments that change places, conditions and the branches that end a function early, `min` and `max`, `any` and
`all`, arithmetic, generations. Text is left alone: messages, log lines and names of fields.
"""

from __future__ import annotations

import ast
import copy
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from mutations.at_start.sitecustomize import functions_of

SOURCE = Path(__file__).resolve().parents[2] / "src"
COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
RECKONED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
OTHER_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
# Arguments that say which version of an object is meant: without one, any is.
VERSIONS = ("generation", "expect")

# Arguments of a type of their own, so that a type checker finds them in another place, and what is no name.
NEVER_SWAPPED = {"store", "task", "settings", "restore", "export", "log", "self", "cls", ""}


class Mutant(NamedTuple):
    """A change of one function.

    function: `module:qualified name`.
    line: its place today, which does not identify it.
    number: which of several such changes of the function it is.
    """

    function: str
    before: str
    after: str
    line: int
    number: int = 0

    @property
    def name(self) -> str:
        """What identifies it, as long as the function has it."""
        number = f" [{self.number}]" if self.number else ""
        return f"{self.function}: {self.before} → {self.after}{number}"

    @property
    def module(self) -> str:
        """The module that has the function."""
        return self.function.partition(":")[0]

    @property
    def room(self) -> str:
        """The package below bqdump, or the module."""
        return self.module.split(".")[1] if "." in self.module else self.module


class Site(NamedTuple):
    """A place in a tree that can be changed."""

    mutant: Mutant
    change: Callable[[], None]


def path_of(module: str) -> Path:
    """The file of a module."""
    path = SOURCE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def modules() -> list[str]:
    """The modules of the product."""
    paths = [path.relative_to(SOURCE).with_suffix("") for path in (SOURCE / "bqdump").rglob("*.py")]
    return sorted(".".join(part for part in path.parts if part != "__init__") for path in paths)


def mutants_of(module: str) -> list[Mutant]:
    """All mutants of a module, in the order of its source."""
    return [site.mutant for site in sites(module, ast.parse(path_of(module).read_text()))]


def mutated(mutant: Mutant) -> ast.Module:
    """The module with this change; its lines are those of the module. Raises KeyError if it has no such place."""
    tree = ast.parse(path_of(mutant.module).read_text())
    found = {site.mutant.name: site for site in sites(mutant.module, tree)}
    found[mutant.name].change()
    return ast.fix_missing_locations(tree)


def sample(seed: int, number: int) -> list[Mutant]:
    """So many mutants, from each room at least one, and more the more of them it has."""
    dice = random.Random(seed)
    rooms = defaultdict[str, list[Mutant]](list)
    for module in modules():
        for mutant in mutants_of(module):
            rooms[mutant.room].append(mutant)
    for room in sorted(rooms):
        dice.shuffle(rooms[room])
    first = [rooms[room].pop() for room in sorted(rooms)]
    others = [mutant for room in sorted(rooms) for mutant in rooms[room]]
    dice.shuffle(first)
    return [*first, *dice.sample(others, max(0, number - len(first)))][:number]


def sites(module: str, tree: ast.Module) -> Iterator[Site]:
    """The places of a module that can be changed."""
    inner = {id(node) for _, outer in functions_of(tree) for node in ast.walk(outer) if node is not outer}
    counted = defaultdict[tuple[str, str, str], int](int)
    for name, function in functions_of(tree):
        # Functions inside of this one are part of it.
        if id(function) in inner:
            continue
        of_body = (change for statement in function.body for change in _changes(statement))
        for node, before, after, change in (*_of_statement(function), *of_body):
            key = (name, before, after)
            yield Site(Mutant(f"{module}:{name}", before, after, node.lineno, counted[key]), change)
            counted[key] += 1


Change = tuple[ast.stmt | ast.expr, str, str, Callable[[], None]]


def _changes(node: ast.AST) -> Iterator[Change]:
    """The changes of a statement or an expression, and of what is inside of it, except where it is text."""
    if isinstance(node, (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Assert)) or _is_log(node):
        return
    for own in (_of_statement, _of_expression, _of_call):
        yield from own(node)
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "args") and not isinstance(node, ast.Call):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _changes(child)


def _is_log(node: ast.AST) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and ast.unparse(call.func).startswith("log.")


def _of_statement(node: ast.AST) -> Iterator[Change]:
    for field in ("body", "orelse", "finalbody"):
        statements = getattr(node, field, None)
        if not isinstance(statements, list):
            continue
        for at, statement in enumerate(statements):
            called = statement.value if isinstance(statement, ast.Expr) else None
            called = called.value if isinstance(called, ast.Await) else called
            if isinstance(called, ast.Call) and not _is_log(statement):
                yield statement, _short(statement), "nothing", _put(statements, at, ast.Pass())
    if isinstance(node, ast.If):
        ends = isinstance(node.body[-1], (ast.Raise, ast.Return, ast.Continue, ast.Break))
        value = not ends
        yield node, f"if {_short(node.test)}", f"if {value}", _set(node, "test", ast.Constant(value))


def _of_expression(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in COMPARED:
            yield from _other(node, "ops", [COMPARED[type(operator)]()])
        case ast.BoolOp(op=operator, values=values):
            neutral = ast.Constant(isinstance(operator, ast.And))
            for at in range(len(values)):
                left = [one for number, one in enumerate(values) if number != at]
                after = _short(left[0] if len(left) == 1 else ast.BoolOp(operator, left))
                yield node, _short(node), after, _set(node, "values", [neutral, *left])
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            double = ast.UnaryOp(ast.Not(), operand)
            yield node, _short(node), _short(operand), _set(node, "operand", double)
        case ast.BinOp(op=operator, left=left, right=right) if type(operator) in RECKONED:
            if not isinstance(left, (ast.JoinedStr, ast.List)) and not isinstance(right, (ast.JoinedStr, ast.List)):
                yield from _other(node, "op", RECKONED[type(operator)]())
        case ast.IfExp(test=test):
            yield from _other(node, "test", ast.UnaryOp(ast.Not(), test))
        case ast.comprehension(ifs=[_, *_]):
            before = _short(node.ifs[0])
            yield node.ifs[0], f"if {before}", "no filter", _set(node, "ifs", node.ifs[1:])
        case ast.Constant(value=bool(value)):
            yield node, str(value), str(not value), _set(node, "value", not value)
        case ast.Constant(value=int(value)):
            yield node, str(value), str(value + 1), _set(node, "value", value + 1)


def _of_call(node: ast.AST) -> Iterator[Change]:
    if not isinstance(node, ast.Call):
        return
    if isinstance(node.func, ast.Name) and node.func.id in OTHER_CALLS:
        yield from _other(node, "func", ast.Name(OTHER_CALLS[node.func.id], ast.Load()))
    if (
        len(node.args) > 1
        and not {*map(_last, node.args[:2])} & NEVER_SWAPPED
        and _last(node.func) not in ("map", "getattr")
    ):
        first, second, *rest = node.args
        yield from _other(node, "args", [second, first, *rest])
    for keyword in node.keywords:
        if keyword.arg in VERSIONS and not isinstance(keyword.value, ast.Constant):
            before = f"{keyword.arg}={_short(keyword.value)}"
            yield keyword.value, before, f"{keyword.arg}=None", _set(keyword, "value", ast.Constant(None))


def _last(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _other(node: ast.expr, field: str, value: object) -> Iterator[Change]:
    """The change of one field of an expression."""
    changed = copy.copy(node)
    setattr(changed, field, value)
    yield node, _short(node), _short(changed), _set(node, field, value)


def _set(node: ast.AST, field: str, value: object) -> Callable[[], None]:
    return lambda: setattr(node, field, value)


def _put(statements: list[ast.stmt], at: int, statement: ast.stmt) -> Callable[[], None]:
    def put() -> None:
        statements[at] = statement

    return put


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 80 else f"{text[:40]} … {text[-38:]}"
