"""The errors: one root, whole messages, and they travel between processes."""

# ruff: noqa: S301 # what is unpickled was pickled here

from __future__ import annotations

import copy
import inspect
import pickle
import re
import subprocess
import sys

import pytest

import cdao_sdk
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


def _drawn() -> dict[str, str]:
    """Each class in the docstring's tree, and the one that it hangs from."""
    parents: dict[str, str] = {}
    last_at: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        drawn = re.match(r"\s{4}([│├└─ ]*)(\w+)", line)
        if drawn is None or not hasattr(errors, drawn[2]):
            continue
        depth = len(drawn[1]) // 4
        last_at[depth] = drawn[2]
        parents[drawn[2]] = last_at.get(depth - 1, "Exception")
    return parents


def test_tree_in_the_docstring_is_the_inheritance() -> None:
    assert _drawn() == {cls.__name__: cls.__base__.__name__ for cls in CLASSES}


def test_every_error_is_exported() -> None:
    names = {cls.__name__ for cls in CLASSES}
    assert names <= set(cdao_sdk.__all__)
    assert set(errors.__all__) == names | {"did_you_mean"}
    assert all(getattr(cdao_sdk, cls.__name__) is cls for cls in CLASSES)


def test_error_without_problems_is_its_message() -> None:
    assert str(errors.CdaoError("what happened")) == "what happened"


def test_message_that_was_changed_is_the_one_that_is_shown() -> None:
    error = errors.SpecError("wrong", problems=["one"])
    error.message = "train: wrong"
    assert str(pickle.loads(pickle.dumps(error))) == "train: wrong\n  - one"


def test_error_raised_in_another_process_comes_back_whole() -> None:
    code = (
        "import pickle, sys; from cdao_sdk.errors import JobFailed\n"
        "error = JobFailed('failed', problems=['one'], job_name='j', log_tail=['last'])\n"
        "sys.stdout.buffer.write(pickle.dumps(error))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    error = pickle.loads(done.stdout)
    assert (str(error), error.job_name, error.log_tail) == ("failed\n  - one", "j", ("last",))


def test_nearest_name_is_offered_or_nothing_is_said() -> None:
    assert errors.did_you_mean("instance_typ", ["role", "instance_type"]) == (
        " Did you mean 'instance_type'?"
    )
    assert errors.did_you_mean("xyz", ["role", "instance_type"]) == ""
