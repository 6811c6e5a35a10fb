"""Secrets: the job gets references, and fetches the values itself."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import TYPE_CHECKING, Any

import flytekit_ways as flows
import pytest
from flytekit import Secret

import cdao_sdk
from cdao_sdk.errors import JobFailed, SpecError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("on_embedded")


@pytest.fixture
def values(boto: Any) -> list[str]:
    """What lies in Secrets Manager: a password, a token and a user's name."""
    client = boto("secretsmanager")
    found = [f"hush-{secrets.token_hex(12)}" for _ in range(3)]
    texts = {"db": json.dumps({"password": found[0], "user": found[2]}), "token": found[1]}
    for name, text in texts.items():
        try:
            client.create_secret(Name=name, SecretString=text)
        except client.exceptions.ResourceExistsException:
            client.put_secret_value(SecretId=name, SecretString=text)
    return found


def test_job_fetches_what_it_asked_for_and_nothing_else_holds_it(
    values: list[str], embedded: Any, on_embedded: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    execution = cdao_sdk.run(flows.with_secrets, {"number": 1}).wait(timeout=60)
    told = [hashlib.sha256(value.encode()).hexdigest() for value in values]
    assert execution.outputs == {"o0": told}
    (job,) = execution.jobs()
    kept = [
        path.read_bytes()
        for folder in (embedded.state_dir, on_embedded)
        for path in folder.rglob("*")
        if path.is_file()
    ]
    assert any(b'"secrets": [{"group": "db", "key": "password"' in content for content in kept)
    seen = b"".join([*kept, caplog.text.encode(), repr(job).encode()])
    assert not [value for value in values if value.encode() in seen]


def test_template_holds_the_references(driven: Callable[..., Any]) -> None:
    template = driven(flows.with_secrets).template
    asked = [(item.group, item.key) for item in template.security_context.secrets]
    assert asked == [("db", "password"), ("token", None), ("db", "user")]


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (flows.curious, "has not asked for secret 'db', key 'password', but for: db/user"),
        (flows.mistaken, "secret 'db' has no entry 'nothing'"),
    ],
)
def test_secret_that_cannot_be_had_is_named(values: list[str], task: Any, reason: str) -> None:
    with pytest.raises(JobFailed) as caught:
        cdao_sdk.run(task, {"number": 1}).wait(timeout=60)
    assert reason in str(caught.value)
    assert not [value for value in values if value in str(caught.value)]


def test_secrets_that_no_job_could_get_are_refused() -> None:
    everything = {
        "enable_network_isolation": True,
        "secret_requests": [
            Secret(group="no name", key="x"),
            Secret(group="db", key="x", mount_requirement=Secret.MountType.FILE),
        ],
    }
    with pytest.raises(SpecError) as caught:

        @cdao_sdk.sagemaker_training_task(algorithm="xgboost", **everything)  # pyright: ignore
        def train(train_data: str) -> str: ...

    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "Secret(group='no name', key='x')",
        "Secret(group='db', key='x')",
        "no code of yours runs in this job, so nothing could read a secret",
        "enable_network_isolation=True",
    ]
