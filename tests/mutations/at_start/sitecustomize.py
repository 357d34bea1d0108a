"""Python imports this when it starts, where PYTHONPATH has this folder, and so in the commands that tests start.

Modules of the product are then loaded in another way. With MUTATION_REACHED, each function notes that it was called, in
the file of this name. With MUTATION, which is `module=file`, this module has the source of this file, a mutant.
"""

from __future__ import annotations

import ast
import builtins
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

REACHED, MUTANT = "MUTATION_REACHED", "MUTATION"
# What a function calls to note that it was reached.
CALL = "_note_that_it_was_reached"


class Notes:
    """Notes each function once, until it is told to forget: in a new process, and before another test."""

    def __init__(self) -> None:
        self.known = set[str]()
        self._path, self._file = "", -1
        os.register_at_fork(after_in_child=self.known.clear)

    def note(self, function: str) -> None:
        """Add a line to the file."""
        if function not in self.known:
            self.known.add(function)
            path = os.environ.get(REACHED, os.devnull)
            if path != self._path:
                self._path, self._file = path, os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.write(self._file, f"{function}\n".encode())


notes = Notes()


class Noting(SourceFileLoader):
    """Loads a module whose functions note that they were called."""

    def source_to_code(self, data: bytes, path: str, *, _optimize: int = -1) -> CodeType:  # type: ignore[override]
        """See the base class."""
        tree = ast.parse(data)
        for name, function in functions_of(tree):
            call = ast.Call(ast.Name(CALL, ast.Load()), [ast.Constant(f"{self.name}:{name}")], [])
            function.body.insert(1 if ast.get_docstring(function, clean=False) is not None else 0, ast.Expr(call))
        code: CodeType = compile(ast.fix_missing_locations(tree), path, "exec", optimize=_optimize)
        return code


class Mutated(SourceFileLoader):
    """Loads a module with the source of a mutant."""

    def get_code(self, fullname: str) -> CodeType:
        """See the base class."""
        source = Path(os.environ[MUTANT].split("=")[1])
        code: CodeType = compile(source.read_text(), self.path, "exec")
        return code


class Finder(MetaPathFinder):
    """Finds modules of the product, and has them loaded so."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See the base class."""
        if fullname.partition(".")[0] != "bqdump":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and isinstance(spec.loader, SourceFileLoader):
            if os.environ.get(MUTANT, "").split("=")[0] == fullname:
                spec.loader = Mutated(fullname, spec.loader.path)
            elif os.environ.get(REACHED):
                spec.loader = Noting(fullname, spec.loader.path)
        return spec


def functions_of(tree: ast.AST, inside: str = "") -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """All functions of a module with their qualified names, as Python has them."""
    found = list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found += [(inside + node.name, node), *functions_of(node, f"{inside}{node.name}.<locals>.")]
        elif isinstance(node, ast.ClassDef):
            found += functions_of(node, f"{inside}{node.name}.")
        else:
            found += functions_of(node, inside)
    return found


if os.environ.get(REACHED) or os.environ.get(MUTANT):
    setattr(builtins, CALL, notes.note)
    sys.meta_path.insert(0, Finder())
