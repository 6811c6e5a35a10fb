"""flytekit's S3 sessions, closed in time.

flytekit opens an asynchronous s3fs file system for each of its event loops and leaves its closing
to the interpreter's end, where aiohttp can only complain of it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["close_s3_sessions"]

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 2.0


def close_s3_sessions() -> None:
    """Close every session that s3fs holds in an event loop which is still running."""
    s3fs: Any = sys.modules.get("s3fs")
    if s3fs is None:
        return
    for file_system in cast("Iterable[Any]", list(s3fs.S3FileSystem._cache.values())):  # noqa: SLF001 # fsspec lists its instances nowhere else
        # It holds a client for each region whose bucket was asked for, not only the first.
        sessions = getattr(file_system, "_s3creator", None)
        loop = file_system.storage_options.get("loop")
        if sessions is None or not isinstance(loop, asyncio.AbstractEventLoop):
            continue
        if not loop.is_running():
            continue
        try:
            closing = sessions.__aexit__(None, None, None)
            asyncio.run_coroutine_threadsafe(closing, loop).result(_PATIENCE_SECONDS)
        except FutureTimeoutError:
            logger.debug("an S3 session did not close in time")
