"""Every image of the catalog is the one that SageMaker's own SDK resolves.

Runs where the group `images` is installed: `uv run --group images pytest tests/catalog`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from cdao_sdk.catalog.images import (
    Scope,
    UnknownImage,
    algorithms,
    find,
    frameworks,
    image_uri,
    versions,
)
from cdao_sdk.catalog.tables import table

# One instance of each class that SageMaker's SDK tells apart.
INSTANCES = ("ml.m5.large", "ml.g5.xlarge", "ml.p2.xlarge", "ml.p4d.24xlarge")
NEURON = {"training": "ml.trn1.2xlarge", "inference": "ml.inf2.xlarge"}
THEIR_NAMES = {"scikit-learn": "sklearn"}
AMAZON_LINUX = ("2.11", "2.12", "2.13", "2.14")  # PyTorch images that have a file of their own


class Choice(NamedTuple):
    name: str
    version: str
    region: str
    instance_type: str
    scope: Scope
    python: str | None


def choices(name: str) -> Iterator[Choice]:
    scopes: tuple[Scope, ...] = ("training", "inference")
    for scope in scopes:
        # Built-in algorithms use no Neuron chip: we refuse them there, SageMaker's SDK does not.
        neuron = [NEURON[scope]] if name in frameworks() else []
        for instance_type in (*INSTANCES, *neuron):
            for version in spellings(name, scope, instance_type):
                if instance_type == "ml.p2.xlarge" and version in AMAZON_LINUX:
                    continue  # their rule "no PyTorch >= 1.13 on P2" misses the newer file
                image = find(name, version, scope, instance_type=instance_type)
                for region in image.accounts:
                    for python in image.python_tags or (None,):
                        yield Choice(name, version, region, instance_type, scope, python)


def spellings(name: str, scope: Scope, instance_type: str) -> list[str]:
    full = versions(name, scope, instance_type=instance_type)
    aliases: dict[str, str] = table("images")["images"][name].get(scope, {}).get("aliases", {})
    return [*full, *(alias for alias, version in aliases.items() if version in full)]


def ours(choice: Choice) -> str | None:
    try:
        return image_uri(
            choice.name,
            version=choice.version,
            region=choice.region,
            instance_type=choice.instance_type,
            scope=choice.scope,
            python_version=choice.python,
        )
    except UnknownImage:
        return None


def theirs(uris: Any, choice: Choice) -> str | None:
    name = THEIR_NAMES.get(choice.name, choice.name)
    arguments: dict[str, object] = {}
    image = find(choice.name, choice.version, choice.scope, instance_type=choice.instance_type)
    if choice.name == "huggingface":
        arguments["base_framework_version"] = image.base
        if image.chip:
            arguments["inference_tool"] = image.chip
    if choice.name == "pytorch" and choice.version in AMAZON_LINUX:
        name = "pytorch-amzn2023"
    try:
        return uris.retrieve(
            name,
            choice.region,
            version=choice.version,
            py_version=choice.python,
            instance_type=choice.instance_type,
            image_scope=choice.scope,
            **arguments,
        )
    except ValueError:
        return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted({*frameworks(), *algorithms()}))
def test_every_combination_is_sagemakers(
    sagemaker_image_uris: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    seen = {choice: ours(choice) for choice in choices(name)}
    different = {
        choice: (uri, expected)
        for choice, uri in seen.items()
        if uri != (expected := theirs(sagemaker_image_uris, choice))
    }
    assert different == {}
    assert sum(uri is not None for uri in seen.values()) > 20


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted({*frameworks(), *algorithms()}))
def test_no_version_of_sagemakers_is_missing(sagemaker_image_uris: Any, name: str) -> None:
    files = [THEIR_NAMES.get(name, name), *(["pytorch-amzn2023"] if name == "pytorch" else [])]
    for scope in ("training", "inference"):
        theirs = {v for file in files for v in only_python_3(sagemaker_image_uris, file, scope)}
        assert set(versions(name, scope)) == theirs


def only_python_3(uris: Any, file: str, scope: str) -> set[str]:
    config = uris.config_for_framework(file)
    tables = config if "scope" in config else config.get(scope, {"versions": {}})
    return {
        version
        for version, entry in tables["versions"].items()
        if entry.get("py_versions") != ["py2"]
    }
