"""Tags of jobs and models: one file a resource, beside nothing that others write."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, cast

from cdao_sdk.local.errors import ValidationFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MOST_TAGS = 50
_ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:([a-z-]+)/([a-zA-Z0-9-]+)")


def resource_of(arn: str) -> tuple[str, str]:
    """Word and name of the resource that an ARN names: ("training-job", …).

    Raises:
        ValidationFailed: it is no ARN of SageMaker's.
    """
    match = _ARN.fullmatch(arn)
    if match is None:
        msg = f"Invalid ARN {arn!r}"
        raise ValidationFailed(msg)
    return match[1], match[2]


class TagStore:
    """Tags under `root`, one folder a type of resource."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, resource: tuple[str, str]) -> dict[str, str]:
        """The tags of a resource, by key."""
        try:
            return cast("dict[str, str]", json.loads(self._path(resource).read_bytes()))
        except FileNotFoundError:
            return {}

    def add(self, resource: tuple[str, str], tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
        """Add tags given as the API gives them; returns all there are now.

        Raises:
            ValidationFailed: there would be more than 50.
        """
        merged = self.get(resource) | {tag["Key"]: tag["Value"] for tag in tags}
        if len(merged) > MOST_TAGS:
            msg = f"Cannot have more than {MOST_TAGS} tags on a resource"
            raise ValidationFailed(msg)
        if merged:
            self._put(resource, merged)
        return merged

    def remove(self, resource: tuple[str, str], keys: Iterable[str]) -> None:
        """Remove tags by key; missing ones are no error."""
        gone = set(keys)
        kept = {key: value for key, value in self.get(resource).items() if key not in gone}
        self._put(resource, kept)

    def forget(self, resource: tuple[str, str]) -> None:
        """Remove all tags of a resource that is deleted."""
        self._path(resource).unlink(missing_ok=True)

    def _put(self, resource: tuple[str, str], tags: Mapping[str, str]) -> None:
        path = self._path(resource)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{uuid.uuid4().hex}")
        draft.write_text(json.dumps(tags), encoding="utf-8")
        draft.replace(path)

    def _path(self, resource: tuple[str, str]) -> Path:
        return self._root / resource[0] / f"{resource[1]}.json"


def listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as the API gives them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
