"""Names that Flyte makes: fixed-length ids (flyteplugins' encoding package), label values."""

from __future__ import annotations

import base64
import random
import re

from google.protobuf.timestamp_pb2 import Timestamp

_ALPHABET = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "abcdefghijklmnopqrstuvwxyz123456")
_FNV = {32: (0x811C9DC5, 0x01000193), 64: (0xCBF29CE484222325, 0x100000001B3)}


def joined(limit: int, *parts: str, bits: int = 32) -> str:
    """The parts with dashes between, or a hash of them that is no longer than the limit."""
    name = ""
    for part in parts:
        name += f"-{part}" if name else part
    if len(name) <= limit:
        return name
    value, prime = _FNV[bits]
    for byte in name.encode():
        value = ((value ^ byte) * prime) % (1 << bits)
    digest = base64.b32encode(value.to_bytes(bits // 8, "big")).decode().rstrip("=")
    return "f" + digest.translate(_ALPHABET)


def execution_name() -> str:
    return "a" + "".join(random.choices("bcdfghjklmnpqrstvwxz2456789", k=19))


def label_value(name: str) -> str:
    return re.sub(r"[^-a-z0-9]", "-", name.lower())[:63].strip("-")


def now() -> Timestamp:
    stamp = Timestamp()
    stamp.GetCurrentTime()
    return stamp
