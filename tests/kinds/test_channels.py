"""What an annotation says of a channel reaches the request, or is refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from cdao_sdk.errors import SpecError
from cdao_sdk.kinds.build import build_spec
from cdao_sdk.kinds.channels import OPTIONS, Channel, Parameter, ParameterRole, ParameterType
from cdao_sdk.kinds.job import JobContext
from cdao_sdk.kinds.registry import kind

GROUPS = [
    {"name": "a", "instance_type": "ml.m5.large"},
    {"name": "b", "instance_type": "ml.m5.xlarge"},
]
SPECS: dict[str, dict[str, Any]] = {
    "training": {"framework": "pytorch", "instance_groups": GROUPS},
    "processing": {},
    "transform": {},
}
AUGMENTED = Channel(
    input_mode="Pipe",
    data_type="AugmentedManifestFile",
    attribute_names=("image", "label"),
    record_wrapper="RecordIO",
    compression="Gzip",
    distribution="ShardedByS3Key",
    shuffle_seed=7,
    instance_groups=("a",),
    content_type="application/x-recordio",
)


def role(
    job: str, mark: Channel, of_type: ParameterType = "string", **options: Any
) -> ParameterRole:
    spec = build_spec(job, {**SPECS[job], **options})
    parameters = [Parameter("data", of_type, mark)]
    if job == "transform":
        parameters.append(Parameter("model_path", "string"))
    return kind(job).parameters(parameters, has_body=job != "transform", spec=spec)[0]


def refused(job: str, mark: Channel, of_type: ParameterType = "string", **options: Any) -> str:
    with pytest.raises(SpecError) as caught:
        role(job, mark, of_type, **options)
    return "\n".join(caught.value.problems)


def request(
    job: str, data: ParameterRole, context: Callable[..., JobContext], **changes: Any
) -> Any:
    channel = "input" if job == "transform" else "data"
    run = context(channels={channel: data.source("s3://bucket/x")}, **changes)
    return kind(job).requests(build_spec(job, SPECS[job]), run)


def test_training_has_all_options(
    context: Callable[..., JobContext], faults: Callable[..., list[str]]
) -> None:
    calls = request("training", role("training", AUGMENTED), context)
    assert faults(calls) == []
    assert calls[0].parameters["InputDataConfig"] == [
        {
            "ChannelName": "data",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "AugmentedManifestFile",
                    "S3Uri": "s3://bucket/x",
                    "S3DataDistributionType": "ShardedByS3Key",
                    "AttributeNames": ["image", "label"],
                    "InstanceGroupNames": ["a"],
                }
            },
            "ContentType": "application/x-recordio",
            "CompressionType": "Gzip",
            "RecordWrapperType": "RecordIO",
            "InputMode": "Pipe",
            "ShuffleConfig": {"Seed": 7},
        }
    ]


def test_roles_survive_a_template() -> None:
    """Flyte keeps them as a protobuf Struct, or as JSON: lists for tuples, 7.0 for 7."""
    data = role("training", AUGMENTED)
    struct = Struct()
    struct.update(json.loads(json.dumps(asdict(data))))
    assert ParameterRole(**MessageToDict(struct)) == data


@pytest.mark.parametrize(
    ("job", "mark", "text"),
    [
        ("training", Channel(data_type="AugmentedManifestFile"), "needs input_mode 'Pipe'"),
        ("training", Channel(data_type="AugmentedManifestFile"), "needs attribute_names"),
        ("training", Channel(attribute_names=("a",)), "for data_type 'AugmentedManifestFile' only"),
        ("training", Channel(record_wrapper="RecordIO"), "record_wrapper needs input_mode 'Pipe'"),
        ("training", Channel(instance_groups=("c",)), "no instance group 'c'; it has: a, b"),
        ("processing", Channel(input_mode="Pipe"), "'Pipe' is not one of File"),
        ("processing", Channel(shuffle_seed=0), "shuffle_seed: the inputs of processing jobs"),
        ("processing", Channel(instance_groups=("a",)), "have no such option"),
        ("processing", Channel(compression="Gzip"), "compression needs input_mode 'Pipe'"),
        ("transform", Channel(distribution="ShardedByS3Key"), "inputs of transform jobs have no"),
        ("transform", Channel(input_mode="File"), "inputs of transform jobs have no"),
        (
            "transform",
            Channel(data_type="AugmentedManifestFile"),
            "is not one of S3Prefix, ManifestFile",
        ),
    ],
)
def test_what_a_kind_has_not_is_refused(job: str, mark: Channel, text: str) -> None:
    assert text in refused(job, mark)


def test_all_problems_of_a_channel_come_together() -> None:
    said = refused("training", Channel("cdao", attribute_names=("",), instance_groups=("x",)))
    for text in ("reserved", "for data_type", "1 to 256 characters", "no instance group 'x'"):
        assert text in said


def test_manifest_is_given_as_text() -> None:
    assert "annotate it str" in refused("training", Channel(data_type="ManifestFile"), "file")
    assert role("training", Channel(data_type="ManifestFile")).data_type == "ManifestFile"


def test_model_of_a_transform_has_no_options() -> None:
    parameters = [
        Parameter("m", "string", Channel("model", compression="Gzip")),
        Parameter("data", "string"),
    ]
    spec = build_spec("transform", {})
    with pytest.raises(SpecError, match="takes no compression"):
        kind("transform").parameters(parameters, has_body=False, spec=spec)


marks = st.builds(
    Channel,
    st.one_of(st.none(), st.sampled_from(["train", "cdao", "größe"])),
    content_type=st.sampled_from([None, "text/csv"]),
    input_mode=st.sampled_from([None, "File", "FastFile", "Pipe"]),
    data_type=st.sampled_from([None, "S3Prefix", "ManifestFile", "AugmentedManifestFile"]),
    compression=st.sampled_from([None, "Gzip"]),
    distribution=st.sampled_from([None, "FullyReplicated", "ShardedByS3Key", "Random"]),
    attribute_names=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    record_wrapper=st.sampled_from([None, "RecordIO"]),
    shuffle_seed=st.one_of(st.none(), st.integers(0, 2**53)),
    instance_groups=st.lists(st.sampled_from("abc"), max_size=3, unique=True).map(tuple),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(job=st.sampled_from(sorted(SPECS)), mark=marks, only=st.sets(st.sampled_from(OPTIONS)))
def test_a_channel_is_refused_or_its_request_is_valid(
    *,
    job: str,
    mark: Channel,
    only: set[str],
    context: Callable[..., JobContext],
    transform_context: Callable[..., JobContext],
    faults: Callable[..., list[str]],
) -> None:
    mark = Channel(mark.name, **{name: getattr(mark, name) for name in only})
    try:
        data = role(job, mark)
    except SpecError as error:
        event("refused")
        assert error.problems  # noqa: PT017 - half of them raise nothing
        return
    event("accepted")
    make = transform_context if job == "transform" else context
    assert faults(request(job, data, make)) == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": 5}, "name=5 is of type int; it must be a str"),
        ({"content_type": 5}, "content_type=5 is of type int; it must be a str"),
        ({"shuffle_seed": "7"}, "shuffle_seed='7' is of type str; it must be a whole number"),
        ({"shuffle_seed": True}, "shuffle_seed=True is of type bool"),
        ({"attribute_names": "source-ref"}, "is a str; give a tuple: ('source-ref',)"),
        ({"instance_groups": (5,)}, "instance_groups=(5,) must be a tuple of str"),
    ],
)
def test_values_of_the_wrong_type_are_refused_where_they_stand(
    options: dict[str, Any], text: str
) -> None:
    with pytest.raises(SpecError) as caught:
        Channel(**options)
    assert [text in problem for problem in caught.value.problems] == [True]


@pytest.mark.parametrize(
    ("mark", "text"),
    [
        (Channel(content_type="x" * 257), "at most 256 characters"),
        (Channel(content_type="text/csv\n"), "one line"),
        (Channel(shuffle_seed=2**60), "between -2**53 and 2**53"),
        (Channel(input_mode="fastfile"), "Did you mean 'FastFile'?"),  # type: ignore[arg-type]
    ],
)
def test_values_beyond_limits_are_refused(mark: Channel, text: str) -> None:
    assert text in refused("training", mark, framework="pytorch")
