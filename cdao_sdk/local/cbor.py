"""CBOR (RFC 8949), as far as AWS's rpc-v2-cbor protocol uses it."""

from __future__ import annotations

import struct
from datetime import datetime, timezone
from typing import Any

__all__ = ["CborError", "decode", "encode"]

_BREAK = object()
_EPOCH_TAG = 1
_INDEFINITE = 31
_DEEPEST = 32


class CborError(ValueError):
    """The bytes are no CBOR, or use what AWS does not."""


def encode(value: object) -> bytes:
    """A value as CBOR; times become seconds since 1970.

    Raises:
        CborError: A value of this type has no place in it.
    """
    if isinstance(value, bool) or value is None:
        return {False: b"\xf4", True: b"\xf5", None: b"\xf6"}[value]
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return _head(3, len(data)) + data
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, datetime):
        return _head(6, _EPOCH_TAG) + encode(value.timestamp())
    return _encode_many(value)


def _encode_many(value: object) -> bytes:
    if isinstance(value, (list, tuple)):
        items: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        return _head(4, len(items)) + b"".join(map(encode, items))
    if isinstance(value, dict):
        pairs: list[tuple[Any, Any]] = list(value.items())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        return _head(5, len(pairs)) + b"".join(encode(key) + encode(each) for key, each in pairs)
    msg = f"{type(value).__name__} cannot be written as CBOR"
    raise CborError(msg)


def decode(data: bytes) -> Any:
    """The value that CBOR stands for; times are in UTC.

    Raises:
        CborError: It is not CBOR.
    """
    reader = _Reader(data)
    try:
        value = reader.value(0)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        msg = f"not CBOR: {error}"
        raise CborError(msg) from error
    if value is _BREAK:
        msg = "not CBOR: a break where a value belongs"
        raise CborError(msg)
    return value


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for size, (code, form) in enumerate(((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q"))):
        if number < 1 << (8 << size):
            return bytes([major << 5 | code]) + struct.pack(form, number)
    msg = f"{number} is too large"
    raise CborError(msg)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            msg = "not CBOR of AWS's: too deep"
            raise CborError(msg)
        first = self._data[self._at]
        self._at += 1
        major, info = first >> 5, first & 31
        if major == 7:
            return self._simple(info)
        number = None if info == _INDEFINITE else self._number(info)
        if major < 2:
            whole = number or 0
            return whole if major == 0 else -1 - whole
        if major < 4:
            return self._string(major, number, depth)
        if major == 6:
            return self._tagged(number, depth)
        return self._list(number, depth) if major == 4 else self._map(number, depth)

    def _number(self, info: int) -> int:
        if info < 24:
            return info
        form = {24: ">B", 25: ">H", 26: ">I", 27: ">Q"}.get(info)
        if form is None:
            msg = f"not CBOR: additional information {info}"
            raise CborError(msg)
        return int(self._unpack(form))

    def _unpack(self, form: str) -> Any:
        size = struct.calcsize(form)
        (value,) = struct.unpack(form, self._take(size))
        return value

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            msg = "not CBOR: it ends too early"
            raise CborError(msg)
        self._at += size
        return self._data[self._at - size : self._at]

    def _simple(self, info: int) -> Any:
        floats = {25: ">e", 26: ">f", 27: ">d"}
        if info in floats:
            return self._unpack(floats[info])
        return {20: False, 21: True, _INDEFINITE: _BREAK}.get(info)

    def _string(self, major: int, size: int | None, depth: int) -> str | bytes:
        if size is None:
            parts = self._list(None, depth)
            return (b"" if major == 2 else "").join(parts)
        data = self._take(size)
        return data if major == 2 else data.decode()

    def _tagged(self, tag: int | None, depth: int) -> Any:
        value = self.value(depth + 1)
        return datetime.fromtimestamp(value, timezone.utc) if tag == _EPOCH_TAG else value

    def _list(self, size: int | None, depth: int) -> list[Any]:
        found: list[Any] = []
        while size is None or len(found) < size:
            value = self.value(depth + 1)
            if value is _BREAK:
                break
            found.append(value)
        return found

    def _map(self, size: int | None, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        while size is None or len(found) < size:
            key = self.value(depth + 1)
            if key is _BREAK:
                break
            found[key] = self.value(depth + 1)
        return found
