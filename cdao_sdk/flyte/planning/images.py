"""What the catalog knows of a container image that a request names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdao_sdk.catalog import images
from cdao_sdk.flyte.planning.values import PlannedImage

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["image_facts"]

_SCOPES: tuple[images.Scope, ...] = ("training", "inference")


def image_facts(uri: str, instance_type: str, region: str) -> PlannedImage:
    """Framework, version and Python of an image; an own image is its URI alone.

    Args:
        uri: The image's URI.
        instance_type: What it runs on; decides between images for CPU, GPU and AWS Trainium.
        region: AWS region.

    Example:
        >>> uri = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.2-1"
        >>> image_facts(uri, "ml.m5.large", "us-east-1").version
        '1.2-1'
    """
    repository = uri.partition("/")[2].rpartition(":")[0]
    for image, scope in _versions(repository, instance_type):
        for python in (None, *image.python_tags):
            if _uri(image, scope, python, instance_type, region) == uri:
                ends = image.end_of_support
                return PlannedImage(
                    uri, image.name, image.version, image.python, str(ends) if ends else None
                )
    return PlannedImage(uri)


def _versions(repository: str, instance_type: str) -> Iterator[tuple[images.Image, images.Scope]]:
    for name in (*images.frameworks(), *images.algorithms()):
        for scope in _SCOPES:
            for version in images.versions(name, scope, instance_type=instance_type):
                image = images.find(name, version, scope, instance_type=instance_type)
                if image.repository == repository:
                    yield image, scope


def _uri(
    image: images.Image, scope: images.Scope, python: str | None, instance_type: str, region: str
) -> str | None:
    try:
        return images.image_uri(
            image.name,
            version=image.version,
            region=region,
            instance_type=instance_type,
            scope=scope,
            python_version=python,
        )
    except images.UnknownImage:
        return None
