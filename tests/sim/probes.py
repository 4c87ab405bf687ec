"""A probe at the place of each planted fault: counts how often an evening comes by, and how often a condition is true."""

from __future__ import annotations

import ast
import builtins
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

from tests.sim.mutate import MUTANTS

PROBE = "__sim_probe__"
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _call(key: str) -> ast.stmt:
    return ast.Expr(ast.Call(ast.Name(PROBE, ast.Load()), [ast.Constant(key)], []))


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The lists of statements of a function, inner ones last."""
    for child in ast.walk(node):
        for name in ("body", "orelse", "finalbody"):
            found = getattr(child, name, None)
            if isinstance(found, list) and found and isinstance(found[0], ast.stmt):
                yield found


def plant(tree: ast.Module, first: int, last: int, name: str) -> bool:
    """Put probes at the statements of these lines; False where they are not inside a function."""
    inside = [n for n in ast.walk(tree) if isinstance(n, Function) and getattr(n.body[0], "lineno", 0) <= last and first <= (n.end_lineno or 0)]  # fmt: skip
    if not inside:
        return False
    place: tuple[list[ast.stmt], int] | None = None
    for block in _blocks(inside[-1]):
        for at, statement in enumerate(block):
            # A probe has no line.
            if getattr(statement, "lineno", last + 1) <= last and first <= (statement.end_lineno or 0):
                place = block, at
                break
    if place is None:
        return False
    block, at = place
    statement = block[at]
    if isinstance(statement, ast.If | ast.While):
        statement.body.insert(0, _call(f"{name}|taken"))
    block.insert(at, _call(f"{name}|reached"))
    return True


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        source = self.get_data(path).decode()
        tree = ast.parse(source)
        for name, (module, old, _) in MUTANTS.items():
            if module == fullname:
                start = source.index(old)
                lines = (
                    source.count("\n", 0, start) + 1,
                    source.count("\n", 0, start + len(old.rstrip("\n"))) + 1,
                )
                if not plant(tree, *lines, name):
                    anywhere.add(name)
        return compile(ast.fix_missing_locations(tree), path, "exec")


class _Finder(MetaPathFinder):
    modules = frozenset(module for module, _, _ in MUTANTS.values())

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.modules:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _Loader(fullname, spec.origin)
        return spec


hits: Counter[str] = Counter()
anywhere: set[str] = set()  # faults whose place is no line of a function: any evening may show them


def install() -> None:
    """Must run before the product is imported."""
    setattr(builtins, PROBE, lambda key: hits.update((key,)))
    sys.meta_path.insert(0, _Finder())


def counted() -> dict[str, tuple[int, int]]:
    """Of each fault since ``hits`` was cleared: how often its place was reached, and its condition true."""
    return {
        name: (1, 0) if name in anywhere else (hits[f"{name}|reached"], hits[f"{name}|taken"])
        for name in MUTANTS
    }
