"""Augmented manifests: JSON lines whose attributes are streamed, one record each.

Source: "Provide Dataset Metadata to Training Jobs with an Augmented Manifest File" of the SageMaker
developer guide: an attribute whose name ends in `-ref` is the S3 URI of the object that is sent.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from cdao_sdk.local.errors import AwsError
from cdao_sdk.local.execution.channels import Item, split_uri
from cdao_sdk.local.execution.context import JobFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdao_sdk.local.execution.pipes import Piece
    from cdao_sdk.local.objects import ObjectStore

KIND = "AugmentedManifestFile"


def manifest_lines(objects: ObjectStore, uri: str, attributes: Sequence[str]) -> list[list[Piece]]:
    """What is sent of each line, in the order of `attributes`.

    Raises:
        JobFailed: the manifest is missing or empty, a line is no JSON object, lacks an attribute,
            or names no S3 object where it has to.
    """
    try:
        _, file = objects.get(*split_uri(uri))
        with file:
            lines = file.read().splitlines()
    except AwsError as error:
        msg = f"ClientError: Data download failed: {uri}: {error}"
        raise JobFailed(msg) from error
    found = [
        _pieces(line, f"line {number} of the augmented manifest {uri}", attributes)
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if not found:
        msg = f"ClientError: The augmented manifest {uri} has no lines"
        raise JobFailed(msg)
    return found


def _pieces(line: bytes, where: str, attributes: Sequence[str]) -> list[Piece]:
    try:
        document: object = json.loads(line)
    except ValueError as error:
        msg = f"ClientError: {where[0].upper()}{where[1:]} is not JSON: {error}"
        raise JobFailed(msg) from error
    values = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    missing = [name for name in attributes if name not in values]
    if missing:
        msg = f"ClientError: AttributeNames {missing} are not in {where}"
        raise JobFailed(msg)
    return [_piece(name, values[name], where) for name in attributes]


def _piece(name: str, value: object, where: str) -> Piece:
    if not name.endswith("-ref"):
        return (value if isinstance(value, str) else json.dumps(value)).encode()
    if not isinstance(value, str):
        msg = f"ClientError: {name!r} must be an S3 URI in {where}, not {value!r}"
        raise JobFailed(msg)
    bucket, key = split_uri(value)
    return Item(bucket, key, key)
