"""Keeps credentials and signed URLs out of what the service writes."""

from __future__ import annotations

import os
import re

__all__ = ["one_line", "redacted"]

_HIDDEN = "***"

# What stands before the hidden part is kept, so that a reader sees what was there.
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Signed URLs of S3, version 4 and 2; session tokens in query or header.
        r"(X-Amz-(?:Signature|Credential|Security-Token)(?:=|%3D|\s*[:=]\s*))[^\s&\"'<>,;]+",
        r"((?:[?&]|\b)(?:Signature|AWSAccessKeyId)=)[^\s&\"'<>,;]+",
        r"(\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=\-]{8,}",
        # name=value, "name": "value" and the like.
        (
            r"((?:secret_?(?:access_?)?key|session_?token|password|passwd|api_?key|client_?secret"
            r"|access_?token|private_?key)[\"']?\s{0,3}[:=]\s{0,3}[\"']?)[^\s\"'&,;}]+"
        ),
        r"(://[^\s/:@]+:)[^\s/@]+(?=@)",
    )
)
# Each of these patterns needs one of these characters; names of jobs and executions have none.
_NEEDED = re.compile(r"[=:%\s]")
_KEY_ID = re.compile(r"\b(A3T[A-Z0-9]|AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Z0-9]{16}\b")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Values that are secret wherever they turn up.
_SECRET_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_SHORTEST_SECRET = 12


def redacted(text: str) -> str:
    """The text without credentials, tokens and signatures.

    Example:
        >>> redacted("GET https://b.s3.amazonaws.com/k?X-Amz-Signature=6ab1&x=1")
        'GET https://b.s3.amazonaws.com/k?X-Amz-Signature=***&x=1'
    """
    for name in _SECRET_VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, _HIDDEN)
    if _NEEDED.search(text):
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\g<1>{_HIDDEN}", text)
    return _KEY_ID.sub(rf"\g<1>{_HIDDEN}", text)


def one_line(text: str, limit: int) -> str:
    """The text on one line, at most ``limit`` characters: no control character is left in it.

    Example:
        >>> one_line("two\\nlines" + chr(27) + "[31m", 100)
        'two; lines\\\\x1b[31m'
    """
    parts = [part.strip() for part in text.splitlines() if part.strip()]
    joined = _CONTROL.sub(lambda found: _escaped(found[0]), "; ".join(parts))
    return joined if len(joined) <= limit else f"{joined[: limit - 1]}…"


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number <= 0xFF else f"\\u{number:04x}"
