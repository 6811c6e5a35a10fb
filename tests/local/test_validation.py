"""What AWS would refuse is refused by the server, in AWS's words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from cdao_sdk.local.service_model import sagemaker_model
from cdao_sdk.local.validation import violations

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., dict[str, Any]]
    Refusal = Callable[[str, object], str]


def test_all_violations_come_in_one_exception(refusal: Refusal, training: Make) -> None:
    request = training("bad_name!", RoleArn="a-role-that-is-no-arn")
    request["ResourceConfig"]["InstanceCount"] = -1
    request["ResourceConfig"]["InstanceType"] = "ml.huge"
    del request["OutputDataConfig"]

    message = refusal("CreateTrainingJob", request)

    assert message.startswith("5 validation errors detected: ")
    assert (
        "Value 'bad_name!' at 'trainingJobName' failed to satisfy constraint: Member must "
        "satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
    ) in message
    assert (
        "Value null at 'outputDataConfig' failed to satisfy constraint: Member must not be null"
    ) in message
    assert (
        "Value '-1' at 'resourceConfig.instanceCount' failed to satisfy constraint: Member must "
        "have value greater than or equal to 0"
    ) in message
    assert (
        "Value 'ml.huge' at 'resourceConfig.instanceType' failed to satisfy constraint: Member "
        "must satisfy enum value set: ["
    ) in message
    assert "at 'roleArn'" in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"TrainingJobName": "n" * 64}, "Member must have length less than or equal to 63"),
        ({"Colour": "red"}, "Value 'red' at 'colour' .* one of the known parameters"),
        ({"HyperParameters": {"a": 1}}, r"Map value must satisfy constraint: \[Member must have"),
        ({"HyperParameters": {"a": "v" * 2501}}, "Map value must satisfy constraint"),
        ({"Environment": {"1bad": "v"}}, "Map keys must satisfy constraint"),
        ({"Tags": "none"}, "Value 'none' at 'tags' .* Member must be of type list"),
        ({"InputDataConfig": [{"ChannelName": "x"}]}, "'inputDataConfig.1.member.dataSource'"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": True}}, "Member must be of type integer"),
    ],
)
def test_each_kind_of_violation_is_named(
    refusal: Refusal, training: Make, change: dict[str, Any], expected: str
) -> None:
    request = training("job") | change
    assert re.search(expected, refusal("CreateTrainingJob", request))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}},
            (
                "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining "
                "is set to true"
            ),
        ),
        (
            {"EnableManagedSpotTraining": True},
            (
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
                "MaxRuntimeInSeconds"
            ),
        ),
        (
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59},
            },
            (
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
                "MaxRuntimeInSeconds"
            ),
        ),
        (
            {"AlgorithmSpecification": {"TrainingInputMode": "File"}},
            "Invalid AlgorithmSpecification. Specify exactly one of TrainingImage, AlgorithmName",
        ),
        (
            {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]},
            "Invalid Tags. Tag key 'a' is used more than once",
        ),
    ],
)
def test_rules_between_members_are_kept(
    refusal: Refusal, training: Make, change: dict[str, Any], expected: str
) -> None:
    assert refusal("CreateTrainingJob", training("job") | change) == expected


def test_several_broken_rules_come_together(refusal: Refusal, training: Make) -> None:
    request = training("job", EnableManagedSpotTraining=True)
    request["AlgorithmSpecification"]["AlgorithmName"] = "own"
    message = refusal("CreateTrainingJob", request)
    assert message.startswith("2 validation errors detected: Invalid MaxWaitTimeInSeconds.")


def test_a_transform_s_payload_in_flight_is_limited(refusal: Refusal, transform: Make) -> None:
    request = transform("job", "model", MaxConcurrentTransforms=20, MaxPayloadInMB=6)
    assert "20 * 6 = 120" in refusal("CreateTransformJob", request)


def test_a_training_job_needs_its_input(
    refusal: Refusal, sagemaker: Any, s3: Any, training: Make
) -> None:
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://test-bucket/in/"}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    message = refusal("CreateTrainingJob", training("job", InputDataConfig=[channel]))
    assert message.startswith(
        'No S3 objects found under S3 URL "s3://test-bucket/in/" given in input data source. '
        "Please ensure that the bucket exists in the selected region (us-east-1)"
    )

    s3.put_object(Bucket="test-bucket", Key="in/data.csv", Body=b"1")
    sagemaker.create_training_job(**training("job", InputDataConfig=[channel]))


def test_an_operation_that_is_not_offered_says_so(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="does not offer CreateEndpointConfig yet") as error:
        sagemaker.create_endpoint_config(
            EndpointConfigName="e",
            ProductionVariants=[{"VariantName": "v", "ModelName": "m"}],
        )
    assert error.value.response["Error"]["Code"] == "UnsupportedOperation"


def test_every_pattern_that_python_can_read_is_used() -> None:
    shapes = sagemaker_model().shapes
    assert violations(sagemaker_model(), "StopTrainingJob", {"TrainingJobName": "a b"})
    # Java's own classes, in the names of tags, are left to AWS.
    assert "\\p{L}" in shapes["TagKey"].get("pattern", "")
    tags = {"ResourceArn": "arn:aws:sagemaker:us-east-1:123456789012:model/m"}
    assert not violations(
        sagemaker_model(), "AddTags", {**tags, "Tags": [{"Key": "ü!", "Value": "x"}]}
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["TrainingJobName", "ResourceConfig", "InputDataConfig", "Tags", "Key", "x"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_nothing_that_is_json_breaks_the_check(value: Any) -> None:
    request = value if isinstance(value, dict) else {"Tags": value}
    assert violations(sagemaker_model(), "CreateTrainingJob", request)
