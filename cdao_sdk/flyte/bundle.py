"""The user's code as one archive that a job imports.

What goes in: the task's module and every module of the user's own that it imports, at whatever
depth, also inside functions; installed packages and the standard library stay out. Files keep
their module's path, so that every import reads as at home. Equal code gives equal bytes.
"""

from __future__ import annotations

import ast
import functools
import gzip
import hashlib
import io
import sys
import sysconfig
import tarfile
import threading
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from cdao_sdk.errors import PlanError
from cdao_sdk.flyte.notebook import NOTEBOOK_MODULE, notebook_source

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

__all__ = [
    "CodeBundle",
    "EntryPoint",
    "archive_path",
    "bundle",
    "check_size",
    "entry_point",
    "imports_of",
    "is_in_notebook",
    "packed",
    "reachable",
]

_LIMIT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class EntryPoint:
    """Where a job finds a function: an importable module, and the function's name in it."""

    module: str
    function: str


@dataclass(frozen=True)
class CodeBundle:
    """A gzipped tar of the user's modules.

    Attributes:
        content: The archive's bytes.
        digest: SHA-256 of them, in hexadecimal.
        modules: The modules in it, sorted.
    """

    content: bytes
    digest: str
    modules: tuple[str, ...]


def entry_point(function: Callable[..., object]) -> EntryPoint:
    """The module and name under which a job imports a function.

    A script's ``__main__`` is known by its file's name, a notebook's by a module made for it.
    """
    name = function.__qualname__
    if function.__module__ != "__main__":
        return EntryPoint(function.__module__, name)
    return EntryPoint(_main_name(), name)


def _main_name() -> str:
    main = sys.modules["__main__"]
    spec: ModuleSpec | None = getattr(main, "__spec__", None)
    if spec is not None and spec.name != "__main__":
        return spec.name.removesuffix(".__main__")  # python -m package.module
    path: str | None = getattr(main, "__file__", None)
    return Path(path).stem if path else NOTEBOOK_MODULE


def is_in_notebook(function: Callable[..., object]) -> bool:
    """Whether a function was typed into a cell, so that it has no file."""
    return function.__module__ == "__main__" and _main_name() == NOTEBOOK_MODULE


def bundle(
    functions: Iterable[Callable[..., object]], more: Mapping[str, bytes] | None = None
) -> CodeBundle:
    """Pack the code of some functions.

    Args:
        functions: The bodies of tasks and the handlers of models.
        more: Other files by their path in the archive; a module of the functions' own wins.

    Returns:
        The archive.

    Raises:
        PlanError: The code has no file, or is too large.
    """
    files = dict(more or {})
    modules: set[str] = set()
    wanted: list[str] = []
    imported: list[str] = []
    interactive: list[Callable[..., object]] = []
    for function in functions:
        if is_in_notebook(function):
            interactive.append(function)
        elif _source_file(function.__module__, {function.__module__.partition(".")[0]}) is None:
            msg = (
                f"{function.__qualname__} is defined in {function.__module__!r}, which has no"
                " source file that could go into a job: define it in a .py file or a notebook."
            )
            raise PlanError(msg)
        else:
            wanted.append(function.__module__)
    if interactive:
        source = notebook_source(interactive)
        files[f"{NOTEBOOK_MODULE}.py"] = source.encode()
        modules.add(NOTEBOOK_MODULE)
        imported = _imports(ast.parse(source), "")
    for name, path in reachable(wanted, imported):
        files[archive_path(name, path)] = path.read_bytes()
        modules.add(name)
    return CodeBundle(*packed(files), tuple(sorted(modules)))


def packed(files: Mapping[str, bytes]) -> tuple[bytes, str]:
    """An archive of files by their path, and its SHA-256; equal files give equal bytes.

    Raises:
        PlanError: They are too large.
    """
    check_size({name: len(content) for name, content in files.items()})
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(files[name]), 0o644
            archive.addfile(member, io.BytesIO(files[name]))
    content = buffer.getvalue()
    return content, hashlib.sha256(content).hexdigest()


def check_size(sizes: Mapping[str, int]) -> None:
    """Refuse what is more than code.

    Args:
        sizes: Bytes of each file.

    Raises:
        PlanError: It is too much; the largest files are named.
    """
    size = sum(sizes.values())
    if size > _LIMIT_BYTES:
        msg = (
            f"The code of this workflow has {size:,} bytes; {_LIMIT_BYTES:,} go into a job at most."
            " Data belongs into inputs; or name it in .gitignore, .dockerignore or .flyteignore."
        )
        largest = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:5]
        raise PlanError(msg, problems=[f"{name}: {sizes[name]:,} bytes" for name in largest])


def reachable(names: Collection[str], imported: Iterable[str] = ()) -> Iterator[tuple[str, Path]]:
    """User modules that are imported from these, with their files.

    Args:
        names: What the functions lie in: it goes along even where it is installed.
        imported: What a notebook's functions import.
    """
    seen: set[str] = set()
    waiting = [*names, *imported]
    own = {name.partition(".")[0] for name in names}
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path = _source_file(name, own)
        if path is None:
            continue
        if name == "__main__":
            name = _main_name()
        yield name, path
        if "." in name:
            waiting.append(name.rpartition(".")[0])
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += imports_of(path, package)


def imports_of(path: Path, package: str) -> tuple[str, ...]:
    """Names that may be modules, of every import in a file; read again only when it changes."""
    stat = path.stat()
    return _imports_of(path, package, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=4096)
def _imports_of(path: Path, package: str, *_version: int) -> tuple[str, ...]:
    return tuple(_imports(_parse(path), package))


# Two threads that parse at the same time fail in CPython 3.11 ("AST constructor recursion depth
# mismatch", python/cpython#106905).
_parsing = threading.Lock()


def _parse(path: Path) -> ast.Module:
    try:
        with _parsing:
            return ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        msg = f"{path} cannot be parsed: {error}"
        raise PlanError(msg) from error


def _imports(tree: ast.Module, package: str) -> list[str]:
    """Names that may be modules, of every import in a file."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".") if package else []
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, base] if base else parts)
            found.append(base)
            found += [f"{base}.{alias.name}" for alias in node.names]
    return [name for name in found if name]


def _source_file(name: str, own: set[str]) -> Path | None:
    """The file of a module of the user's own; None for any other name."""
    top = name.partition(".")[0]
    ours = top in {"cdao_sdk", "flytekit"} and not name.startswith("cdao_sdk.examples.")
    if top in sys.stdlib_module_names or ours:
        return None
    module = sys.modules.get(name)
    origin: str | None = getattr(module, "__file__", None) if module else _find(name)
    if origin is None or not origin.endswith(".py"):
        return None
    path = Path(origin).resolve()
    installed = any(path.is_relative_to(folder) for folder in _installed_folders())
    return None if (installed and top not in own) or not path.is_file() else path


def _find(name: str) -> str | None:
    """A module's file by its name alone: nothing is imported."""
    spec: ModuleSpec | None = None
    parts = name.split(".")
    known, search = _imported_parent(parts)
    for index, part in enumerate(parts[known:], known):
        # By the part alone: a namespace inside a package would ask sys.modules for the package.
        spec = PathFinder.find_spec(part, search)
        if spec is None:
            return None
        search = list(spec.submodule_search_locations or [])
        if not search and index < len(parts) - 1:
            return None
    return spec.origin if spec else None


def _imported_parent(parts: list[str]) -> tuple[int, list[str] | None]:
    """How many parts of a name are an imported package, and where its modules lie.

    ``pyflyte run`` takes the project's folder from sys.path again after it has read the file.
    """
    for count in range(len(parts) - 1, 0, -1):
        path = getattr(sys.modules.get(".".join(parts[:count])), "__path__", None)
        if path is not None:
            return count, list(path)
    return 0, None


def _installed_folders() -> set[Path]:
    paths = sysconfig.get_paths()
    return {
        Path(paths[key]).resolve()
        for key in ("stdlib", "platstdlib", "purelib", "platlib")
        if key in paths
    }


def archive_path(name: str, path: Path) -> str:
    """Where a module's file lies in an archive."""
    relative = name.replace(".", "/")
    return f"{relative}/__init__.py" if path.name == "__init__.py" else f"{relative}.py"
