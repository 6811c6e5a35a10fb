"""Records of the binary formats that a transform's objects are split by: RecordIO and TFRecord.

Sources: dmlc-core's `recordio.h` and TensorFlow's `record_writer.cc`, November 2026. Checksums are
not looked at.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from cdao_sdk.local.execution.context import JobFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import BinaryIO

_MAGIC = 0xCED7230A
_LENGTH_BITS = 29  # of RecordIO's second word; the others tell which part of a record it is
_WHOLE, _LAST = 0, 3
_CHECKSUM_BYTES = 4


class Frame(NamedTuple):
    """One record: with what the format wraps it in, and without."""

    wrapped: bytes
    content: bytes


def recordio(file: BinaryIO, longest: int) -> Iterator[Frame]:
    """The records of a RecordIO file.

    Raises:
        JobFailed: it is none, or a record is longer than `longest` bytes.
    """
    wrapped, contents = b"", list[bytes]()
    while head := _read(file, 8, "RecordIO", may_end=not contents):
        magic, word = struct.unpack("<II", head)
        if magic != _MAGIC:
            msg = "ClientError: SplitType is RecordIO, but the data is not in this format"
            raise JobFailed(msg)
        part, length = word >> _LENGTH_BITS, word & ((1 << _LENGTH_BITS) - 1)
        padded = _read(file, _checked(length + -length % 4, longest), "RecordIO")
        wrapped += head + padded
        contents.append(padded[:length])
        if part in (_WHOLE, _LAST):
            # A record is cut where it holds the magic word itself, which is left out there.
            yield Frame(wrapped, struct.pack("<I", _MAGIC).join(contents))
            wrapped, contents = b"", []


def tfrecord(file: BinaryIO, longest: int) -> Iterator[Frame]:
    """The records of a TFRecord file; raises as `recordio`."""
    while head := _read(file, 8 + _CHECKSUM_BYTES, "TFRecord", may_end=True):
        length = _checked(int.from_bytes(head[:8], "little"), longest)
        rest = _read(file, length + _CHECKSUM_BYTES, "TFRecord")
        yield Frame(head + rest, rest[:length])


FORMATS: Mapping[str, Callable[[BinaryIO, int], Iterator[Frame]]] = {
    "RecordIO": recordio,
    "TFRecord": tfrecord,
}
"""By SplitType."""


def _checked(length: int, longest: int) -> int:
    if length > longest:
        msg = (
            f"ClientError: A record of {length} bytes is larger than MaxPayloadInMB "
            f"({longest >> 20}) allows, or the data is not in the format of SplitType"
        )
        raise JobFailed(msg)
    return length


def _read(file: BinaryIO, size: int, name: str, *, may_end: bool = False) -> bytes:
    data = file.read(size)
    if len(data) < size and (data or not may_end):
        msg = f"ClientError: The data ends in the midst of a record of SplitType {name}"
        raise JobFailed(msg)
    return data
