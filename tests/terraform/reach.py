"""What a function's code comes to when it runs: the definitions reached from its entry point, read from the source.

A definition is a module's body, a top-level function, a class's body or a method. It reaches what it names; a method,
once its class is reached and something reached names it. So a little too much may be found, and nothing is missed that
the code names in words.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.unit.import_graph import ROOT, files_of_function


@dataclass(frozen=True)
class Definition:
    """``name`` is empty for a module's body, and ``Class.method`` for a method; ``nodes`` are all of its own."""

    module: str
    name: str
    nodes: tuple[ast.AST, ...] = field(compare=False, repr=False)

    @property
    def calls(self) -> list[ast.Call]:
        return [node for node in self.nodes if isinstance(node, ast.Call)]

    @property
    def attributes(self) -> list[ast.Attribute]:
        return [node for node in self.nodes if isinstance(node, ast.Attribute)]


@dataclass(frozen=True)
class Module:
    """A file: its definitions by name, and what each imported name stands for."""

    name: str
    definitions: dict[str, Definition]
    imported: dict[str, str]


@cache
def reached(function: str) -> tuple[Definition, ...]:
    """What the function's ``main.py``, and the files beside it that it imports, come to."""
    return tuple(_Walk(files_of_function(function)).run())


def attributes_of(function: str) -> frozenset[str]:
    """The names of all attributes that the function's code uses."""
    return frozenset(node.attr for definition in reached(function) for node in definition.attributes)


class _Walk:
    def __init__(self, files: set[Path]) -> None:
        self._modules = {module.name: module for module in map(_parse_module, sorted(files))}
        self._reached: set[Definition] = set()
        self._dormant: dict[str, list[Definition]] = {}
        self._named: set[str] = set()
        self._waiting: list[Definition] = []

    def run(self) -> set[Definition]:
        for module in self._modules.values():
            # Bodies run when they are imported; of the function's own files everything may be a route's handler.
            own = not module.name.startswith("common")
            for name, definition in module.definitions.items():
                if own or not name:
                    self._reach(definition)
        while self._waiting:
            self._follow(self._waiting.pop())
        return self._reached

    def _reach(self, definition: Definition) -> None:
        if definition in self._reached:
            return
        self._reached.add(definition)
        self._waiting.append(definition)
        for name, method in self._modules[definition.module].definitions.items():
            owner, _, short = name.partition(".")
            if not short or owner != definition.name:
                continue
            if short.startswith("__") or short in self._named:
                self._reach(method)
            else:
                self._dormant.setdefault(short, []).append(method)

    def _follow(self, definition: Definition) -> None:
        module = self._modules[definition.module]
        for node in definition.nodes:
            if isinstance(node, ast.Name):
                self._follow_name(module, node.id)
            elif isinstance(node, ast.Attribute):
                self._named.add(node.attr)
                for method in self._dormant.pop(node.attr, []):
                    self._reach(method)
                if isinstance(node.value, ast.Name):
                    self._follow_path(f"{module.imported.get(node.value.id, '')}.{node.attr}")

    def _follow_name(self, module: Module, name: str) -> None:
        if name in module.definitions:
            self._reach(module.definitions[name])
        elif name in module.imported:
            self._follow_path(module.imported[name])

    def _follow_path(self, path: str) -> None:
        owner, _, name = path.rpartition(".")
        if owner in self._modules:
            self._follow_name(self._modules[owner], name)


@cache
def _parse_module(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts).removesuffix(".__init__") if parts[0] == "common" else path.stem
    tree = ast.parse(path.read_text())
    found: dict[str, list[ast.AST]] = {"": []}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = [node]
            found[""] += node.decorator_list
        elif isinstance(node, ast.ClassDef):
            rest = [one for one in node.body if not isinstance(one, ast.FunctionDef)]
            found[node.name] = [*node.bases, *node.decorator_list, *rest]
            found |= {f"{node.name}.{one.name}": [one] for one in node.body if isinstance(one, ast.FunctionDef)}
        else:
            found[""].append(node)
    definitions = {one: Definition(name, one, _all_nodes(nodes)) for one, nodes in found.items()}
    return Module(name, definitions, _parse_imports(definitions.values()))


def _all_nodes(nodes: list[ast.AST]) -> tuple[ast.AST, ...]:
    return tuple(inner for node in nodes for inner in ast.walk(node))


def _parse_imports(definitions: Iterable[Definition]) -> dict[str, str]:
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for definition in definitions
        for node in definition.nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
