from __future__ import annotations

from collections.abc import Callable

import pytest

from cdao_sdk.catalog.instances import (
    family,
    has_local_storage,
    instance,
    instance_types,
    is_known_family,
    processor,
)


@pytest.mark.parametrize(
    ("component", "enum"),
    [
        ("training", "TrainingInstanceType"),
        ("processing", "ProcessingInstanceType"),
        ("transform", "TransformInstanceType"),
    ],
)
def test_offers_are_botocores(
    component: str, enum: str, instance_enum: Callable[[str], list[str]]
) -> None:
    assert set(instance_types(component)) == set(instance_enum(enum))


def test_hardware() -> None:
    found = instance("ml.g5.2xlarge")
    assert found is not None
    assert (found.vcpus, found.memory_gib, found.gpus, found.gpu_name) == (8, 32.0, 1, "A10G")
    plain = instance("ml.m5.large")
    assert plain is not None
    assert (plain.vcpus, plain.memory_gib, plain.gpus) == (2, 8.0, 0)


def test_unknown_hardware_is_not_guessed() -> None:
    old = instance("ml.p3.2xlarge")
    assert old is not None
    assert (old.vcpus, old.memory_gib) == (None, None)
    assert (old.gpus, old.gpu_name, old.gpu_memory_gib) == (1, "", 16.0)
    assert instance("ml.m99.large") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ml.m5.large", "cpu"),
        ("ml.p3.2xlarge", "gpu"),
        ("ml.g99.large", "gpu"),
        ("ml.trn1.2xlarge", "neuron"),
        ("ml.inf2.xlarge", "neuron"),
    ],
)
def test_processors(name: str, expected: str) -> None:
    assert processor(name) == expected


def test_families() -> None:
    assert family("ml.p6-b200.48xlarge") == "p6-b200"
    assert family("m5") == ""
    assert is_known_family("ml.m5.nonsense")
    assert not is_known_family("ml.m99.large")


@pytest.mark.parametrize(
    "name",
    ["ml.r5d.large", "ml.p3dn.24xlarge", "ml.p4de.24xlarge", "ml.g6e.xlarge", "ml.p5en.48xlarge"],
)
def test_types_with_disks_of_their_own(name: str) -> None:
    assert has_local_storage(name)


@pytest.mark.parametrize(
    "name", ["ml.inf2.xlarge", "ml.c6i.large", "ml.p3.2xlarge", "ml.p6e-gb200.36xlarge", "odd"]
)
def test_types_that_live_on_volumes(name: str) -> None:
    assert not has_local_storage(name)
