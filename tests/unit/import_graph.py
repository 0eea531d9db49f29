"""What the project's files import, read from their source: nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ("oauth_callback", "mail_proxy", "magnet_ingest", "label_sweep")


@cache
def imported_names(source: Path) -> frozenset[str]:
    """The dotted names that a file imports when it runs, at once or later; ``a.b`` for ``from a import b`` too."""
    names: set[str] = set()
    for node in _running_nodes(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy_module":
            names.update(ast.literal_eval(argument) for argument in node.args if isinstance(argument, ast.Constant))
    return frozenset(names)


def files_of_function(name: str) -> set[Path]:
    """The files of a function's own and of ``common`` that are reached from its ``main.py``."""
    folder = ROOT / "functions" / name
    waiting, reached = [folder / "main.py"], set[Path]()
    while waiting:
        source = waiting.pop()
        if source not in reached:
            reached.add(source)
            waiting += [path for one in imported_names(source) for path in _own_files(one, folder)]
    return reached


def distributions_of(sources: set[Path]) -> set[str]:
    """The normalised names of the installed distributions that the files import themselves."""
    found = {_distribution(name) for source in sources for name in imported_names(source)}
    return {name for name in found if name}


def normalised(distribution: str) -> str:
    """The name as PyPI compares it (PEP 503)."""
    return distribution.lower().replace("_", "-").replace(".", "-")


def _running_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            # What runs instead of it.
            yield from _running_nodes(ast.Module(node.orelse, []))
            continue
        yield node
        yield from _running_nodes(node)


def _own_files(name: str, folder: Path) -> list[Path]:
    bases = [ROOT] if name.startswith("common") else [folder]
    parts = name.split(".")
    found: list[Path] = []
    for base in bases:
        for length in range(1, len(parts) + 1):
            path = base.joinpath(*parts[:length])
            found += [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]
    return found


def _distribution(name: str) -> str:
    parts = name.split(".")
    modules = _installed_modules()
    for length in range(len(parts), 0, -1):
        if found := modules.get("/".join(parts[:length])):
            return found
    return ""


@cache
def _installed_modules() -> dict[str, str]:
    """Each installed module's path without its ending, and whose it is."""
    modules: dict[str, str] = {}
    for distribution in metadata.distributions():
        for file in distribution.files or ():
            path = str(file)
            if path.endswith((".py", ".so", ".pyi")) and not path.startswith(".."):
                module = path.removesuffix("/__init__.py").removesuffix("/__init__.pyi").partition(".")[0]
                # Stubs (types-…) describe a package that another distribution holds.
                if not path.endswith(".pyi") and "-stubs/" not in path:
                    modules.setdefault(module, normalised(distribution.metadata["Name"]))
    return modules
