"""What is said of an image before a job is submitted, and what is refused."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from cdao_sdk import sagemaker_processing_task, sagemaker_training_task
from cdao_sdk.errors import SpecError
from cdao_sdk.kinds.build import build_spec


def notes(kind: str, **options: Any) -> str:
    return "\n".join(build_spec(kind, options).notes)


def test_image_whose_support_is_over_is_noted() -> None:
    said = notes("training", framework="pytorch", framework_version="1.8.0")
    assert said.startswith("pytorch 1.8.0: the image is older than 1.13, which has had no security")
    assert "Python 3.6, which has had no security fixes since 2021-12-23" in said


def test_image_that_aws_dropped_is_noted() -> None:
    said = notes("processing", framework="scikit-learn", framework_version="1.4-2")
    assert "scikit-learn 1.4-2: the image is no longer supported by AWS" in said


def test_serving_image_is_judged_by_its_own_date() -> None:
    options = {"framework": "pytorch", "framework_version": "2.6"}
    assert "since 2026-06-30" in notes("transform", **options)
    assert "since 2026-01-29" in notes("training", **options)


def test_nothing_is_said_of_images_without_a_date() -> None:
    assert notes("training", algorithm="kmeans") == ""
    assert notes("training", framework="xgboost", framework_version="1.7-1") == ""
    assert notes("processing", container_image="123456789012.dkr.ecr.eu-west-1.x/own:1") == ""


def test_python_in_the_image() -> None:
    assert build_spec("training", {"framework": "pytorch"}).image_python == "3.12"
    assert build_spec("training", {"algorithm": "kmeans"}).image_python is None
    own = {"container_image": "own:1"}
    assert build_spec("processing", own).image_python is None
    assert build_spec("processing", {**own, "python_version": "py38"}).image_python == "3.8"


def test_neuron_instances_take_the_images_built_for_them() -> None:
    spec = build_spec("training", {"framework": "pytorch", "instance_type": "ml.trn1.2xlarge"})
    assert spec.framework_version == "1.11.0"
    assert spec.image("us-east-1").endswith(
        "/pytorch-training-neuron:1.11.0-neuron-py38-sdk2.4.0-ubuntu20.04"
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"framework": "xgboost"}, "xgboost has no training image for ml.trn1.2xlarge"),
        ({"framework": "pytorch", "framework_version": "2.6"}, "known versions: 1.11.0"),
        ({"algorithm": "kmeans"}, "has no image for ml.trn1.2xlarge"),
    ],
)
def test_frameworks_without_a_neuron_image_are_refused(options: dict[str, str], text: str) -> None:
    with pytest.raises(SpecError) as caught:
        build_spec("training", {**options, "instance_type": "ml.trn1.2xlarge"})
    assert text in str(caught.value)


def newer(rows: list[str]) -> int:
    if (count := len(rows)) > 1:
        return count
    return 0


def test_module_that_the_image_cannot_import_is_pointed_out_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sagemaker_training_task(framework="pytorch", framework_version="1.8.0")(newer)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    (said,) = [text for text in warnings if "cannot import" in text]
    assert "the image has Python 3.6, which cannot import" in said
    assert "Assignment expressions" in said


def test_nothing_is_said_where_the_image_can_import_it(caplog: pytest.LogCaptureFixture) -> None:
    sagemaker_processing_task(framework="sklearn", framework_version="1.9-0")(newer)
    assert "cannot import" not in caplog.text
