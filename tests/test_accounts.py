"""Which AWS account an attempt's jobs go to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cdao_sdk
from cdao_sdk.accounts import account_for
from cdao_sdk.errors import ConfigurationError
from cdao_sdk.settings import gather

ROLE = "arn:aws:iam::123456789012:role/cdao"
OTHER = "arn:aws:iam::210987654321:role/cdao"
JOBS = "arn:aws:iam::123456789012:role/jobs"
OTHER_JOBS = "arn:aws:iam::210987654321:role/jobs"


def chosen(project: str, domain: str, **settings: Any) -> Any:
    return account_for(gather(settings).settings, project, domain)


@pytest.mark.parametrize(
    ("project", "domain", "region"),
    [
        ("ml", "production", "eu-west-1"),
        ("ml", "staging", "eu-west-2"),
        ("other", "production", "eu-west-3"),
        ("other", "staging", "us-east-1"),
    ],
)
def test_most_specific_entry_wins(project: str, domain: str, region: str) -> None:
    accounts = {
        "*/production": {"region": "eu-west-3"},
        "ml": {"region": "eu-west-2"},
        "ml/production": {"region": "eu-west-1"},
    }
    assert chosen(project, domain, accounts=accounts).region == region


def test_what_an_entry_leaves_out_comes_from_the_settings() -> None:
    account = chosen(
        "ml",
        "development",
        accounts={"ml": {"region": "eu-west-1"}},
        assume_role=ROLE,
        external_id="cdao-1",
        sagemaker_role=JOBS,
        default_bucket="usual",
    )
    assert account.model_dump(exclude_none=True) == {
        "role_arn": ROLE,
        "external_id": "cdao-1",
        "region": "eu-west-1",
        "sagemaker_role": JOBS,
        "default_bucket": "usual",
    }


def test_what_belongs_to_another_account_is_not_taken_over() -> None:
    queue = "https://sqs.us-east-1.amazonaws.com/123456789012/states"
    usual = {"assume_role": ROLE, "external_id": "cdao-1", "sagemaker_role": JOBS}
    usual |= {"events_queue_url": queue}
    account = chosen("ml", "production", accounts={"ml": {"role_arn": OTHER}}, **usual)
    assert (account.role_arn, account.external_id, account.sagemaker_role) == (OTHER, None, None)
    assert account.events_queue_url is None
    assert chosen("else", "production", **usual).events_queue_url == queue


def test_usual_role_of_the_same_account_is_taken_over() -> None:
    account = chosen("ml", "x", accounts={"ml": {"role_arn": OTHER}}, sagemaker_role=OTHER_JOBS)
    assert account.sagemaker_role == OTHER_JOBS


def test_table_of_a_toml_file() -> None:
    Path(".flyte").mkdir()
    Path(".flyte/cdao.toml").write_text(
        f'[accounts."ml-prod/production"]\nrole_arn = "{ROLE}"\nregion = "eu-west-1"\n'
    )
    assert chosen("ml-prod", "production").role_arn == ROLE
    assert chosen("ml-prod", "development").role_arn is None


def test_table_of_the_environment_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAO_ACCOUNTS", json.dumps({"ml": {"role_arn": ROLE}}))
    assert chosen("ml", "production").role_arn == ROLE
    monkeypatch.setenv("CDAO_ACCOUNTS", "ml=x")
    with pytest.raises(ConfigurationError, match=r"CDAO_ACCOUNTS='ml=x' is not JSON"):
        gather()


def test_table_of_configure() -> None:
    settings = cdao_sdk.configure(accounts={"ml": {"role_arn": ROLE}})
    assert account_for(settings, "ml", "production").role_arn == ROLE


@pytest.mark.parametrize(
    ("key", "entry", "problem"),
    [
        ("ml", {"rol_arn": ROLE}, "accounts.ml.rol_arn .*no such setting. Did you mean 'role_arn'"),
        ("ml", {"role_arn": "cdao"}, "give the role's ARN"),
        ("ml", {"external_id": "cdao-1"}, "give role_arn, too"),
        ("ml", {"role_arn": ROLE, "external_id": "a b"}, "use 2-1224"),
        ("ml", {"role_arn": ROLE, "sagemaker_role": OTHER_JOBS}, "here 123456789012"),
        ("ml", {"region": "Ireland"}, "region's code"),
        ("ml", {"default_bucket": "s3://b"}, "without 's3://'"),
        ("ml", {"endpoint_url": "localhost"}, "http:// or https://"),
        ("ml", {"events_queue_url": "states"}, "SQS queue's URL"),
        ("ml", "role", "dictionary"),
        ("ml/", {}, "'<project>/<domain>'"),
        ("ml/*", {}, "'<project>/<domain>'"),
        ("*", {}, "'<project>/<domain>'"),
        ("a/b/c", {}, "'<project>/<domain>'"),
    ],
)
def test_malformed_entry_is_refused_with_the_rule(key: str, entry: object, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        gather({"accounts": {key: entry}})
    assert "(from configure())" in str(caught.value)


def test_external_id_alone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="give assume_role, too"):
        gather({"external_id": "cdao-1"})
    assert gather({"external_id": "cdao-1", "assume_role": ROLE}).settings.external_id == "cdao-1"
