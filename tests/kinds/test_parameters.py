from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdao_sdk.errors import SpecError
from cdao_sdk.kinds.build import build_spec
from cdao_sdk.kinds.parameters import Channel, Parameter, ParameterRole
from cdao_sdk.kinds.registry import kind


def roles(
    job: str, parameters: dict[str, Any], *, has_body: bool = False, **options: object
) -> dict[str, ParameterRole]:
    """Roles by name; a parameter is its type, or its type and a Channel."""
    given_parameters = [
        Parameter(name, *what) if isinstance(what, tuple) else Parameter(name, what)
        for name, what in parameters.items()
    ]
    if job == "training" and not options:
        options = {"algorithm": "xgboost"} if not has_body else {"framework": "pytorch"}
    spec = build_spec(job, options)
    found = kind(job).parameters(given_parameters, has_body=has_body, spec=spec)
    assert [role.name for role in found] == list(parameters)
    assert all(role.why.startswith(role.name) for role in found)
    return {role.name: role for role in found}


def places(found: dict[str, ParameterRole]) -> dict[str, tuple[str, str | None]]:
    return {name: (role.role, role.channel) for name, role in found.items()}


class TestBody:
    @pytest.mark.parametrize("job", ["training", "processing"])
    def test_data_comes_by_channel_and_the_rest_by_value(self, job: str) -> None:
        types = {"raw": "file", "images": "directory", "frame": "dataframe", "data_path": "string"}
        assert places(roles(job, {**types, "config": "struct"}, has_body=True)) == {
            "raw": ("channel", "raw"),
            "images": ("channel", "images"),
            "frame": ("channel", "frame"),
            "data_path": ("value", None),
            "config": ("value", None),
        }

    def test_annotation_decides_first(self) -> None:
        mark = Channel("train", content_type="text/csv", input_mode="FastFile")
        found = roles("training", {"data_path": ("string", mark)}, has_body=True)["data_path"]
        assert (found.role, found.channel) == ("channel", "train")
        assert (found.content_type, found.input_mode) == ("text/csv", "FastFile")

    @pytest.mark.parametrize(
        ("parameters", "text"),
        [
            ({"a": ("string", Channel("x")), "b": ("string", Channel("x"))}, "a feeds it already"),
            ({"a": ("string", Channel("cdao"))}, "reserved"),
            ({"größe": "file"}, "name it with Annotated"),
            ({"a": ("file", Channel(compression="Gzip"))}, "needs input_mode 'Pipe'"),
        ],
    )
    def test_channels_that_cannot_be(self, parameters: dict[str, Any], text: str) -> None:
        with pytest.raises(SpecError) as caught:
            roles("training", parameters, has_body=True)
        assert text in str(caught.value)

    def test_processing_has_files_only(self) -> None:
        with pytest.raises(SpecError, match="'FastFile' is not one of File"):
            roles("processing", {"a": ("file", Channel(input_mode="FastFile"))}, has_body=True)


class TestAlgorithm:
    def test_guides_training_task(self) -> None:
        found = roles("training", {"dataset_path": "string", "hyperparameters": "struct"})
        assert places(found) == {
            "dataset_path": ("channel", "train"),
            "hyperparameters": ("hyperparameters", None),
        }

    def test_words_decide_the_channels(self) -> None:
        found = roles(
            "training",
            {
                "extra_data": "string",
                "train_uri": "string",
                "validation_data": "file",
                "model_path": "string",
                "objective": "string",
                "max_depth": "integer",
                "model_config": "map",
                "weights": "list",
                "output_path": "string",
            },
        )
        assert places(found) == {
            "extra_data": ("channel", "extra_data"),
            "train_uri": ("channel", "train"),
            "validation_data": ("channel", "validation"),
            "model_path": ("channel", "model"),
            "objective": ("hyperparameter", None),
            "max_depth": ("hyperparameter", None),
            "model_config": ("hyperparameters", None),
            "weights": ("hyperparameter", None),
            "output_path": ("hyperparameter", None),
        }
        assert found["model_path"].content_type == "application/x-sagemaker-model"

    def test_annotated_train_leaves_the_others_their_names(self) -> None:
        marked = {"rows": ("string", Channel("train")), "more_data": "string"}
        assert places(roles("training", marked))["more_data"] == ("channel", "more_data")

    def test_two_for_one_channel_are_refused(self) -> None:
        with pytest.raises(SpecError, match="validation_data feeds it already"):
            roles("training", {"data": "file", "validation_data": "file", "test_data": "file"})

    def test_missing_data_and_pickles_are_told_together(self) -> None:
        with pytest.raises(SpecError) as caught:
            roles("training", {"max_depth": "integer", "anything": ("pickle", Channel("train"))})
        text = str(caught.value)
        assert "max_depth (integer), anything (pickle)" in text
        assert "only Python can read" in text


class TestTransform:
    def test_guides_transform_task(self) -> None:
        found = roles(
            "transform",
            {"model_path": "string", "input_data_path": "string", "prediction_config": "struct"},
        )
        assert places(found) == {
            "model_path": ("model", None),
            "input_data_path": ("input", "input"),
            "prediction_config": ("environment", None),
        }

    def test_annotations_decide_first(self) -> None:
        found = roles(
            "transform",
            {
                "data": "string",
                "b": ("string", Channel("model")),
                "c": ("string", Channel("x", content_type="text/own")),
            },
        )
        assert places(found) == {
            "data": ("environment", None),
            "b": ("model", None),
            "c": ("input", "input"),
        }
        assert found["c"].content_type == "text/own"

    @pytest.mark.parametrize(
        ("parameters", "text"),
        [
            ({"data": "string"}, "no parameter holds the model"),
            ({"model": "string", "size": "integer"}, "no parameter holds the data to transform"),
            ({}, "found no parameters"),
            ({"model": "string", "data": "file", "c": ("file", Channel("y"))}, ""),
        ],
    )
    def test_what_does_not_fit(self, parameters: dict[str, Any], text: str) -> None:
        if not text:
            parameters["d"] = ("file", Channel("z"))
            text = "a transform has one model and one input"
        with pytest.raises(SpecError) as caught:
            roles("transform", parameters)
        assert text in str(caught.value)


def test_pickle_does_not_reach_a_model() -> None:
    found = roles("transform", {"model": "string", "data": "string", "x": "pickle"})
    assert found["x"].role == "unused"
    assert "annotate it dict" in found["x"].why


TYPES = ["string", "integer", "struct", "file", "directory", "dataframe", "list", "union", "pickle"]
NAMES = ["train", "data", "val_path", "model", "params", "x", "input_uri", "output_path", "größe"]


@given(
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(TYPES)),
    st.sampled_from(["training", "processing", "transform"]),
    st.booleans(),
)
def test_every_parameter_gets_one_role_or_all_get_an_error(
    parameters: dict[str, str], job: str, has_body: bool
) -> None:
    try:
        found = roles(job, parameters, has_body=has_body)
    except SpecError as error:
        channels: list[str] = []
        problems = error.problems
    else:
        channels = [role.channel for role in found.values() if role.channel]
        problems = ("none",)
    assert problems
    assert len(channels) == len(set(channels))
