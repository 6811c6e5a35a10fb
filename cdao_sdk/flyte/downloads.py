"""Lets what a run gives back be read anywhere, not only where flytekit's context knows the run."""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import contextlib
import functools
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, cast

from flytekit.core.context_manager import FlyteContextManager
from flytekit.types.directory.types import FlyteDirectory
from flytekit.types.file.file import FlyteFile
from flytekit.types.structured.structured_dataset import StructuredDataset

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from contextlib import AbstractContextManager

    from flytekit.core.data_persistence import FileAccessProvider

__all__ = ["bind_downloads"]


def bind_downloads(value: object, access: FileAccessProvider) -> None:
    """Let files, folders and data frames in a value come from where the run has put them.

    flytekit's own ask the context in which they are opened: the caller's, who knows of no endpoint.

    Args:
        value: What a run gives back, changed in place.
        access: The run's.
    """
    found = cast("Any", value)
    if isinstance(value, (FlyteFile, FlyteDirectory)):
        _bind_blob(found, access)
    elif isinstance(value, StructuredDataset):
        found.all = functools.partial(_inside, access, found.all)
    elif isinstance(value, dict):
        _bind_each(cast("dict[object, object]", value).values(), access)
    elif isinstance(value, (list, tuple)):
        _bind_each(cast("list[object]", value), access)
    elif is_dataclass(type(value)) or hasattr(type(value), "model_fields"):
        _bind_each(vars(value).values(), access)


def _bind_each(values: Iterable[object], access: FileAccessProvider) -> None:
    for value in values:
        bind_downloads(value, access)


def _bind_blob(found: Any, access: FileAccessProvider) -> None:
    download = found._downloader  # noqa: SLF001 # flytekit offers no other way
    remote = getattr(download, "remote_path", None)
    if remote is None:
        return
    found._downloader = functools.partial(  # noqa: SLF001
        access.get_data, remote, download.local_path, is_multipart=download.is_multipart
    )
    if isinstance(found, FlyteFile):
        found.open = functools.partial(_opened, access, found.open)


def _inside(access: FileAccessProvider, function: Callable[..., object], *args: object) -> object:
    with _context(access):
        return function(*args)


@contextlib.contextmanager
def _opened(
    access: FileAccessProvider, function: Callable[..., Any], *args: object, **kwargs: object
) -> Generator[object]:
    with contextlib.ExitStack() as stack:
        with _context(access):
            stream = stack.enter_context(function(*args, **kwargs))
        yield stream


def _context(access: FileAccessProvider) -> AbstractContextManager[Any]:
    own = FlyteContextManager.current_context().with_file_access(access)
    return cast("AbstractContextManager[Any]", FlyteContextManager.with_context(own))
