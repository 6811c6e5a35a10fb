"""Channels in Pipe mode: a named pipe for each pass over the data.

Source: "Create a Container with Your Own Algorithms" of the SageMaker developer guide: the job
reads `/opt/ml/input/data/<channel>_<epoch>`, and the next pipe is there before one has ended.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import threading
import zlib
from typing import TYPE_CHECKING, cast

from cdao_sdk.local.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from cdao_sdk.local.execution.channels import Item
    from cdao_sdk.local.objects import ObjectStore

    Piece = Item | bytes
    """What a pipe gives: an object, or bytes themselves."""

_LOOK_SECONDS = 0.02
_CHUNK_BYTES = 1 << 20
_RECORD_IO_MAGIC = 0xCED7230A


class PipeChannel:
    """Feeds one channel of one host until it is closed.

    Args:
        objects: where the data is.
        order: the pieces of a pass, by its number from 0.
        path: `…/input/data/<channel>`; the pipes are `<path>_<number>`.
        gunzip: whether the objects are gzip files that the job is to get unpacked.
        as_records: whether each piece is wrapped as one record of RecordIO.
        note: takes a line on what went wrong.
    """

    def __init__(
        self,
        objects: ObjectStore,
        order: Callable[[int], Sequence[Piece]],
        path: Path,
        *,
        gunzip: bool,
        as_records: bool,
        note: Callable[[str], object],
    ) -> None:
        self._objects = objects
        self._order = order
        self._path = path
        self._gunzip = gunzip
        self._as_records = as_records
        self._note = note
        self._over = threading.Event()
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(self._pipe(0))
        self._thread = threading.Thread(target=self._feed, name="cdao-local-pipe", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it, once all who could read are gone."""
        self._over.set()
        self._thread.join()

    def _pipe(self, epoch: int) -> Path:
        return self._path.with_name(f"{self._path.name}_{epoch}")

    def _feed(self) -> None:
        epoch = 0
        while (pipe := self._opened(epoch)) is not None:
            os.mkfifo(self._pipe(epoch + 1))
            try:
                with contextlib.suppress(BrokenPipeError), os.fdopen(pipe, "wb") as out:
                    for piece in self._order(epoch):
                        self._write(piece, out)
            except (AwsError, gzip.BadGzipFile, zlib.error, EOFError) as error:
                self._note(f"the channel {self._path.name} ends early: {error}")
            self._pipe(epoch).unlink(missing_ok=True)
            epoch += 1

    def _opened(self, epoch: int) -> int | None:
        """The writing end, once somebody reads; None when the job is over."""
        while not self._over.is_set():
            try:
                pipe = os.open(self._pipe(epoch), os.O_WRONLY | os.O_NONBLOCK)
            except FileNotFoundError:
                return None  # the job removed it
            except OSError as error:
                if error.errno != errno.ENXIO:  # nobody reads yet
                    raise
                self._over.wait(_LOOK_SECONDS)
            else:
                os.set_blocking(pipe, True)
                return pipe
        return None

    def _write(self, piece: Piece, out: BinaryIO) -> None:
        if isinstance(piece, bytes):
            file: BinaryIO = io.BytesIO(piece)
        else:
            _, file = self._objects.get(piece.bucket, piece.key)
        with file:
            plain = cast("BinaryIO", gzip.GzipFile(fileobj=file) if self._gunzip else file)
            for chunk in _as_record(plain) if self._as_records else _chunks(plain):
                out.write(chunk)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _as_record(file: BinaryIO) -> Iterator[bytes]:
    """MXNet's RecordIO: magic number, length, bytes, zeros up to a multiple of four."""
    body = file.read()
    yield _RECORD_IO_MAGIC.to_bytes(4, "little") + len(body).to_bytes(4, "little")
    yield body
    yield bytes(-len(body) % 4)
