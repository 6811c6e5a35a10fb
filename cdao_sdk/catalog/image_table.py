"""The table of images, read into values: one for each version, scope and kind of processor."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from cdao_sdk.catalog.instances import processor
from cdao_sdk.catalog.support import end_of_support
from cdao_sdk.catalog.tables import table

if TYPE_CHECKING:
    import datetime as dt

Scope = Literal["training", "inference"]


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
        chip: What the tag of an image for Trainium and Inferentia says in a processor's place.
        scope: What it is for.
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
    chip: str = ""
    scope: Scope = "training"

    @property
    def end_of_support(self) -> dt.date | None:
        """Last day of security patches; ``None`` if AWS's support policy names none."""
        return end_of_support(self.name, self.version, self.scope)


def frameworks() -> tuple[str, ...]:
    """Names of the frameworks that have images, sorted."""
    return tuple(table("images")["frameworks"])


def algorithms() -> tuple[str, ...]:
    """Names of SageMaker's built-in algorithms that have images, sorted."""
    return tuple(table("images")["algorithms"])


def find_image(name: str, version: str, scope: Scope, instance_type: str = "") -> Image | None:
    """The image of a version or alias, or ``None``."""
    entries = scope_entries(name, scope, instance_type)
    full: str = entries.get("aliases", {}).get(version, version)
    entry = entries.get("versions", {}).get(full)
    return None if entry is None else _image(name, full, scope, entry)


def scope_entries(name: str, scope: Scope, instance_type: str = "") -> dict[str, Any]:
    """What the table has for one scope: ``aliases`` and ``versions``; empty if it has nothing."""
    images: dict[str, dict[str, Any]] = table("images")["images"].get(name, {})
    # One image that serves all processors is refused for Neuron later, with the better reason.
    if processor(instance_type) == "neuron" and name in frameworks():
        return images.get(f"{scope}_neuron", {})
    return images.get(scope, {})


def version_key(version: str) -> tuple[int, ...]:
    """The numbers in a version, for sorting."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def normal_python(python_version: str) -> str:
    """``"3.9"`` for ``"py39"``, ``"3.9"`` or ``"3.9.18"``; ``"3"`` for ``"py3"``; else ``""``."""
    match = re.fullmatch(r"(?:py)?(3)(?:\.?(\d{1,2}))?(?:\.\d+)?", python_version)
    if match is None:
        return ""
    return f"3.{int(match[2])}" if match[2] else "3"


def _image(name: str, version: str, scope: Scope, entry: dict[str, Any]) -> Image:
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
        chip=entry.get("chip", ""),
        scope=scope,
    )
