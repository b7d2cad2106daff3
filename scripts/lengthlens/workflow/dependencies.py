"""Find the package files that a script imports, so that rules can name them as inputs.

Snakemake notices an edited script but not an edited module. A rule therefore lists
`modules_of(script)` among its inputs, and runs again when one of just these files changes. A module
that a script imports by a name it is given, such as a figure's, is named beside the script.

Nothing is imported: imports are read from the syntax tree, wherever they stand (in functions
too), and followed from file to file. Imports for type checkers only do not count.
"""

import ast
import symtable
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

from lengthlens.errors import LengthlensError

PACKAGE = "lengthlens"


@cache
def modules_of(script: Path | str, *named: str) -> list[Path]:
    """The files of the package beside `script` that it imports, directly or through others.

    Args:
        script: a Python file next to the folder `lengthlens`.
        named: modules that it imports by name, such as "lengthlens.figures.scores".

    Returns:
        Sorted paths, relative where `script` is; without the script itself.

    Raises:
        LengthlensError: an import names no file of the package, or a file cannot be parsed.
    """
    script = Path(script)
    found = {file for name in named for file in _files(name, script.parent, script)}
    waiting = [script, *found]
    while waiting:
        new = set(_imports(waiting.pop(), script.parent)) - found
        found |= new
        waiting += new
    return sorted(found)


@cache
def _imports(path: Path, root: Path) -> tuple[Path, ...]:
    """The package files that one file imports; `root` is the folder that holds the package."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        raise LengthlensError(f"Cannot read the imports of {path}: {error}") from error
    found: set[Path] = set()
    for node in _nodes_that_run(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= _files(alias.name, root, path)
        elif isinstance(node, ast.ImportFrom):
            named = "." * node.level + (node.module or "")
            package = resolve_name(named, ".".join(path.relative_to(root).parent.parts))
            found |= _files(package, root, path)
            for alias in node.names:
                found |= _names_of_package(package, alias.name, root, path)
    return tuple(sorted(found))


def _nodes_that_run(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of the tree but those below `if TYPE_CHECKING:`."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _files(name: str, root: Path, importer: Path) -> set[Path]:
    """Files that run when the dotted name is imported: the packages above it, and it itself."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return set()
    here = root.joinpath(*parts)
    module = here / "__init__.py" if here.is_dir() else here.with_suffix(".py")
    if not here.is_dir() and not module.is_file():
        raise LengthlensError(
            f"{importer} imports {name}, but there is no {module}; correct the import"
        )
    above = [root.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts))]
    return {path for path in [*above, module] if path.is_file()}


def _names_of_package(package: str, name: str, root: Path, importer: Path) -> set[Path]:
    """The file behind `from package import name`, where the name is a module.

    A name that the package makes on demand would hide its file from this search: it must be
    imported from its own module instead.
    """
    folder = root.joinpath(*package.split("."))
    if package.partition(".")[0] != PACKAGE or not folder.is_dir():
        return set()
    if (folder / name).is_dir() or (folder / f"{name}.py").is_file():
        return _files(f"{package}.{name}", root, importer)
    init = folder / "__init__.py"
    if not init.is_file() or name not in _top_level_names(init):
        raise LengthlensError(
            f"{importer} imports {name} from {package}, which is neither a module nor "
            f"defined in {init}; import it from the module that defines it"
        )
    return set()


@cache
def _top_level_names(path: Path) -> set[str]:
    """Names that the statements at the top level of a file define or import."""
    table = symtable.symtable(path.read_text(encoding="utf-8"), str(path), "exec")
    return {name.get_name() for name in table.get_symbols() if name.is_local()}
