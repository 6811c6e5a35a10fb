from __future__ import annotations

import pytest

from cdao_sdk.errors import SpecError
from cdao_sdk.kinds.build import build_spec, load_spec

PYTORCH = {"framework": "pytorch", "framework_version": "1.8.0"}


def problems(kind: str, **options: object) -> list[str]:
    with pytest.raises(SpecError) as caught:
        build_spec(kind, options)
    return list(caught.value.problems)


def problem(kind: str, **options: object) -> str:
    found = problems(kind, **options)
    assert len(found) == 1, found
    return found[0]


class TestOptionNames:
    def test_misspelt_option_gets_the_nearest_name(self) -> None:
        assert problem("training", **PYTORCH, instance_typ="ml.m5.large") == (
            "unknown option 'instance_typ'. Did you mean 'instance_type'?"
        )

    def test_option_of_another_kind_names_that_kind(self) -> None:
        assert "only transform tasks have it" in problem("training", **PYTORCH, strategy="x")

    @pytest.mark.parametrize("kind", ["processing", "transform"])
    def test_spot_is_for_training_only(self, kind: str) -> None:
        assert "no spot instances" in problem(kind, use_spot_instances=True)

    def test_transform_without_time_limit_says_why(self) -> None:
        assert "no time limit" in problem("transform", max_runtime_seconds=60)

    def test_aliases_are_the_same_option(self) -> None:
        role = "arn:aws:iam::123456789012:role/R"
        spec = build_spec("processing", {"image_uri": "my/image:1", "role": role})
        assert (spec.container_image, spec.sagemaker_role) == ("my/image:1", role)
        assert "same option" in problem("processing", image_uri="a:1", container_image="a:1")

    def test_none_counts_as_not_given(self) -> None:
        assert build_spec("processing", {"volume_size_gb": None}) == build_spec("processing", {})

    def test_unknown_kind_gets_the_nearest_name(self) -> None:
        with pytest.raises(SpecError, match="Did you mean 'training'"):
            build_spec("trainin", {})

    def test_guides_name_of_batch_transform_works(self) -> None:
        assert build_spec("batch_transform", {"max_payload_mb": 6}).component == "transform"


class TestAllProblemsTogether:
    def test_every_problem_is_in_one_error(self) -> None:
        found = problems(
            "training",
            **PYTORCH,
            instance_cuont=2,
            instance_count="2",
            volume_size_gb=0,
            output_path="bucket/prefix",
            sagemaker_role="SageMakerExecutionRole",
            kms_key_id="not a key",
            subnets=["subnet-1"],
            environment={"CDAO_X": "1", "LONG": "x" * 513, "1BAD": ""},
            tags={"aws:x": "", "ok": "\t"},
            use_spot_instances=True,
            max_runtime_seconds=3600,
            spot_instance_max_wait_seconds=1800,
            python_version="py39",
            instance_type="ml.m5.xlrge",
        )
        text = "\n".join(found)
        for expected in (
            "Did you mean 'instance_count'?",
            "instance_count='2' is of type str",
            "volume_size_gb=0 must be at least 1",
            "output_path='bucket/prefix' must be an S3 URI",
            "sagemaker_role='SageMakerExecutionRole' must be the ARN",
            "kms_key_id='not a key' must be a KMS key",
            "security_group_ids missing",
            "'CDAO_X' is reserved",
            "'LONG' has 513 characters",
            "'1BAD' is no name",
            "names with 'aws:' are AWS's own",
            "tag 'ok'",
            "spot_instance_max_wait_seconds=1800 is shorter than max_runtime_seconds=3600",
            "python_version='3.9' contradicts",
            "Did you mean 'ml.m5.xlarge'?",
        ):
            assert expected in text
        assert len(found) == 15

    def test_message_lists_the_problems(self) -> None:
        with pytest.raises(SpecError, match="2 things are wrong") as caught:
            build_spec("processing", {"volume_size_gb": 0, "instance_count": 101})
        assert "  - instance_count=101 must be at most 100" in str(caught.value)


class TestFields:
    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("sklearn", "scikit-learn"),
            ("Scikit_Learn", "scikit-learn"),
            ("XGBoost", "xgboost"),
            ("PyTorch", "pytorch"),
            ("TENSORFLOW", "tensorflow"),
            ("HuggingFace", "huggingface"),
        ],
    )
    def test_framework_spellings(self, written: str, meant: str) -> None:
        gpu = {"framework": written, "instance_type": "ml.g5.xlarge"}
        cpu_only = meant in ("scikit-learn", "xgboost")
        options = {"framework": written} if cpu_only else gpu
        assert build_spec("training", options).framework == meant

    def test_unknown_framework_lists_the_known(self) -> None:
        text = problem("training", framework="pytroch")
        assert "known are huggingface, pytorch" in text
        assert "Did you mean 'pytorch'?" in text

    @pytest.mark.parametrize("written", ["py36", "3.6", "3.6.13", "py3"])
    def test_python_version_forms(self, written: str) -> None:
        spec = build_spec("training", {**PYTORCH, "python_version": written})
        assert spec.python_version in ("3.6", "3")

    def test_versions_python_2_are_refused(self) -> None:
        assert "must be a Python version" in problem("training", **PYTORCH, python_version="py27")

    @pytest.mark.parametrize("value", [True, 1.5, "1"])
    def test_counts_must_be_whole_numbers(self, value: object) -> None:
        assert problem("training", **PYTORCH, instance_count=value).startswith("instance_count=")

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"subnets": "subnet-1", "security_group_ids": ["sg-1"]}, "must be a list"),
            ({"environment": ["A=b"]}, "must be a dict"),
            ({"enable_network_isolation": "yes"}, "must be True or False"),
            ({"framework": 3}, "must be a str"),
            ({"container_image": "x" * 256}, "at most 255 characters"),
            ({"tags": {f"t{i}": "" for i in range(41)}}, "at most 40 (ours take 10 of 50)"),
        ],
    )
    def test_wrong_types_and_sizes_are_told(self, options: dict[str, object], text: str) -> None:
        assert text in problem("processing", **options)

    def test_hyperparameters_must_be_plain(self) -> None:
        text = problem("training", **PYTORCH, hyperparameters={"a": object()})
        assert text.startswith("hyperparameters['a']=<object")
        assert "must be a str, number, bool, list or dict" in text

    def test_nested_problems_name_their_place(self) -> None:
        assert problem("training", **PYTORCH, tags={"team": 3}).startswith("tags['team']=3")
        assert problem(
            "processing", subnets=["subnet-1", "sg-2"], security_group_ids=["sg-1"]
        ).startswith("subnets[1]='sg-2'")

    def test_trailing_slash_of_an_output_path_does_not_count(self) -> None:
        assert build_spec("processing", {"output_path": "s3://bucket/x/"}).output_path == (
            "s3://bucket/x"
        )

    @pytest.mark.parametrize(
        "uri", ["s3://", "s3://B/x", "s3://bucket/a b", "s3://bucket/\n", "https://b/x", "s3://ab"]
    )
    def test_bad_s3_uris_are_refused(self, uri: str) -> None:
        assert "must be an S3 URI" in problem("processing", output_path=uri)

    def test_choice_gets_the_nearest(self) -> None:
        assert problem("transform", strategy="SingleRecords") == (
            "strategy='SingleRecords' is not one of 'MultiRecord', 'SingleRecord'. "
            "Did you mean 'SingleRecord'?"
        )

    def test_specs_are_frozen(self) -> None:
        spec = build_spec("processing", {})
        with pytest.raises(ValueError, match="frozen"):
            spec.instance_count = 2  # type: ignore[misc]


class TestInstanceTypes:
    def test_type_of_another_kind_says_so(self) -> None:
        text = problem("processing", instance_type="ml.c5n.xlarge")
        assert "offered for training jobs only, not for processing jobs" in text

    def test_type_without_prefix_gets_the_nearest(self) -> None:
        assert "Did you mean 'ml.m5.large'?" in problem("processing", instance_type="m5.large")

    def test_unknown_size_of_a_known_family_is_refused(self) -> None:
        assert "does not exist" in problem("processing", instance_type="ml.m5.3xlarge")

    def test_brand_new_family_passes_with_a_note(self) -> None:
        spec = build_spec("processing", {"instance_type": "ml.m99.large"})
        assert any("ml.m99.large" in note for note in spec.notes)
        assert build_spec("processing", {}).notes == ()


class TestImages:
    def test_framework_without_version_takes_the_newest(self) -> None:
        assert build_spec("training", {"framework": "sklearn"}).framework_version == "1.9-0"
        assert build_spec("processing", {}).framework_version == "1.9-0"

    def test_unknown_version_lists_the_known(self) -> None:
        text = problem("training", framework="xgboost", framework_version="1.2")
        assert "known versions:" in text
        assert "Did you mean '1.2-" in text

    def test_gpu_only_image_on_a_cpu_is_refused(self) -> None:
        assert "built for gpu instances only" in problem(
            "training", framework="huggingface", instance_type="ml.m5.xlarge"
        )

    def test_own_image_needs_no_known_version(self) -> None:
        spec = build_spec(
            "processing", {"container_image": "my/image:1", "framework_version": "77"}
        )
        assert spec.image("mars-north-1") == "my/image:1"

    def test_image_in_the_wrong_account_of_aws_is_noted(self) -> None:
        path = "dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:0.23-1-cpu-py3"
        wrong = build_spec("processing", {"container_image": f"763104351884.{path}"})
        assert any("in account 683313688378" in note for note in wrong.notes)
        for right in (f"683313688378.{path}", f"123456789012.{path}", "own:1"):
            assert build_spec("processing", {"container_image": right}).notes == ()

    def test_training_needs_something_to_run(self) -> None:
        assert "nothing to train with" in problem("training")

    def test_guides_images_resolve(self) -> None:
        spec = build_spec(
            "training",
            {**PYTORCH, "python_version": "py36", "instance_type": "ml.p3.2xlarge"},
        )
        assert spec.image("us-east-1") == (
            "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:1.8.0-gpu-py36"
        )


class TestLoading:
    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            ("processing", {}),
            ("training", {**PYTORCH, "use_spot_instances": True, "metrics": ["auc"]}),
            ("training", {"algorithm": "XGBoost", "hyperparameters": {"eta": 0.3, "a": [1]}}),
            ("transform", {"max_concurrent_transforms": 4, "input_filter": "$[1:]"}),
        ],
    )
    def test_specs_survive_the_template(self, kind: str, options: dict[str, object]) -> None:
        spec = build_spec(kind, options)
        assert load_spec(kind, spec.model_dump(mode="json", exclude_defaults=True)) == spec

    def test_structs_turn_whole_numbers_into_floats(self) -> None:
        spec = load_spec("processing", {"instance_count": 2.0, "max_runtime_seconds": 60.0})
        assert (spec.instance_count, type(spec.instance_count)) == (2, int)

    def test_options_of_a_newer_version_are_refused_and_said(self) -> None:
        with pytest.raises(SpecError, match="newer version") as caught:
            load_spec("training", {**PYTORCH, "quantum": True})
        assert caught.value.problems == ("quantum=True is no option that this version knows",)


@pytest.mark.parametrize(
    ("kind", "options", "registered"),
    [
        (
            "training",
            {
                "framework": "pytorch",
                "framework_version": "1.8.0",
                "python_version": "py36",
                "use_spot_instances": True,
                "hyperparameters": {"a": 1, "b": [1, {"c": None}]},
                "output_compression": "none",
                "kms_key_id": "alias/k",
                "metrics": ["auc"],
            },
            {
                "framework": "pytorch",
                "framework_version": "1.8.0",
                "python_version": "3.6",
                "kms_key_id": "alias/k",
                "use_spot_instances": True,
                "spot_instance_max_wait_seconds": 90000.0,
                "hyperparameters": {"a": 1.0, "b": [1.0, {"c": None}]},
                "metrics": ["auc"],
                "output_compression": "NONE",
            },
        ),
        (
            "transform",
            {"strategy": "SingleRecord", "max_payload_mb": 0, "model_timeout_seconds": 60},
            {"max_payload_mb": 0.0, "strategy": "SingleRecord", "model_timeout_seconds": 60.0},
        ),
    ],
)
def test_spec_of_an_older_template_is_read(
    kind: str, options: dict[str, object], registered: dict[str, object]
) -> None:
    assert load_spec(kind, registered) == build_spec(kind, options)


def test_list_of_instance_types_is_a_type_and_its_fallbacks() -> None:
    types = ["ml.p3.2xlarge", "ml.g5.xlarge", "ml.m5.xlarge"]
    spec = build_spec("training", {"framework": "pytorch", "instance_type": types})
    assert [choice.instance_type for choice in spec.choices] == types
    images = [choice.image("us-east-1").rsplit("-", 3)[1:] for choice in spec.choices]
    assert images[0] == images[1] != images[2]  # GPU, GPU, CPU
    assert load_spec("training", spec.model_dump(mode="json", exclude_defaults=True)) == spec


def test_each_instance_type_of_a_list_is_checked() -> None:
    options = {"framework": "pytorch", "instance_type": ["ml.m5.xlarge", "ml.m5.lage", "m5"]}
    with pytest.raises(SpecError) as caught:
        build_spec("training", options)
    assert "instance_type='ml.m5.lage'" in str(caught.value)
    assert "instance_type='m5'" in str(caught.value)


def test_groups_have_no_fallbacks() -> None:
    groups = [{"name": "a", "instance_type": "ml.m5.xlarge", "instance_count": 1}]
    options = {"framework": "pytorch", "instance_groups": groups}
    with pytest.raises(SpecError, match="fallback_instance_types and instance_groups"):
        build_spec("training", {**options, "fallback_instance_types": ["ml.m5.large"]})
