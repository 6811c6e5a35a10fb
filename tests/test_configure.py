"""`configure()` and `configure_sagemaker()`."""

from __future__ import annotations

import pytest

import cdao_sdk
from cdao_sdk import _configure
from cdao_sdk.errors import ConfigurationError
from cdao_sdk.settings import Settings

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
