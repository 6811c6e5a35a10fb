"""Which roles, buckets and images jobs may name: checked on the requests as they go to SageMaker.

Whatever a task says, and however it says it (an option, an extra field, an input), what counts is
the request that would be sent. So the check walks that, and knows nothing of tasks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cdao_sdk.kinds.job import ApiCall
    from cdao_sdk.settings import Settings

__all__ = ["AllowList", "check_requests"]

_ROLE = re.compile(r"arn:aws[a-z\-]*:iam::\d{12}:role/[\w+=,.@\-/]{1,512}", re.ASCII)
_BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]")
# Also within a longer text, and however the scheme is written: containers take these, too.
_S3_URI = re.compile(r"s3[an]?:/{1,2}(?P<bucket>[^/\s\"'?#,;|<>]*)", re.IGNORECASE)
_ROLE_LIKE = re.compile(r":iam:[^\s\"',]*:role/", re.IGNORECASE)
# Fields of SageMaker that name what a container is made from.
_IMAGE_FIELDS = ("image", "imageuri", "algorithmname", "modelpackagename")
# SageMaker takes https:// for S3 in some fields; which bucket that is depends on the host.
_DATA_FIELDS = ("s3uri", "s3outputpath", "s3path", "modeldataurl")
_TAGS = "Tags"


@dataclass(frozen=True)
class AllowList:
    """Patterns of what jobs may name, with ``*``, ``?`` and ``[…]``; none means all.

    Attributes:
        roles: ARNs of roles, such as ``"arn:aws:iam::123456789012:role/team-*"``.
        buckets: Names of buckets, such as ``"team-*"``.
        images: Images, such as ``"123456789012.dkr.ecr.*.amazonaws.com/team/*"``; registry and
            path are matched each for itself, and one without a path means all of a registry.
    """

    roles: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    images: tuple[str, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings) -> AllowList:
        """The lists that are set; the default role and bucket are always allowed."""
        own_role = (settings.sagemaker_role,) if settings.sagemaker_role else ()
        own_bucket = (settings.default_bucket,) if settings.default_bucket else ()
        return cls(
            roles=(*settings.allowed_roles, *own_role) if settings.allowed_roles else (),
            buckets=(*settings.allowed_buckets, *own_bucket) if settings.allowed_buckets else (),
            images=settings.allowed_images,
        )

    @property
    def is_empty(self) -> bool:
        """Whether everything is allowed."""
        return not (self.roles or self.buckets or self.images)


def check_requests(
    calls: Sequence[ApiCall], allowed: AllowList, *, trusted_buckets: Iterable[str] = ()
) -> list[str]:
    """What these requests name that is not allowed.

    Args:
        calls: The requests, as they would be sent.
        allowed: The lists.
        trusted_buckets: Allowed besides, such as the bucket of Flyte's own output prefix.

    Returns:
        One sentence for each such value, in the requests' order; empty: send them.

    Example:
        >>> from cdao_sdk.kinds.job import ApiCall
        >>> call = ApiCall("CreateModel", {"ModelDataUrl": "s3://other/model.tar.gz"})
        >>> check_requests([call], AllowList(buckets=("team-*",)))
        ["CreateModel.ModelDataUrl: bucket 'other' is not in allowed_buckets (team-*)."]
    """
    if allowed.is_empty:
        return []
    buckets = (*allowed.buckets, *trusted_buckets) if allowed.buckets else ()
    problems: list[str] = []
    for call in calls:
        for path, name, value in _strings(call.parameters, call.operation):
            problems += (f"{path}: {problem}" for problem in _role_problems(name, value, allowed))
            problems += (f"{path}: {problem}" for problem in _image_problems(name, value, allowed))
            problems += (f"{path}: {problem}" for problem in _bucket_problems(name, value, buckets))
    return list(dict.fromkeys(problems))


def _strings(value: object, path: str, name: str = "") -> Iterator[tuple[str, str, str]]:
    """(path, field's name, text) of every text in a request; tags are labels and name nothing."""
    if isinstance(value, str):
        yield path, name, value
    elif isinstance(value, dict):
        for key, inner in cast("Mapping[object, object]", value).items():
            if key != _TAGS:
                yield path, name, str(key)
                yield from _strings(inner, f"{path}.{key}", str(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(cast("Sequence[object]", value)):
            yield from _strings(inner, f"{path}[{index}]", name)


def _role_problems(name: str, value: str, allowed: AllowList) -> Iterator[str]:
    if not allowed.roles or value == name:
        return
    is_role_field = name.lower().endswith("rolearn")
    if not is_role_field and not _ROLE_LIKE.search(value):
        return
    if not _ROLE.fullmatch(value):
        if is_role_field:
            yield f"{value!r:.200} is not a role's ARN."
        return  # a text that mentions a role, not a field that is one
    if not any(fnmatchcase(value, pattern) for pattern in allowed.roles):
        yield f"role {value!r} is not in allowed_roles ({', '.join(allowed.roles)})."


def _bucket_problems(name: str, value: str, buckets: Sequence[str]) -> Iterator[str]:
    if not buckets:
        return
    field = name.lower()
    if field.endswith(_DATA_FIELDS) and not value.lower().startswith("s3://") and value != name:
        yield f"{value!r:.200} is not an s3:// URI; with allowed_buckets no other is taken."
    for found in _S3_URI.finditer(value):
        bucket = found["bucket"]
        if not _BUCKET.fullmatch(bucket):
            yield f"{found[0]!r:.200} names no bucket."
        elif not any(fnmatchcase(bucket, pattern) for pattern in buckets):
            yield f"bucket {bucket!r} is not in allowed_buckets ({', '.join(buckets)})."


def _image_problems(name: str, value: str, allowed: AllowList) -> Iterator[str]:
    if not allowed.images or value == name or not name.lower().endswith(_IMAGE_FIELDS):
        return
    if not any(_image_matches(value, pattern) for pattern in allowed.images):
        yield f"image {value!r:.200} is not in allowed_images ({', '.join(allowed.images)})."


def _image_matches(image: str, pattern: str) -> bool:
    # Apart, for `*` would reach over the slash: into a registry of the attacker's.
    registry, _, path = image.partition("/")
    wanted_registry, slash, wanted_path = pattern.partition("/")
    return fnmatchcase(registry, wanted_registry) and (not slash or fnmatchcase(path, wanted_path))
