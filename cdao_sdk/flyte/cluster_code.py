"""The archive that goes to a cluster: for the jobs on SageMaker, and for plain tasks in their pods.

Both import from the same archive, yet name modules differently where a file of a package is run as
a script, or its folder is on ``sys.path``: jobs as Python has loaded them, pods as flytekit writes
it into their command. So such a module lies in the archive under both names.
"""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from flytekit.core.array_node_map_task import ArrayNodeMapTask
from flytekit.core.python_auto_container import (
    DefaultTaskResolver,
    PythonAutoContainerTask,
    default_task_resolver,
)
from flytekit.core.tracker import extract_task_module
from flytekit.tools.ignore import DockerIgnore, FlyteIgnore, GitIgnore, IgnoreGroup, StandardIgnore

from cdao_sdk.flyte.bundle import archive_path as module_path
from cdao_sdk.flyte.bundle import bundle, check_size, imports_of, is_in_notebook, reachable
from cdao_sdk.flyte.notebook import NOTEBOOK_MODULE
from cdao_sdk.flyte.task import SageMakerTask

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from flytekit.configuration import SerializationSettings

    from cdao_sdk.flyte.bundle import CodeBundle

__all__ = ["CopyStyle", "cluster_code", "importable_from_notebook", "plain_tasks"]

CopyStyle = Literal["auto", "all"]

# Folders that no job needs, also where no ignore file names them.
_NO_CODE = frozenset({".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__"})


def cluster_code(tasks: Iterable[object], copy_style: CopyStyle) -> CodeBundle | None:
    """Pack what the tasks of a workflow import.

    Args:
        tasks: Every task of it.
        copy_style: ``"auto"``: their modules, and those of the user's own that these import, at
            whatever depth. ``"all"``: every file of the project's folder beside, but for what
            .gitignore, .dockerignore and .flyteignore name.

    Returns:
        The archive; None if nothing of it runs the user's code.

    Raises:
        PlanError: Code that has no file, or too much of it.
    """
    functions: list[Callable[..., object]] = []
    others: set[str] = set()
    named: dict[str, Path] = {}
    for task in _with_code(tasks):
        own = task.functions if isinstance(task, SageMakerTask) else _function(task)
        functions += own
        if not own and getattr(task, "instantiated_in", None):
            others.add(str(task.instantiated_in))
        if (place := _as_flytekit_names_it(task)) is not None:
            named[place[0]] = place[1]
    if not functions and not others:
        return None
    files: dict[str, bytes] = {}
    if copy_style == "all":
        for root in {_root_of(module, path) for module, path in named.items()}:
            files.update(_project_files(root))
    for module, path in named.items():
        files.update(_module_and_neighbours(module, path))
    for name, path in reachable(others):
        files[module_path(name, path)] = path.read_bytes()
    return bundle(functions, files)


def plain_tasks(tasks: Iterable[object]) -> list[Any]:
    """Those whose code runs in a pod of the cluster, not on SageMaker."""
    return [task for task in _with_code(tasks) if not isinstance(task, SageMakerTask)]


def _with_code(tasks: Iterable[object]) -> Iterator[Any]:
    for task in tasks:
        found = cast("Any", task)
        if isinstance(task, ArrayNodeMapTask):
            found = found.python_function_task
        if isinstance(found, SageMakerTask) and not found.functions:
            continue  # an algorithm or a service
        if isinstance(found, PythonAutoContainerTask):
            yield found


def _function(task: Any) -> list[Callable[..., object]]:
    function = getattr(task, "task_function", None)
    body = inspect.unwrap(function) if callable(function) else None
    return [body] if inspect.isfunction(body) else []


def _as_flytekit_names_it(task: Any) -> tuple[str, Path] | None:
    """The module that a pod's command names, and its file."""
    try:
        _, module, _, file = extract_task_module(task)
    except Exception:  # noqa: BLE001 # flytekit will say what it lacks when it makes the command
        return None
    path = Path(file) if file else None
    if not module or module == "__main__" or path is None or not path.is_file():
        return None
    return (module, path) if path.suffix == ".py" else None


def _root_of(module: str, path: Path) -> Path:
    """The folder that a module's name counts from."""
    up = module.count(".") + (path.name == "__init__.py")
    return path.parents[up]


def _module_and_neighbours(module: str, path: Path) -> dict[str, bytes]:
    """A module under flytekit's name, with the packages around it and what it imports from them."""
    root = _root_of(module, path)
    loaded = sys.modules.get(module)
    if loaded is not None and Path(getattr(loaded, "__file__", None) or "/").resolve() == path:
        return {}  # Python has loaded it under this very name: it is packed anyway
    files: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        found = _file_below(root, name)
        if found is None or (where := found.relative_to(root).as_posix()) in files:
            continue
        files[where] = found.read_bytes()
        package = name if found.name == "__init__.py" else name.rpartition(".")[0]
        waiting += [part for part in (name.rpartition(".")[0], *imports_of(found, package)) if part]
    return files


def _file_below(root: Path, module: str) -> Path | None:
    base = root.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _project_files(root: Path) -> dict[str, bytes]:
    """Every file of a folder that no ignore file names."""
    ignore = IgnoreGroup(str(root), [GitIgnore, DockerIgnore, StandardIgnore, FlyteIgnore])
    found: dict[str, Path] = {}
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not _is_no_code(here / name, ignore))
        paths = (here / name for name in sorted(names))
        found.update(
            (path.relative_to(root).as_posix(), path)
            for path in paths
            if path.is_file() and not ignore.is_ignored(str(path))
        )
    check_size({name: path.stat().st_size for name, path in found.items()})
    return {name: path.read_bytes() for name, path in found.items()}


def _is_no_code(folder: Path, ignore: IgnoreGroup) -> bool:
    return (
        folder.name in _NO_CODE
        or (folder / "pyvenv.cfg").is_file()
        or bool(ignore.is_ignored(str(folder)))
    )


class _NotebookResolver(DefaultTaskResolver):
    """Tells a pod to import a cell's task from the module that is made of the cells."""

    @property
    def location(self) -> str:
        return cast("str", default_task_resolver.location)

    def loader_args(
        self, settings: SerializationSettings, task: PythonAutoContainerTask
    ) -> list[str]:
        del settings
        name = inspect.unwrap(task.task_function).__name__
        return ["task-module", NOTEBOOK_MODULE, "task-name", name]


_notebook_resolver = _NotebookResolver()


@contextlib.contextmanager
def importable_from_notebook(tasks: Iterable[object]) -> Generator[None]:
    """Let tasks of a notebook's cells be registered with a command that a pod can run."""
    changed: list[tuple[Any, object]] = []
    for task in _with_code(tasks):
        functions = _function(task)
        if functions and is_in_notebook(functions[0]):
            changed.append((task, task.task_resolver))
            task.set_resolver(_notebook_resolver)
    try:
        yield
    finally:
        for task, resolver in changed:
            task.set_resolver(resolver)
