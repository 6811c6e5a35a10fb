"""Container images of AWS: frameworks and built-in algorithms by version, region and processor.

The tables are SageMaker's own (``images.json`` names source and date); tags are put together by
the rule of SageMaker's SDK, so that a name resolves to the image which that SDK would take.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from cdao_sdk.catalog.instances import processor
from cdao_sdk.catalog.tables import table

Scope = Literal["training", "inference"]

_URI = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+/"
    r"(?P<repository>[^:@]+):(?P<tag>[^@]+)"
)


class UnknownImage(LookupError):
    """No image in the tables fits; the message says what would."""


@dataclass(frozen=True)
class Image:
    """One version of a framework or algorithm, for one scope.

    Attributes:
        name: Framework or algorithm.
        version: Full version, aliases resolved.
        repository: ECR repository.
        accounts: Account that owns the repository, by region.
        processors: What it is built for; empty if one image serves all.
        python_tags: ``py…`` parts that its tags may have.
        python: Python's version in it, such as ``"3.9"``; ``None`` if no source says.
        base: HuggingFace only: the framework below, such as ``"pytorch2.5.1"``.
        container: Last part of the tag by processor.
        tag: Fixed beginning of the tag, instead of the version.
        processor_in_tag: Whether the tag names the processor by itself.
    """

    name: str
    version: str
    repository: str
    accounts: dict[str, str]
    processors: tuple[str, ...] = ()
    python_tags: tuple[str, ...] = ()
    python: str | None = None
    base: str = ""
    container: dict[str, str] = field(default_factory=dict[str, str])
    tag: str = ""
    processor_in_tag: bool = True


def frameworks() -> tuple[str, ...]:
    """Names of the frameworks that have images, sorted."""
    return tuple(table("images")["frameworks"])


def algorithms() -> tuple[str, ...]:
    """Names of SageMaker's built-in algorithms that have images, sorted."""
    return tuple(table("images")["algorithms"])


def versions(name: str, scope: Scope = "training") -> tuple[str, ...]:
    """Known full versions of a framework or algorithm, oldest first; empty for unknown names."""
    return tuple(sorted(_scope(name, scope).get("versions", {}), key=_version_key))


def newest_version(name: str, scope: Scope = "training") -> str:
    """The newest version whose Python is known too, where any is; else the newest.

    Raises:
        UnknownImage: No such framework or algorithm.
    """
    known = versions(name, scope)
    if not known:
        raise UnknownImage(_unknown_name(name))
    return next((v for v in reversed(known) if find(name, v, scope).python), known[-1])


def find(name: str, version: str, scope: Scope = "training") -> Image:
    """The image of a version.

    Args:
        name: Framework or algorithm.
        version: Full version, or an alias such as ``"2.6"`` for ``"2.6.0"``.
        scope: ``"training"`` (processing jobs use it too) or ``"inference"``.

    Raises:
        UnknownImage: No such name or version.
    """
    image = _find(name, version, scope)
    if image is None:
        known = ", ".join(versions(name, scope))
        msg = f"{name} {version!r} has no {scope} image; known versions: {known}"
        raise UnknownImage(msg if known else _unknown_name(name))
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
    image = find(name, version, scope)
    account = image.accounts.get(region)
    if account is None:
        regions = ", ".join(sorted(image.accounts))
        msg = f"{name} {version!r} has no image in region {region!r}; it has in {regions}"
        raise UnknownImage(msg)
    tag = _tag(image, version, _processor(image, instance_type), _python_tag(image, python_version))
    return f"{account}.dkr.ecr.{region}.{_dns_suffix(region)}/{image.repository}:{tag}"


def check_processor(name: str, version: str, instance_type: str, scope: Scope = "training") -> None:
    """See that a version has an image for an instance type's processor.

    Raises:
        UnknownImage: It has none.
    """
    _processor(find(name, version, scope), instance_type)


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
        for entry in _scope(name, "inference")["versions"].values()
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


def normal_python(python_version: str) -> str:
    """``"3.9"`` for ``"py39"``, ``"3.9"`` or ``"3.9.18"``; ``"3"`` for ``"py3"``; else ``""``."""
    match = re.fullmatch(r"(?:py)?(3)(?:\.?(\d{1,2}))?(?:\.\d+)?", python_version)
    if match is None:
        return ""
    return f"3.{int(match[2])}" if match[2] else "3"


def _served_version(name: str, tag: str) -> str | None:
    match = re.search(r"transformers([\d.]+)", tag) or re.match(r"([\d.]+)", tag)
    if match is None:
        return None
    version = match[1]
    minor = ".".join(version.split(".")[:2])
    for candidate in (version, minor):
        image = _find(name, candidate, "inference")
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
        on if image.processor_in_tag else "",
        python_tag,
        image.container.get(on, ""),
    ]
    return "-".join(part for part in parts if part)


def _find(name: str, version: str, scope: Scope) -> Image | None:
    entries = _scope(name, scope)
    full: str = entries.get("aliases", {}).get(version, version)
    entry = entries.get("versions", {}).get(full)
    return None if entry is None else _image(name, full, entry)


def _image(name: str, version: str, entry: dict[str, Any]) -> Image:
    python_tags = tuple(entry.get("python_tags", ()))
    tagged = [normal_python(tag) for tag in python_tags if len(tag) > len("py3")]
    return Image(
        name=name,
        version=version,
        repository=entry["repository"],
        accounts=table("images")["accounts"][entry["accounts"]],
        processors=tuple(entry.get("processors", ())),
        python_tags=python_tags,
        python=entry.get("python") or (tagged[-1] if tagged else None),
        base=entry.get("base", ""),
        container=entry.get("container", {}),
        tag=entry.get("tag", ""),
        processor_in_tag=entry.get("processor_in_tag", True),
    )


def _scope(name: str, scope: Scope) -> dict[str, Any]:
    entries: dict[str, Any] = table("images")["images"].get(name, {}).get(scope, {})
    return entries


@functools.cache
def _names_by_repository() -> dict[str, str]:
    return {
        entry["repository"]: name
        for name in table("images")["images"]
        for entry in _scope(name, "training").get("versions", {}).values()
    }


def _dns_suffix(region: str) -> str:
    suffixes: dict[str, str] = table("images")["dns_suffixes"]
    return next(
        (s for pattern, s in suffixes.items() if re.match(pattern, region)), "amazonaws.com"
    )


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _unknown_name(name: str) -> str:
    known = ", ".join(sorted({*frameworks(), *algorithms()}))
    return f"no images of {name!r} are known; known are {known}"
