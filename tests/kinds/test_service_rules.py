"""Rules that AWS's documentation states and no shape of the API does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cdao_sdk.errors import PlanError, SpecError
from cdao_sdk.kinds.build import build_spec
from cdao_sdk.kinds.job import JobContext, ModelSource, RuntimeFiles
from cdao_sdk.kinds.registry import kind

KEY = "alias/our-key"
RULE = {"name": "loss", "image": "rules:1"}
GROUPS = [
    {"name": "gpu", "instance_type": "ml.g5.xlarge"},
    {"name": "cpu", "instance_type": "ml.c5.xlarge"},
]


def problems(job: str, **options: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        build_spec(job, options)
    return list(caught.value.problems)


def notes(job: str, **options: Any) -> str:
    return "\n".join(build_spec(job, options).notes)


class TestDisksOfTheirOwn:
    @pytest.mark.parametrize("job", ["training", "processing", "transform"])
    def test_key_for_such_a_disk_is_refused(self, job: str) -> None:
        options = {"framework": "pytorch", "instance_type": "ml.g5.xlarge"}
        [found] = problems(job, volume_kms_key_id=KEY, **options)
        assert "ml.g5.xlarge has disks of its own" in found

    def test_common_key_is_for_the_outputs_there(
        self, context: Callable[..., JobContext], runtime: RuntimeFiles
    ) -> None:
        options = {"framework": "pytorch", "kms_key_id": KEY}
        for instance_type, has_volume_key in (("ml.g4dn.xlarge", False), ("ml.p3.2xlarge", True)):
            spec = build_spec("training", {**options, "instance_type": instance_type})
            [call] = kind("training").requests(spec, context(runtime=runtime))
            request: Any = call.parameters
            assert request["OutputDataConfig"]["KmsKeyId"] == KEY
            assert ("VolumeKmsKeyId" in request["ResourceConfig"]) == has_volume_key
            said = any("kms_key_id is for the outputs only" in note for note in spec.notes)
            assert said != has_volume_key

    def test_one_group_with_a_volume_takes_the_key(self) -> None:
        options = {"framework": "pytorch", "instance_groups": GROUPS, "volume_kms_key_id": KEY}
        spec = build_spec("training", options)
        assert spec.volume_key == KEY

    def test_size_of_such_a_disk_has_no_effect(self) -> None:
        options = {"framework": "pytorch", "instance_type": "ml.p4d.24xlarge"}
        assert "volume_size_gb=50 has no effect" in notes("training", **options, volume_size_gb=50)
        assert "volume_size_gb" not in notes("training", **options)


class TestSpotWithoutCheckpoints:
    def test_more_than_an_hour_is_refused(self) -> None:
        [found] = problems("training", algorithm="kmeans", use_spot_instances=True)
        assert "at most 3600 seconds of runtime and wait together, not 86400" in found

    def test_an_hour_is_the_default_wait(self) -> None:
        options = {"use_spot_instances": True, "max_runtime_seconds": 1800}
        spec: Any = build_spec("training", {**options, "algorithm": "kmeans"})
        assert spec.spot_instance_max_wait_seconds == 3600
        spec = build_spec("training", {**options, "algorithm": "xgboost"})
        assert spec.spot_instance_max_wait_seconds == 5400


def test_rules_of_debugger_and_profiler_have_names_of_their_own() -> None:
    options = {"framework": "pytorch", "debug_rules": [RULE], "profiler_rules": [RULE]}
    assert problems("training", **options) == [
        "debug_rules and profiler_rules: the name 'loss' is used more than once"
    ]


def test_pending_time_without_an_accelerator_has_no_effect() -> None:
    options = {"framework": "pytorch", "max_pending_seconds": 3600}
    assert "max_pending_seconds=3600 has no effect" in notes("training", **options)
    options["instance_groups"] = GROUPS
    assert "max_pending_seconds" not in notes("training", **options)


def test_hosts_of_a_transform_are_counted() -> None:
    assert problems("transform", instance_count=101) == ["instance_count=101 must be at most 100"]


def test_filters_read_csv_and_json_alone() -> None:
    options = {"join_source": "Input", "output_filter": "$[0]"}
    found = problems("transform", **options, split_type="RecordIO", content_type="image/png")
    assert len(found) == 2
    assert all("for CSV and JSON only" in text for text in found)
    assert not notes("transform", **options, content_type="application/jsonlines")


def test_environment_of_a_model_fits_into_32_kilobytes(
    transform_context: Callable[..., JobContext],
) -> None:
    values = {f"NAME_{n}": "ä" * 510 for n in range(40)}  # 1,020 bytes in UTF-8
    [found] = problems("transform", model_environment=values)
    assert "bytes of names and values; SageMaker takes 32768" in found
    model = ModelSource("s3://bucket/model.tar.gz", "image:1", values)
    with pytest.raises(PlanError, match="32768"):
        kind("transform").requests(build_spec("transform", {}), transform_context(model=model))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"instance_groups": [{"name": "", "instance_type": "ml.m5.large"}]},
            "instance_groups[0]['name']='' must not be empty",
        ),
        (
            {"instance_groups": [{"name": "a" * 65, "instance_type": "ml.m5.large"}]},
            "has 65 characters; at most 64",
        ),
        (
            {"profiler": {"interval_milliseconds": 300}},
            "profiler['interval_milliseconds']=300 is not one of 100, 200, 500, 1000, 5000, 60000.",
        ),
        (
            {"debug_hook": {"output_path": "s3://bucket/a", "collections": {"": {}}}},
            "debug_hook['collections']['']='' must not be empty",
        ),
        (
            {"debug_rules": [{**RULE, "name": f"rule {n}"} for n in range(21)]},
            " has 21 entries; at most 20",
        ),
        ({"extra": {"InfraCheckConfig": None}}, "InfraCheckConfig is None; leave it out"),
    ],
)
def test_limits_of_parts_are_plain_sentences(options: dict[str, Any], sentence: str) -> None:
    [found] = problems("training", framework="pytorch", **options)
    assert sentence in found
