"""S3 inputs of a job, looked for before the job is created, as AWS does for training and transform.

Processing jobs are created all the same, and fail when they fetch their inputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cdao_sdk.local.errors import NoSuchBucket, ValidationFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cdao_sdk.local.job_kinds import JobKind
    from cdao_sdk.local.objects import ObjectStore


def check_inputs(
    kind: JobKind, request: Mapping[str, Any], store: ObjectStore, region: str
) -> None:
    """Look for what the request wants to read.

    Raises:
        ValidationFailed: no object is under one of its URIs.
    """
    for uri, is_prefix in _sources(kind, request):
        if not _exists(store, uri, is_prefix=is_prefix):
            bucket = uri.removeprefix("s3://").partition("/")[0]
            role = request.get("RoleArn")
            whose = f'the role "{role}"' if role else "the model's execution role"
            msg = (
                f'No S3 objects found under S3 URL "{uri}" given in input data source. Please '
                f"ensure that the bucket exists in the selected region ({region}), that objects "
                f'exist under that S3 prefix, and that {whose} has "s3:ListBucket" permissions on '
                f'bucket "{bucket}".'
            )
            raise ValidationFailed(msg)


def _sources(kind: JobKind, request: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """URI of each source, and whether it is a prefix (else: a manifest)."""
    given: Any = request.get(kind.inputs) if kind.inputs else None
    channels: list[Mapping[str, Any]] = given if kind.has_channels else [given]
    for channel in channels if given else ():
        source = channel["DataSource"].get("S3DataSource")
        if source and source["S3Uri"].startswith("s3://"):
            yield source["S3Uri"], source["S3DataType"] == "S3Prefix"


def _exists(store: ObjectStore, uri: str, *, is_prefix: bool) -> bool:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        return bool(store.head(bucket, key) or (is_prefix and store.keys(bucket, key)))
    except NoSuchBucket:
        return False
