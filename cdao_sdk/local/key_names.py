"""File names for the records of an object store's keys.

A name spells its key in characters that every file system takes, and keeps prefixes: the names of
the keys that start with `p` are those that start with `escape(p)`, but for names that are hashes.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import unquote

# Upper case is escaped too: the file systems of macOS do not tell 'A' from 'a'.
_TO_ESCAPE = re.compile(r"[^a-z0-9._/-]+")
_LONGEST_NAME = 240
_HASHED = "sha256="
_SUFFIX = ".json"


def escape(key: str) -> str:
    """The start of the names of all keys that start with `key`."""
    return _TO_ESCAPE.sub(_percent, key).replace("/", ",")


def file_name(key: str) -> str:
    """The file name of a key's record; a name too long for file systems is a hash instead."""
    name = escape(key)
    if len(name) > _LONGEST_NAME:
        name = _HASHED + hashlib.sha256(key.encode()).hexdigest()
    return name + _SUFFIX


def is_hashed(name: str) -> bool:
    """Whether the file name does not tell its key."""
    return name.startswith(_HASHED)


def key_of(name: str) -> str:
    """The key of a file name that is not hashed."""
    key = name[: -len(_SUFFIX)].replace(",", "/")
    return unquote(key) if "%" in key else key


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02x}" for byte in match[0].encode())
