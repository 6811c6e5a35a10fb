"""The errors: one root, whole messages, and they travel between processes."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from cdao_sdk import errors

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, Exception)
]


@pytest.mark.parametrize("cls", CLASSES)
def test_error_survives_pickle_and_copy(cls: type[errors.CdaoError]) -> None:
    error = cls("what happened", problems=["one", "two"])
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is cls
        assert str(other) == str(error) == "what happened\n  - one\n  - two"
        assert vars(other) == vars(error)


def test_attributes_survive_pickle() -> None:
    error = errors.JobFailed("x", job_name="j", reason="r", user_traceback="t", log_tail=["a"])
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)
    refused = errors.ResourcesUnavailable("x", code="ThrottlingException")
    assert pickle.loads(pickle.dumps(refused)).code == "ThrottlingException"


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_is_a_cdao_error_is_public_and_in_the_tree(cls: type) -> None:
    assert issubclass(cls, errors.CdaoError)
    assert cls.__name__ in errors.__all__
    assert cls.__name__ in (errors.__doc__ or "")
    assert cls.__doc__


def test_nearest_name_is_offered_or_nothing_is_said() -> None:
    assert errors.did_you_mean("instance_typ", ["role", "instance_type"]) == (
        " Did you mean 'instance_type'?"
    )
    assert errors.did_you_mean("xyz", ["role", "instance_type"]) == ""
