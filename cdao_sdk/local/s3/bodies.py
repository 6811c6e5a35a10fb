"""Bodies of puts: streamed, unframed (`aws-chunked`) and checked against their checksums."""

from __future__ import annotations

import base64
import hashlib
import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from cdao_sdk.local.errors import S3Error
from cdao_sdk.local.incoming import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import IO

    from werkzeug.datastructures import Headers
    from werkzeug.wrappers import Request

    from cdao_sdk.local.incoming import Incoming

CHECKSUM = "x-amz-checksum-"
# Further words in the place of an algorithm's name.
_NO_ALGORITHMS = {"mode", "type", "algorithm"}


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _md5() -> _Digest:
    return hashlib.md5(usedforsecurity=False)


def _sha1() -> _Digest:
    return hashlib.sha1(usedforsecurity=False)


# What the standard library has; `_optional` adds what is installed, the rest is kept unchecked.
_DIGESTS: dict[str, Callable[[], _Digest]] = {
    "crc32": _Crc32,
    "md5": _md5,
    "sha1": _sha1,
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
}


class _Checksum:
    """A checksum of a library that goes on from the value so far."""

    def __init__(self, extend: Callable[[int, bytes], int], size: int) -> None:
        self._extend = extend
        self._size = size
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._extend(self._value, data)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def _digest_of(algorithm: str) -> _Digest | None:
    """A new digest; None where nothing here can compute it."""
    make = _DIGESTS.get(algorithm)
    return make() if make else _optional(algorithm)


def _optional(algorithm: str) -> _Digest | None:
    """The checksums that clients make with AWS's own library, or with Google's.

    A client that sends one has the library; beside a server of its own process so has the server.
    """
    for module, name, size in _LIBRARIES.get(algorithm, ()):
        try:
            function = getattr(import_module(module), name)
        except ModuleNotFoundError:
            continue
        return _Checksum(_swapped(function) if module == _AWSCRT else function, size)
    return None


def _swapped(function: Callable[[bytes, int], int]) -> Callable[[int, bytes], int]:
    return lambda value, data: function(data, value)


_AWSCRT = "awscrt.checksums"  # takes the data first, then the value so far
_LIBRARIES = {
    "crc32c": ((_AWSCRT, "crc32c", 4), ("google_crc32c", "extend", 4)),
    "crc64nvme": ((_AWSCRT, "crc64nvme", 8),),
}


def receive(request: Request, incoming: Incoming) -> dict[str, str]:
    """Write a request's body to `incoming`.

    Returns:
        The checksums that came with it, by algorithm.

    Raises:
        S3Error: IncompleteBody when bytes are missing; BadDigest when a checksum differs.
    """
    body = _Body(request)
    made = {name: _digest_of(name) for name in body.announced}
    digests = {name: digest for name, digest in made.items() if digest}
    for chunk in body:
        incoming.write(chunk)
        for digest in digests.values():
            digest.update(chunk)
    length = request.headers.get("x-amz-decoded-content-length") or request.content_length
    if length is not None and incoming.size != int(length):
        raise S3Error(code="IncompleteBody")
    content_md5 = request.headers.get("Content-MD5")
    if content_md5 and content_md5 != _base64(incoming.md5):
        raise S3Error(code="BadDigest")
    checksums = checksums_of(request.headers) | body.trailers
    for name, digest in digests.items():
        if name in checksums and checksums[name] != _base64(digest.digest()):
            raise S3Error(code="BadDigest")
    return checksums


def checksums_of(headers: Headers | Mapping[str, str]) -> dict[str, str]:
    """The checksums among headers, by algorithm in lower case."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        algorithm = name.lower().removeprefix(CHECKSUM)
        if name.lower().startswith(CHECKSUM) and algorithm not in _NO_ALGORITHMS:
            found[algorithm] = value
    return found


def composite(algorithm: str, checksums: list[str]) -> str | None:
    """S3's checksum of checksums for an object of parts; None for unknown algorithms.

    CRC64NVME is always of the whole object, so it has none either.
    """
    digest = None if algorithm == "crc64nvme" else _digest_of(algorithm)
    if digest is None:
        return None
    for checksum in checksums:
        digest.update(base64.b64decode(checksum))
    return f"{_base64(digest.digest())}-{len(checksums)}"


class _Body:
    """The bytes of a request's body in chunks; `trailers` are known at their end."""

    def __init__(self, request: Request) -> None:
        self.trailers: dict[str, str] = {}
        self._stream = request.stream
        self._framed = "aws-chunked" in request.headers.get(
            "Content-Encoding", ""
        ) or request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
        trailer = request.headers.get("x-amz-trailer", "")
        self.announced = {
            *checksums_of(request.headers),
            *checksums_of(dict.fromkeys(trailer.replace(" ", "").split(","), "")),
        }

    def __iter__(self) -> Iterator[bytes]:
        return _unframed(self._stream, self.trailers) if self._framed else _chunks(self._stream)


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _unframed(stream: IO[bytes], trailers: dict[str, str]) -> Iterator[bytes]:
    """The content of an `aws-chunked` body: `<hex size>[;…]CRLF <bytes> CRLF`…, trailers."""
    reader = _Reader(stream)
    while size := _frame_size(reader.line()):
        yield from reader.exactly(size)
        if reader.line():
            raise S3Error(code="IncompleteBody")
    while line := reader.line(at_end=True):
        name, _, value = line.decode("latin-1").partition(":")
        trailers.update(checksums_of({name.strip(): value.strip()}))
    for _ in _chunks(stream):
        pass


def _frame_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError as error:
        raise S3Error(code="IncompleteBody") from error


class _Reader:
    """Lines and runs of bytes of one stream."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._buffer = b""

    def line(self, *, at_end: bool = False) -> bytes:
        """The next line without its CRLF; empty at the end of the body, where it may end."""
        while b"\r\n" not in self._buffer:
            more = self._stream.read(1 << 16)
            if not more and at_end:
                line, self._buffer = self._buffer, b""
                return line
            if not more:
                raise S3Error(code="IncompleteBody")
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def exactly(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, in chunks."""
        while size:
            chunk = self._buffer[:size] or self._stream.read(min(size, CHUNK_BYTES))
            if not chunk:
                raise S3Error(code="IncompleteBody")
            self._buffer = self._buffer[len(chunk) :]
            size -= len(chunk)
            yield chunk


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
