"""Which tests cannot fail, whatever the product does, as far as their syntax shows it.

A test is sure if each way through it that ends well passes a sure check. These are sure:

- `assert`, except of `all(…)` over what may be empty and of an `and` of such;
- `pytest.raises` with `match`, or whose `as` name the test goes on to use, or of an exception that the tests define or
  that is a parameter;
- `raise`, `pytest.fail`, `expect(…)` of a browser, and a call of a function of the tests that is sure itself;
- a loop over what is not empty, with a sure check in it; an `if` and a `match` all of whose branches have one; a `try`
  whose body and handlers have one each.

A test without any check is sure, too: it promises that what it calls raises no error.

What may be empty is the result of a call, an attribute or a comprehension with an `if`: something may have searched for
it and found nothing. What is not empty is written in the test module: a literal, a constant (in capitals), a parameter
of a test, a range, a count, and what `sorted`, `enumerate`, `zip` and the like make of these. Nor is what another
`assert` of the function mentions: it would fail, or be meant to be true, if there were nothing.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# Of what is not empty they make what is not empty.
KEEPING = {
    "chain", "combinations", "cycle", "decode", "dict", "encode", "enumerate", "frozenset", "items", "iter", "keys",
    "list", "pairwise", "permutations", "points", "product", "repeat", "reversed", "set", "sorted", "split",
    "splitlines", "str", "tuple", "values", "zip",
}  # fmt: skip
ENDLESS = {"count", "range"}


def functions(body: Sequence[ast.stmt]) -> Iterator[Function]:
    """The functions of a module and the methods of its classes."""
    for node in body:
        if isinstance(node, FUNCTIONS):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node.body)


class Suite:
    """All modules of the tests: which of their functions are sure."""

    def __init__(self, trees: dict[Path, ast.Module]) -> None:
        self.classes = {node.name for tree in trees.values() for node in tree.body if isinstance(node, ast.ClassDef)}
        self._sure = dict[tuple[Path | None, str], bool]()
        self._own = {path: {node.name for node in functions(tree.body)} for path, tree in trees.items()}
        self._readings = defaultdict[str, list[_Reading]](list)
        for path, tree in trees.items():
            constants = dict(_constants(tree))
            for function in functions(tree.body):
                self._readings[function.name].append(_Reading(self, path, constants, function))

    def is_sure_helper(self, name: str, caller: Path) -> bool:
        """Whether what the tests define by this name is sure: a function of the caller's module, else all of them."""
        where = caller if name in self._own[caller] else None
        if (where, name) not in self._sure:
            # One that calls itself is as sure as the rest of it.
            self._sure[where, name] = False
            found = [reading for reading in self._readings.get(name, ()) if where in (None, reading.path)]
            self._sure[where, name] = bool(found) and all(reading.is_sure() for reading in found)
        return self._sure[where, name]

    def is_unsure_helper(self, name: str, caller: Path) -> bool:
        """Whether this function of the caller's module has checks and is not sure."""
        own = [reading for reading in self._readings.get(name, ()) if reading.path == caller]
        return (
            name in self._own[caller]
            and not self.is_sure_helper(name, caller)
            and any(reading.has_own_checks() for reading in own)
        )

    def unsure_tests(self) -> list[str]:
        """The tests that are not sure."""
        return [
            reading.place()
            for name, readings in self._readings.items() if name.startswith("test_")
            for reading in readings if reading.has_checks() and not reading.is_sure()
        ]  # fmt: skip

    def hollow_claims(self) -> list[str]:
        """Each `assert all(…)` over what may be empty."""
        return [
            reading.place(claim)
            for readings in self._readings.values()
            for reading in readings
            for claim in reading.hollow
        ]


def _constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                yield name, value


class _Reading:
    """One function as it is read."""

    def __init__(self, suite: Suite, path: Path, constants: dict[str, ast.expr], function: Function) -> None:
        self._suite, self.path, self._constants, self._function = suite, path, constants, function
        self._inner_sure = dict[str, bool]()

    def place(self, node: ast.stmt | None = None) -> str:
        """Where this function is, or a statement of it."""
        return f"{self.path}:{(node or self._function).lineno} {self._function.name}"

    def is_sure(self) -> bool:
        """Whether each way through this function passes a sure check."""
        return self.sure(self._function.body)

    def has_checks(self) -> bool:
        """Whether there is any check here, or in a function of the module that this one calls."""
        return self.has_own_checks() or any(self._suite.is_unsure_helper(name, self.path) for name in self._calls)

    def has_own_checks(self) -> bool:
        """Whether there is any check here."""
        asserts = any(isinstance(node, (ast.Assert, ast.Try)) for node in self._nodes)
        return asserts or not {"raises", "suppress"}.isdisjoint(self._calls)

    @property
    def hollow(self) -> list[ast.Assert]:
        """Each `assert all(…)` over what may be empty, except of what Hypothesis draws: it is not always empty."""
        if any(_name(decorator) == "given" for decorator in self._function.decorator_list):
            return []
        return [claim for claim in self._claims if self._is_hollow(claim.test)]

    @cached_property
    def _nodes(self) -> list[ast.AST]:
        return list(ast.walk(self._function))

    @cached_property
    def _calls(self) -> set[str]:
        return {_name(node) for node in self._nodes if isinstance(node, ast.Call)}

    @cached_property
    def _claims(self) -> list[ast.Assert]:
        return [node for node in self._nodes if isinstance(node, ast.Assert)]

    @cached_property
    def _given(self) -> set[str]:
        if not self._function.name.startswith("test_"):
            return set()
        return {node.arg for node in ast.walk(self._function.args) if isinstance(node, ast.arg)}

    @cached_property
    def _inner(self) -> dict[str, Function]:
        return {node.name: node for node in self._nodes if isinstance(node, FUNCTIONS) and node is not self._function}

    @cached_property
    def _values(self) -> dict[str, list[ast.expr]]:
        values = defaultdict[str, list[ast.expr]](list)
        for node in self._nodes:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    _assign(values, target, node.value)
            elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value:
                _assign(values, node.target, node.value)
        return values

    @cached_property
    def _mentioned(self) -> set[str]:
        return {
            ast.unparse(part)
            for claim in self._claims if not _over(claim.test)
            for part in ast.walk(claim.test) if isinstance(part, (ast.Name, ast.Attribute, ast.Call, ast.Subscript))
        }  # fmt: skip

    def sure(self, body: Sequence[ast.stmt]) -> bool:
        """Whether these statements pass a sure check, or end the test with an error."""
        for statement in body:
            if self._sure(statement):
                return True
            if self._leaves(statement):
                return False
        return False

    def _leaves(self, node: ast.AST) -> bool:
        """Whether a statement may end the function without an error and without a check."""
        if isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.expr)):
            return False
        for body in (getattr(node, name, ()) for name in ("body", "orelse", "finalbody")):
            if not self.sure(body) and any(map(self._leaves, body)):
                return True
        handlers = getattr(node, "handlers", ()) or getattr(node, "cases", ())
        return isinstance(node, ast.Return) or any(map(self._leaves, handlers))

    def _sure(self, node: ast.stmt) -> bool:
        match node:
            case ast.Raise():
                return True
            case ast.Assert(test=test):
                return not self._is_hollow(test)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                raising = [item for item in items if _name(item.context_expr) == "raises"]
                if any(self._says(item) for item in raising) or any(
                    self._calls_sure(item.context_expr) for item in items
                ):
                    return True
                # What follows the statement that raises is not reached.
                return not raising and self.sure(body)
            case ast.For(iter=over, body=body) | ast.AsyncFor(iter=over, body=body):
                return self._is_filled(over) and self.sure(body)
            case ast.While(test=ast.Constant(value=True), body=body):
                return self.sure(body)
            case ast.If(body=body, orelse=orelse):
                return self.sure(body) and self.sure(orelse)
            case ast.Match(cases=cases):
                return all(self.sure(case.body) for case in cases)
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=last):
                handled = all(self.sure(handler.body) for handler in handlers)
                return self.sure(last) or (self.sure([*body, *orelse]) and handled)
            case ast.TryStar(body=body, handlers=handlers, orelse=orelse, finalbody=last):
                handled = all(self.sure(handler.body) for handler in handlers)
                return self.sure(last) or (self.sure([*body, *orelse]) and handled)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return False
            case _:
                return self._calls_sure(node)

    def _calls_sure(self, node: ast.AST) -> bool:
        calls = [call for call in ast.walk(node) if isinstance(call, ast.Call)]
        return any(
            _name(call) in ("fail", "expect")
            or self._suite.is_sure_helper(_name(call), self.path)
            or any(map(self._is_sure_part, (call.func, *call.args)))
            for call in calls
        )

    def _is_sure_part(self, node: ast.expr) -> bool:
        """Whether this is the name of a sure function inside of this one, which is called here or by what is called."""
        if not isinstance(node, ast.Name) or node.id not in self._inner:
            return False
        if node.id not in self._inner_sure:
            # One that calls itself is as sure as the rest of it.
            self._inner_sure[node.id] = False
            self._inner_sure[node.id] = self.sure(self._inner[node.id].body)
        return self._inner_sure[node.id]

    def _says(self, item: ast.withitem) -> bool:
        """Whether `pytest.raises` states which error it is."""
        call = item.context_expr
        assert isinstance(call, ast.Call)
        if any(keyword.arg in ("match", "check") for keyword in call.keywords):
            return True
        if isinstance(item.optional_vars, ast.Name):
            used = [node for node in self._nodes if isinstance(node, ast.Name) and node.id == item.optional_vars.id]
            return len(used) > 1
        wanted = call.args[0]
        kinds = wanted.elts if isinstance(wanted, ast.Tuple) else [wanted]
        return all(isinstance(kind, ast.Name) and kind.id in self._suite.classes | self._given for kind in kinds)

    def _is_hollow(self, test: ast.expr) -> bool:
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            return all(map(self._is_hollow, test.values))
        over = _over(test)
        return bool(over) and not any(map(self._is_filled, over))

    def _is_filled(self, node: ast.expr) -> bool:
        if ast.unparse(node) in self._mentioned:
            return True
        match node:
            case ast.Constant(value=value):
                return bool(value)
            case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts) | ast.Dict(values=parts):
                return any(not isinstance(part, ast.Starred) or self._is_filled(part.value) for part in parts)
            case ast.BinOp(left=left, right=right):
                return self._is_filled(left) or self._is_filled(right)
            case ast.Await(value=value) | ast.Subscript(value=value, slice=ast.Slice()):
                return self._is_filled(value)
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Subscript(value=ast.Name(id=name)):
                return self._is_filled_name(name)
            case ast.Call(args=args):
                kept = (node.func.value,) if isinstance(node.func, ast.Attribute) and not args else args
                return _name(node) in ENDLESS or (
                    _name(node) in KEEPING and bool(kept) and all(map(self._is_filled, kept))
                )
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return all(not one.ifs and self._is_filled(one.iter) for one in node.generators)
        return False

    def _is_filled_name(self, name: str) -> bool:
        if name in self._values:
            return all(map(self._is_filled, self._values[name]))
        if name in self._constants and name not in self._given:
            return self._is_filled(self._constants[name])
        return name in self._given or name.isupper()


def _assign(values: dict[str, list[ast.expr]], target: ast.expr, value: ast.expr) -> None:
    if isinstance(target, ast.Name):
        values[target.id].append(value)
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for one, its in zip(target.elts, value.elts, strict=True):
            _assign(values, one, its)


def _over(test: ast.expr) -> list[ast.expr]:
    """What an `all(…)` goes over."""
    match test:
        case ast.Call(
            func=ast.Name(id="all"), args=[ast.GeneratorExp(generators=made) | ast.ListComp(generators=made)]
        ):
            # Not empty only if nothing is left out.
            return [one.iter for one in made[:1] if not one.ifs] or [ast.List(elts=[])]
        case ast.Call(func=ast.Name(id="all"), args=[ast.Call(func=ast.Name(id="map"), args=[_, *over])]):
            return over
        case ast.Call(func=ast.Name(id="all"), args=[over]):
            return [over]
    return []


def _name(node: ast.expr) -> str:
    match node:
        case (
            ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name))
            | ast.Call(func=ast.Subscript(value=ast.Name(id=name)))
        ):
            return name
    return ""
