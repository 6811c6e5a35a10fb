"""Names of jobs: a function of execution, node and attempt, so that creating twice makes one job.

A name reads ``<execution>-<node>-<hash>-<attempt>``. The execution's part is always its prefix, so
``NameContains=execution_slug(execution)`` finds every job of an execution; the hash covers the
exact inputs, so shortening or cleaning them never makes two jobs share a name.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata

_EXECUTION_LENGTH = 20  # Flyte's own execution IDs have 20; with hash and attempt it fits in 32
_HASH_LENGTH = 8  # of 32 characters each: 40 bits


def job_name(execution: str, node: str, attempt: int, *, max_length: int = 63) -> str:
    """The name of a job.

    Args:
        execution: Flyte's execution ID; any text will do.
        node: ID of the node in the execution; any text will do.
        attempt: Number of the attempt, from 0.
        max_length: 63 for most kinds, 32 for tuning jobs; at least 29.

    Returns:
        A name that fits SageMaker's ``[a-zA-Z0-9](-*[a-zA-Z0-9])*``.

    Example:
        >>> job_name("f3a9d1c0b7", "n0", 0)
        'f3a9d1c0b7-n0-waszwkii-0'
    """
    slug = execution_slug(execution)
    digest = _digest(json.dumps([execution, node, attempt]))
    ending = f"{digest}-{attempt}"
    if len(slug) + 1 + len(ending) > max_length:
        ending = digest  # an attempt of many digits; the hash still tells them apart
    room = max_length - len(slug) - len(ending) - 2
    middle = _slug(node)[: max(room, 0)].rstrip("-")
    return "-".join(part for part in (slug, middle, ending) if part)


def tuning_name(execution: str, node: str, attempt: int) -> str:
    """The name of a hyperparameter tuning job: like a job's, in at most 32 characters.

    Example:
        >>> tuning_name("f3a9d1c0b7", "n0", 0)
        'f3a9d1c0b7-n0-waszwkii-0'
    """
    return job_name(execution, node, attempt, max_length=32)


def execution_slug(execution: str) -> str:
    """The part of its jobs' names that stands for an execution: at most 20 characters.

    An ID that fits as it is stays as it is; any other is shortened and gets a hash of its own.

    Example:
        >>> execution_slug("f3a9d1c0b7")
        'f3a9d1c0b7'
    """
    slug = _slug(execution)
    if slug and slug == execution and len(slug) <= _EXECUTION_LENGTH:
        return slug
    digest = _digest(execution)
    beginning = slug[: _EXECUTION_LENGTH - _HASH_LENGTH - 1].rstrip("-")
    return f"{beginning}-{digest}" if beginning else digest


def tag_value(text: str) -> str:
    """A text as a valid value of a tag: other characters become ``_``, at most 256 are kept."""
    return re.sub(r"[^\w .:/=+\-@]", "_", text)[:256]


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")


def _digest(text: str) -> str:
    # surrogatepass: any str is a name here, even one that is no valid Unicode.
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return base64.b32encode(digest).decode("ascii").lower()[:_HASH_LENGTH]
