"""What jobs may name: checked on the requests that would be sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdao_sdk.flyte.allow_list import AllowList, check_requests
from cdao_sdk.kinds.job import ApiCall
from cdao_sdk.settings import gather

ROLES = ("arn:aws:iam::123456789012:role/team-*",)
BUCKETS = ("team-data", "shared-*")
IMAGES = ("123456789012.dkr.ecr.*.amazonaws.com/team/*", "public.ecr.aws")
EVERYTHING = AllowList(ROLES, BUCKETS, IMAGES)


def problems(parameters: dict[str, Any], allowed: AllowList = EVERYTHING) -> list[str]:
    return check_requests([ApiCall("CreateTrainingJob", parameters)], allowed)


def training(**changes: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": "a-n0-0",
        "RoleArn": "arn:aws:iam::123456789012:role/team-a",
        "AlgorithmSpecification": {
            "TrainingImage": "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/train:1",
            "TrainingInputMode": "File",
        },
        "InputDataConfig": [
            {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3Uri": "s3://team-data/x"}}}
        ],
        "OutputDataConfig": {"S3OutputPath": "s3://shared-out/x"},
        "Tags": [{"Key": "note", "Value": "s3://anything and arn:aws:iam::1:role/x"}],
        **changes,
    }


def test_what_fits_the_lists_passes() -> None:
    assert problems(training()) == []


def test_no_lists_allow_everything() -> None:
    assert problems({"RoleArn": "nonsense", "S3Uri": "s3://anywhere"}, AllowList()) == []


@pytest.mark.parametrize(
    "role",
    [
        "arn:aws:iam::123456789012:role/admin",
        "arn:aws:iam::999999999999:role/team-a",
        "arn:aws:iam::123456789012:role/TEAM-a",
        "arn:aws:iam::123456789012:role/other/team-a",
        "ARN:AWS:IAM::123456789012:ROLE/team-a",
        "arn:aws:iam::123456789012:role/team-a\n",
        "arn:aws:iam::123456789012:role/x:role/team-a",
        " arn:aws:iam::123456789012:role/team-a",
        "team-a",
        "",
    ],
)
def test_other_roles_are_refused(role: str) -> None:
    (problem,) = problems(training(RoleArn=role))
    assert problem.startswith("CreateTrainingJob.RoleArn: ")


def test_roles_are_found_wherever_they_are() -> None:
    other = "arn:aws:iam::123456789012:role/admin"
    for parameters in (
        training(ExecutionRoleArn=other),
        training(Deep=[{"er": {"SomeRoleArn": other}}]),
        training(Environment={"AWS_ROLE": other}),
        training(HyperParameters={"x": [other]}),
    ):
        (problem,) = problems(parameters)
        assert "'arn:aws:iam::123456789012:role/admin' is not in allowed_roles" in problem


@pytest.mark.parametrize(
    "uri",
    [
        *("s3://other/x", "S3://other/x", "s3://team-data.evil/x", "s3://team-data-2"),
        *("s3://TEAM-DATA/x", "s3:///team-data/x", "s3://", "s3://?x", "s3:/other/x"),
        *("s3://team-data@evil/x", "s3://team-data:80/x", "s3a://other/x", "s3n://other/x"),
        *("s3:////other/x", "s3://x..y/z", "s3://shared-/../other", "s3://shared-\u0430/x"),
        "s3://arn:aws:s3:us-east-1:123456789012:accesspoint/shared-x/key",
    ],
)
def test_other_buckets_are_refused(uri: str) -> None:
    for parameters in (
        training(OutputDataConfig={"S3OutputPath": uri}),
        training(HyperParameters={"sagemaker_submit_directory": uri}),
        training(Environment={"X": f'{{"a": "{uri}"}}'}),
        training(Entrypoint=["run", f"--in={uri}"]),
        training(Vars={uri: "as a key"}),
    ):
        assert problems(parameters), (uri, parameters)


@pytest.mark.parametrize(
    "uri", ["https://team-data.s3.amazonaws.com/x", "https://evil.example/x", "file:///x", "x"]
)
def test_data_is_named_by_s3_uris_alone(uri: str) -> None:
    assert problems(training(PrimaryContainer={"ModelDataUrl": uri}))
    assert problems(training(Input={"S3Uri": uri}))


def test_keys_are_free_within_a_bucket() -> None:
    for key in ("", "/", "/../other/x", "/s3/x", "/a b", "/%2e%2e/x"):
        assert problems(training(OutputDataConfig={"S3OutputPath": f"s3://team-data{key}"})) == []


@pytest.mark.parametrize(
    "image",
    [
        "999999999999.dkr.ecr.us-east-1.amazonaws.com/team/train:1",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/other/train:1",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil/team/train:1",
        "123456789012.dkr.ecr.evil.example/.amazonaws.com/team/train",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/TEAM/train",
        "team/train",
        "",
    ],
)
def test_other_images_are_refused(image: str) -> None:
    for parameters in (
        training(AlgorithmSpecification={"TrainingImage": image}),
        training(AppSpecification={"ImageUri": image}),
        training(Containers=[{"Image": image}]),
        training(AlgorithmSpecification={"AlgorithmName": image}),
    ):
        (problem,) = problems(parameters)
        assert "is not in allowed_images" in problem


def test_every_problem_is_told_at_once() -> None:
    found = problems(
        training(
            RoleArn="arn:aws:iam::123456789012:role/admin",
            OutputDataConfig={"S3OutputPath": "s3://a-b/x", "KmsKeyId": "s3://c-d"},
        )
    )
    assert len(found) == 3


def test_default_role_and_bucket_are_allowed_besides() -> None:
    settings = gather(
        {
            "sagemaker_role": "arn:aws:iam::123456789012:role/service-role/Default",
            "default_bucket": "cdao-artifacts",
            "allowed_roles": list(ROLES),
            "allowed_buckets": list(BUCKETS),
        }
    ).settings
    allowed = AllowList.from_settings(settings)
    ours = training(
        RoleArn=settings.sagemaker_role, OutputDataConfig={"S3OutputPath": "s3://cdao-artifacts/x"}
    )
    assert problems(ours, allowed) == []
    flyte = ApiCall("CreateTrainingJob", training(X="s3://flyte-data/x"))
    assert check_requests([flyte], allowed)
    assert check_requests([flyte], allowed, trusted_buckets=["flyte-data"]) == []
    # Without a list the default alone restricts nothing.
    plain = gather({"default_bucket": "cdao-artifacts"}).settings
    assert AllowList.from_settings(plain).is_empty


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    ),
    st.from_regex(r"[a-z0-9][a-z0-9\-]{1,20}[a-z0-9]", fullmatch=True),
)
def test_no_nesting_hides_a_bucket(around: Any, bucket: str) -> None:
    if bucket == "team-data" or bucket.startswith("shared-"):
        return
    parameters = {"A": [around, {"B": [{"C": f"s3://{bucket}/key"}]}]}
    assert any(bucket in problem for problem in problems(parameters))
