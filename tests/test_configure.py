"""`configure()` and `configure_sagemaker()`."""

from __future__ import annotations

import threading

import pytest

import cdao_sdk
from cdao_sdk import _configure
from cdao_sdk.errors import ConfigurationError
from cdao_sdk.settings import Settings, holder

ROLE = "arn:aws:iam::123456789012:role/SageMakerExecutionRole"


def test_guides_call_is_taken() -> None:
    settings = cdao_sdk.configure(
        admin_endpoint="https://flyte.your-domain.com",
        project="ml-experiments",
        domain="development",
        sagemaker_role=ROLE,
    )
    assert settings.admin_endpoint == "https://flyte.your-domain.com"
    assert settings.sagemaker_role == ROLE


def test_sagemakers_two_settings_and_more() -> None:
    settings = cdao_sdk.configure_sagemaker(
        sagemaker_role=ROLE, default_bucket="my-ml-workflows", region="eu-west-1"
    )
    assert (settings.default_bucket, settings.region) == ("my-ml-workflows", "eu-west-1")
    # Left out, the bucket stays.
    assert cdao_sdk.configure_sagemaker(ROLE).default_bucket == "my-ml-workflows"


def test_guides_placeholder_is_no_role() -> None:
    with pytest.raises(ConfigurationError, match="12-digit account"):
        cdao_sdk.configure_sagemaker("arn:aws:iam::ACCOUNT:role/SageMakerExecutionRole")


def test_editors_know_every_setting() -> None:
    text = _configure.SettingOptions.__annotations__ | _configure.OtherSettings.__annotations__
    assert set(text) == set(Settings.model_fields)


def test_calls_add_up_until_reset() -> None:
    cdao_sdk.configure(project="one", tags={"team": "risk"})
    settings = cdao_sdk.configure(domain="staging")
    assert (settings.project, settings.domain, settings.tags) == (
        "one",
        "staging",
        {"team": "risk"},
    )
    assert holder.gather().settings == settings
    holder.reset()
    assert holder.gather().settings.project == "flytesnacks"


def test_refused_call_changes_nothing() -> None:
    cdao_sdk.configure(project="kept", region="eu-west-1")
    with pytest.raises(ConfigurationError):
        cdao_sdk.configure(project="lost", region="Ireland")
    with pytest.raises(ConfigurationError, match="Did you mean 'region'"):
        cdao_sdk.configure(project="lost", regoin="eu-west-1")  # type: ignore[call-arg]
    settings = holder.gather().settings
    assert (settings.project, settings.region) == ("kept", "eu-west-1")


def test_refused_call_of_sagemakers_two_changes_nothing() -> None:
    cdao_sdk.configure_sagemaker(ROLE, "kept")
    with pytest.raises(ConfigurationError, match="default_bucket='s3://lost'"):
        cdao_sdk.configure_sagemaker(ROLE.replace("Execution", "Other"), "s3://lost")
    settings = holder.gather().settings
    assert (settings.sagemaker_role, settings.default_bucket) == (ROLE, "kept")


def test_none_takes_a_setting_back_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CDAO_ADMIN_ENDPOINT", "https://flyte.example.com")
    monkeypatch.setenv("CDAO_REGION", "eu-west-1")
    settings = cdao_sdk.configure(admin_endpoint=None)
    assert (settings.admin_endpoint, settings.region) == (None, "eu-west-1")
    assert holder.gather().sources["admin_endpoint"] == "configure()"


def test_setting_that_cannot_be_unset_says_so() -> None:
    with pytest.raises(ConfigurationError, match="project=None"):
        cdao_sdk.configure(project=None)  # type: ignore[arg-type]


def test_configuring_with_nothing_shows_what_is_in_force() -> None:
    cdao_sdk.configure(project="one")
    assert cdao_sdk.configure().project == "one"


def test_what_was_given_can_be_changed_afterwards_without_effect() -> None:
    tags = {"team": "risk"}
    cdao_sdk.configure(tags=tags)
    tags["team"] = "other"
    cdao_sdk.configure().tags["team"] = "another"
    assert holder.gather().settings.tags == {"team": "risk"}


def test_threads_may_configure_at_the_same_time() -> None:
    names = ("project", "domain", "default_bucket")
    start = threading.Barrier(len(names) * 4)

    def change(name: str) -> None:
        start.wait()
        for index in range(5):
            holder.update({name: f"value{index}"})

    threads = [threading.Thread(target=change, args=(name,)) for name in names * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settings = holder.gather().settings
    assert {getattr(settings, name) for name in names} == {"value4"}
