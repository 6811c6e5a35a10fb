from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdao_sdk.kinds.naming import execution_slug, job_name, tag_value, tuning_name

texts = st.one_of(st.text(), st.from_regex(r"[a-z0-9-]{0,40}", fullmatch=True))
inputs = st.tuples(texts, texts, st.integers(0, 10**12))
lengths = st.sampled_from([32, 63])


@given(inputs, lengths)
def test_names_are_valid_and_begin_with_the_execution(
    job: tuple[str, str, int], length: int
) -> None:
    name = job_name(*job, max_length=length)
    assert len(name) <= length
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name)
    assert name.startswith(execution_slug(job[0]) + "-")
    assert name == job_name(*job, max_length=length)


@given(inputs)
def test_names_fit_every_resource_of_sagemaker(job: tuple[str, str, int]) -> None:
    """Patterns of TrainingJobName, ModelName and HyperParameterTuningJobName, API 2017-07-24."""
    name = job_name(*job)
    assert re.fullmatch(r"[a-zA-Z0-9]([\-a-zA-Z0-9]*[a-zA-Z0-9])?", name)
    assert len(name) <= 63
    tuning = tuning_name(*job)
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}", tuning)
    assert len(tuning) <= 32
    assert tuning.startswith(execution_slug(job[0]))


@given(inputs, inputs, lengths)
def test_different_jobs_have_different_names(
    one: tuple[str, str, int], other: tuple[str, str, int], length: int
) -> None:
    same_name = job_name(*one, max_length=length) == job_name(*other, max_length=length)
    assert same_name == (one == other)


@given(texts, texts)
def test_different_executions_have_different_slugs(one: str, other: str) -> None:
    assert (execution_slug(one) == execution_slug(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Abc", "abc"), ("a_b", "a-b"), ("é", "e"), ("模型", "数据"), ("x" * 50, "x" * 51)],
)
def test_cleaning_makes_no_two_executions_one(one: str, other: str) -> None:
    assert execution_slug(one) != execution_slug(other)


def test_names_are_readable() -> None:
    name = job_name("f3a9d1c0b7e5f3a9d1c0", "train_model-n1", 2)
    assert name.startswith("f3a9d1c0b7e5f3a9d1c0-train-model-n1-")
    assert name.endswith("-2")


@given(st.text())
def test_any_text_becomes_a_tag(text: str) -> None:
    assert re.fullmatch(r"[\w .:/=+\-@]{0,256}", tag_value(text))
