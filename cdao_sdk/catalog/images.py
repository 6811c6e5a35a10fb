"""Container images of AWS: frameworks and built-in algorithms by version, region and processor.

The tables are SageMaker's own (``images.json`` names source and date); tags are put together by
the rule of SageMaker's SDK, so that a name resolves to the image which that SDK would take.
"""

from __future__ import annotations

import functools
import re

from cdao_sdk.catalog.image_table import (
    Image,
    Scope,
    algorithms,
    find_image,
    frameworks,
    normal_python,
    scope_entries,
    version_key,
)
from cdao_sdk.catalog.instances import family, processor
from cdao_sdk.catalog.tables import table

__all__ = [
    "Image",
    "Scope",
    "UnknownImage",
    "algorithms",
    "check_processor",
    "find",
    "frameworks",
    "image_uri",
    "inference_image",
    "newest_version",
    "normal_python",
    "rightful_account",
    "versions",
]

_URI = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+/"
    r"(?P<repository>[^:@]+):(?P<tag>[^@]+)"
)


# sagemaker-core, image_uris._validate_instance_deprecation.
_WITHOUT_P2 = {"pytorch": "1.13", "tensorflow": "2.12"}


class UnknownImage(LookupError):
    """No image in the tables fits; the message says what would."""


def versions(name: str, scope: Scope = "training", *, instance_type: str = "") -> tuple[str, ...]:
    """Known full versions of a framework or algorithm, oldest first; empty for unknown names.

    Args:
        name: Framework or algorithm.
        scope: ``"training"`` (processing jobs use it too) or ``"inference"``.
        instance_type: With AWS Trainium or Inferentia: the versions built for these.
    """
    return tuple(
        sorted(scope_entries(name, scope, instance_type).get("versions", {}), key=version_key)
    )


def newest_version(name: str, scope: Scope = "training", *, instance_type: str = "") -> str:
    """The newest version whose Python is known too, where any is; else the newest.

    Args:
        name: Framework or algorithm.
        scope: ``"training"`` or ``"inference"``.
        instance_type: What it is to run on.

    Raises:
        UnknownImage: No such framework or algorithm, or none for this kind of instance.

    Example:
        >>> newest_version("kmeans")
        '1'
    """
    known = versions(name, scope, instance_type=instance_type)
    if not known:
        raise UnknownImage(_unknown_name(name, scope, instance_type))
    with_python = (
        v for v in reversed(known) if find(name, v, scope, instance_type=instance_type).python
    )
    return next(with_python, known[-1])


def find(name: str, version: str, scope: Scope = "training", *, instance_type: str = "") -> Image:
    """The image of a version.

    Args:
        name: Framework or algorithm.
        version: Full version, or an alias such as ``"2.6"`` for ``"2.6.0"``.
        scope: ``"training"`` (processing jobs use it too) or ``"inference"``.
        instance_type: What it is to run on: AWS Trainium and Inferentia have images of their own.

    Raises:
        UnknownImage: No such name or version.

    Example:
        >>> image = find("pytorch", "1.13.1")
        >>> image.python, image.end_of_support
        ('3.9', datetime.date(2024, 10, 28))
    """
    image = find_image(name, version, scope, instance_type)
    if image is None:
        known = ", ".join(versions(name, scope, instance_type=instance_type))
        on = f" for {instance_type}" if processor(instance_type) == "neuron" else ""
        msg = f"{name} {version!r} has no {scope} image{on}; known versions: {known}"
        raise UnknownImage(msg if known else _unknown_name(name, scope, instance_type))
    return image


def image_uri(
    name: str,
    *,
    version: str,
    region: str,
    instance_type: str,
    scope: Scope = "training",
    python_version: str | None = None,
) -> str:
    """The image's URI.

    Args:
        name: Framework or algorithm.
        version: Full version or alias.
        region: AWS region.
        instance_type: Decides between the CPU and the GPU image.
        scope: ``"training"`` (processing jobs use it too) or ``"inference"``.
        python_version: ``"py36"``, ``"3.6"`` or ``"py3"``, where a version has several; ``None``
            takes the most exact.

    Raises:
        UnknownImage: Nothing fits.

    Example:
        >>> image_uri("xgboost", version="1.2-1", region="us-east-1", instance_type="ml.m5.large")
        '683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.2-1'
    """
    image = find(name, version, scope, instance_type=instance_type)
    account = image.accounts.get(region)
    if account is None:
        regions = ", ".join(sorted(image.accounts))
        msg = f"{name} {version!r} has no image in region {region!r}; it has in {regions}"
        raise UnknownImage(msg)
    tag = _tag(image, version, _processor(image, instance_type), _python_tag(image, python_version))
    if family(instance_type) == "p4d":
        build: str = table("images")["p4d_builds"].get(f"{name}-{tag}", "")
        tag = f"{tag}-{build}" if build else tag
    return f"{account}.dkr.ecr.{region}.{_dns_suffix(region)}/{image.repository}:{tag}"


def check_processor(name: str, version: str, instance_type: str, scope: Scope = "training") -> None:
    """See that a version has an image for an instance type's processor.

    Raises:
        UnknownImage: It has none.
    """
    _processor(find(name, version, scope, instance_type=instance_type), instance_type)


def inference_image(training_image: str, *, instance_type: str | None = None) -> str | None:
    """The image that serves what a training image made.

    Args:
        training_image: URI of one of AWS's training images.
        instance_type: What it will be served on; ``None`` for the processor it was trained on.

    Returns:
        The URI, or ``None`` if the tables do not say: own images, and versions without an
        inference image.

    Example:
        >>> inference_image(
        ...     "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0-cpu-py312"
        ... )
        '763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312'
    """
    match = _URI.fullmatch(training_image)
    name = _names_by_repository().get(match["repository"]) if match else None
    if match is None or name is None:
        return None
    if any(
        match["repository"] == entry["repository"]
        for entry in scope_entries(name, "inference")["versions"].values()
    ):
        return training_image  # one image for both
    version = _served_version(name, match["tag"])
    if version is None:
        return None
    on = instance_type or ("ml.g5.xlarge" if "gpu" in match["tag"] else "ml.m5.xlarge")
    try:
        return image_uri(
            name, version=version, region=match["region"], instance_type=on, scope="inference"
        )
    except UnknownImage:
        return None


def rightful_account(image: str) -> str | None:
    """The account that owns a repository of AWS's, if a URI names another account of AWS's.

    Args:
        image: URI of an image.

    Returns:
        The account, or ``None``: the URI is right, or of somebody's own account.

    Example:
        >>> rightful_account("763104351884.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.2-1")
        '683313688378'
    """
    match = _URI.fullmatch(image)
    name = _names_by_repository().get(match["repository"]) if match else None
    if match is None or name is None:
        return None
    owners = {
        image.accounts.get(match["region"], "")
        for image in (find(name, version) for version in versions(name))
        if image.repository == match["repository"]
    }
    account = match["account"]
    tables: list[dict[str, str]] = table("images")["accounts"]
    is_aws = any(account in accounts.values() for accounts in tables)
    return (max(owners) or None) if is_aws and account not in owners else None


def _served_version(name: str, tag: str) -> str | None:
    match = re.search(r"transformers([\d.]+)", tag) or re.match(r"([\d.]+)", tag)
    if match is None:
        return None
    version = match[1]
    minor = ".".join(version.split(".")[:2])
    for candidate in (version, minor):
        image = find_image(name, candidate, "inference")
        if image is not None:
            return image.version
    return None


def _processor(image: Image, instance_type: str) -> str:
    wanted = processor(instance_type)
    if not image.processors:
        if wanted == "neuron":
            msg = f"{image.name} {image.version!r} has no image for {instance_type}"
            raise UnknownImage(msg)
        return ""
    last = _WITHOUT_P2.get(image.name)
    if last and family(instance_type) == "p2" and version_key(image.version) >= version_key(last):
        msg = f"{image.name} {image.version!r} does not run on {instance_type}: from {last} on, P2"
        raise UnknownImage(msg + " instances are not supported")
    if wanted not in image.processors:
        built = " and ".join(image.processors)
        msg = (
            f"{image.name} {image.version!r} is built for {built} instances only, "
            f"{instance_type!r} is a {wanted} instance"
        )
        raise UnknownImage(msg)
    return wanted


def _python_tag(image: Image, python_version: str | None) -> str:
    if not image.python_tags:
        return ""
    exact = max(image.python_tags, key=len)
    if python_version is None:
        return exact
    wanted = normal_python(python_version)
    tag = "py" + wanted.replace(".", "")
    return tag if tag in image.python_tags else exact


def _tag(image: Image, version: str, on: str, python_tag: str) -> str:
    beginning = image.tag or version
    if image.base:
        base = re.sub(r"^[a-z]+", "", image.base)
        beginning = f"{base}-transformers{image.version}"
    parts = [
        beginning,
        (image.chip or on) if image.processor_in_tag else "",
        python_tag,
        image.container.get(on, ""),
    ]
    return "-".join(part for part in parts if part)


@functools.cache
def _names_by_repository() -> dict[str, str]:
    return {
        entry["repository"]: name
        for name in table("images")["images"]
        for entry in scope_entries(name, "training").get("versions", {}).values()
    }


def _dns_suffix(region: str) -> str:
    suffixes: dict[str, str] = table("images")["dns_suffixes"]
    return next(
        (s for pattern, s in suffixes.items() if re.match(pattern, region)), "amazonaws.com"
    )


def _unknown_name(name: str, scope: Scope, instance_type: str) -> str:
    if scope_entries(name, scope):
        return (
            f"{name} has no {scope} image for {instance_type}, an AWS Trainium or Inferentia "
            "instance"
        )
    known = ", ".join(sorted({*frameworks(), *algorithms()}))
    return f"no images of {name!r} are known; known are {known}"
