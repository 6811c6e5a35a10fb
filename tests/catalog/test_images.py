from __future__ import annotations

import re

import pytest

from cdao_sdk.catalog.images import (
    Scope,
    UnknownImage,
    algorithms,
    find,
    frameworks,
    image_uri,
    inference_image,
    newest_version,
    normal_python,
    versions,
)

DLC = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
OWN = "683313688378.dkr.ecr.us-east-1.amazonaws.com"
ROW = [(n, v) for n in (*frameworks(), *algorithms()) for v in versions(n)]


# The expected values are what sagemaker-core 2.27's image_uris.retrieve returns.
@pytest.mark.parametrize(
    ("name", "version", "instance_type", "expected"),
    [
        ("pytorch", "1.8.0", "ml.p3.2xlarge", f"{DLC}/pytorch-training:1.8.0-gpu-py36"),
        ("pytorch", "2.6", "ml.m5.large", f"{DLC}/pytorch-training:2.6-cpu-py312"),
        ("pytorch", "2.13", "ml.g5.xlarge", f"{DLC}/pytorch:2.13-cu133-amzn2023-sagemaker"),
        ("scikit-learn", "0.23-1", "ml.m5.large", f"{OWN}/sagemaker-scikit-learn:0.23-1-cpu-py3"),
        ("xgboost", "1.2-1", "ml.m5.large", f"{OWN}/sagemaker-xgboost:1.2-1"),
        ("xgboost", "1.0-1", "ml.m5.large", f"{OWN}/sagemaker-xgboost:1.0-1-cpu-py3"),
        ("tensorflow", "2.19", "ml.m5.large", f"{DLC}/tensorflow-training:2.19-cpu-py312"),
        (
            "huggingface",
            "4.49.0",
            "ml.g5.xlarge",
            (
                f"{DLC}/huggingface-pytorch-training:"
                "2.5.1-transformers4.49.0-gpu-py311-cu124-ubuntu22.04"
            ),
        ),
    ],
)
def test_names_become_uris(name: str, version: str, instance_type: str, expected: str) -> None:
    uri = image_uri(name, version=version, region="us-east-1", instance_type=instance_type)
    assert uri == expected


@pytest.mark.parametrize(("name", "version"), ROW)
def test_every_version_has_a_well_formed_uri_in_every_region(name: str, version: str) -> None:
    image = find(name, version)
    on = "ml.g5.xlarge" if "gpu" in image.processors else "ml.m5.xlarge"
    for region, account in image.accounts.items():
        uri = image_uri(name, version=version, region=region, instance_type=on)
        assert re.fullmatch(rf"{account}\.dkr\.ecr\.{region}\.[a-z0-9.-]+/[a-z0-9-]+:\S+", uri)
        assert len(uri) <= 255


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-west-2", "246618743249.dkr.ecr.us-west-2.amazonaws.com"),
        ("cn-north-1", "450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn"),
        ("us-iso-east-1", "833128469047.dkr.ecr.us-iso-east-1.c2s.ic.gov"),
    ],
)
def test_accounts_and_hosts_differ_by_region(region: str, host: str) -> None:
    uri = image_uri("xgboost", version="1.7-1", region=region, instance_type="ml.m5.large")
    assert uri == f"{host}/sagemaker-xgboost:1.7-1"


def test_python_version_chooses_between_tags() -> None:
    def tag(python_version: str | None) -> str:
        return image_uri(
            "pytorch",
            version="1.8.0",
            region="us-east-1",
            instance_type="ml.m5.large",
            python_version=python_version,
        ).partition(":")[2]

    assert tag(None) == tag("py36") == tag("3.6") == "1.8.0-cpu-py36"
    assert tag("py3") == "1.8.0-cpu-py3"


@pytest.mark.parametrize(
    ("name", "version", "python"),
    [
        ("pytorch", "1.8.0", "3.6"),
        ("pytorch", "2.10", "3.13"),
        ("pytorch", "2.13", "3.12"),
        ("tensorflow", "2.4.1", "3.7"),
        ("scikit-learn", "0.23-1", "3.7"),
        ("scikit-learn", "1.4-2-py312", "3.12"),
        ("xgboost", "1.2-1", "3.7"),
        ("xgboost", "3.2-0", "3.12"),
        ("xgboost", "1.7-1", None),
        ("linear-learner", "1", None),
    ],
)
def test_python_in_the_image(name: str, version: str, python: str | None) -> None:
    assert find(name, version).python == python


@pytest.mark.parametrize(
    ("training", "instance_type", "serving"),
    [
        ("pytorch-training:2.6.0-gpu-py312", None, "pytorch-inference:2.6.0-gpu-py312"),
        ("pytorch-training:2.6.0-gpu-py312", "ml.m5.large", "pytorch-inference:2.6.0-cpu-py312"),
        ("tensorflow-training:2.16.2-cpu-py310", None, "tensorflow-inference:2.16.1-cpu"),
        (
            "huggingface-pytorch-training:2.5.1-transformers4.49.0-gpu-py311-cu124-ubuntu22.04",
            "ml.m5.large",
            "huggingface-pytorch-inference:2.6.0-transformers4.49.0-cpu-py312-ubuntu22.04",
        ),
        ("pytorch-training:2.10.0-cpu-py313", None, None),
        ("pytorch:2.13-cpu-amzn2023-sagemaker", None, None),
        ("my-own:1", None, None),
    ],
)
def test_what_serves_a_model(training: str, instance_type: str | None, serving: str | None) -> None:
    found = inference_image(f"{DLC}/{training}", instance_type=instance_type)
    assert found == (f"{DLC}/{serving}" if serving else None)


@pytest.mark.parametrize(
    "image", [f"{OWN}/sagemaker-xgboost:1.2-1", f"{OWN}/sagemaker-scikit-learn:0.23-1-cpu-py3"]
)
def test_one_image_trains_and_serves(image: str) -> None:
    assert inference_image(image) == image


@pytest.mark.parametrize("name", ["docker.io/library/python:3.12", "python", ""])
def test_other_registries_are_unknown(name: str) -> None:
    assert inference_image(name) is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"name": "caffe"}, "known are"),
        ({"version": "9"}, "known versions: 0.4.0"),
        ({"region": "mars-north-1"}, "no image in region"),
        ({"name": "scikit-learn", "version": "1.2-1", "instance_type": "ml.g5.xlarge"}, "cpu inst"),
        ({"name": "kmeans", "version": "1", "instance_type": "ml.trn1.2xlarge"}, "has no image"),
    ],
)
def test_what_is_missing_is_told(arguments: dict[str, str], text: str) -> None:
    known = {
        "name": "pytorch",
        "version": "2.6",
        "region": "us-east-1",
        "instance_type": "ml.m5.large",
    }
    call = {**known, **arguments}
    with pytest.raises(UnknownImage, match=text):
        image_uri(
            call["name"],
            version=call["version"],
            region=call["region"],
            instance_type=call["instance_type"],
        )


def test_newest_version_is_one_whose_python_is_known() -> None:
    assert newest_version("pytorch") == "2.13"
    assert newest_version("kmeans") == "1"
    with pytest.raises(UnknownImage):
        newest_version("caffe")


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("py36", "3.6"),
        ("py312", "3.12"),
        ("3.9", "3.9"),
        ("3.9.18", "3.9"),
        ("py3", "3"),
        ("2", ""),
    ],
)
def test_python_spellings(written: str, normal: str) -> None:
    assert normal_python(written) == normal


@pytest.mark.parametrize(
    ("name", "version", "scope", "instance_type", "expected"),
    [
        (
            "pytorch",
            "1.11",
            "training",
            "ml.trn1.2xlarge",
            "pytorch-training-neuron:1.11-neuron-py38-sdk2.4.0-ubuntu20.04",
        ),
        (
            "huggingface",
            "4.55.4",
            "inference",
            "ml.inf2.xlarge",
            (
                "huggingface-pytorch-inference-neuronx:"
                "2.8.0-transformers4.55.4-neuronx-py310-sdk2.26.0-ubuntu22.04"
            ),
        ),
        (
            "tensorflow",
            "2.3.1",
            "training",
            "ml.p4d.24xlarge",
            "tensorflow-training:2.3.1-gpu-py37-cu110-ubuntu18.04",
        ),
    ],
)
def test_some_instances_have_builds_of_their_own(
    name: str, version: str, scope: Scope, instance_type: str, expected: str
) -> None:
    uri = image_uri(
        name, version=version, region="us-east-1", instance_type=instance_type, scope=scope
    )
    assert uri == f"{DLC}/{expected}"


@pytest.mark.parametrize(("name", "version"), [("pytorch", "1.13.1"), ("tensorflow", "2.12")])
def test_newer_frameworks_are_refused_on_p2(name: str, version: str) -> None:
    with pytest.raises(UnknownImage, match="P2 instances are not supported"):
        image_uri(name, version=version, region="us-east-1", instance_type="ml.p2.xlarge")


def test_framework_without_a_neuron_image_says_so() -> None:
    with pytest.raises(UnknownImage, match="xgboost has no training image for ml"):
        newest_version("xgboost", instance_type="ml.trn1.2xlarge")
