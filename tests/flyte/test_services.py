"""Which services the attempts of a project and domain use."""

from __future__ import annotations

from cdao_sdk.flyte.services import (
    EMBEDDED_BUCKET,
    EMBEDDED_ROLE,
    services_for,
    services_for_attempt,
    services_from_settings,
)
from cdao_sdk.settings import gather, holder

ROLE = "arn:aws:iam::210987654321:role/cdao"
JOBS = "arn:aws:iam::210987654321:role/jobs"


def test_attempt_goes_to_its_projects_account() -> None:
    entry = {"role_arn": ROLE, "external_id": "cdao-1", "region": "eu-west-1"}
    entry |= {"sagemaker_role": JOBS, "default_bucket": "theirs"}
    settings = gather({"accounts": {"ml/production": entry}, "tags": {"team": "risk"}}).settings
    services = services_for_attempt(settings, "ml", "production")
    target = services.clients.target
    assert (target.role_arn, target.external_id, target.region) == (ROLE, "cdao-1", "eu-west-1")
    assert (services.role_arn, services.bucket) == (JOBS, "theirs")
    assert services.tags == {"team": "risk"}
    usual = services_for_attempt(settings, "ml", "development")
    assert usual.clients.target.role_arn is None
    assert usual.clients is not services.clients


def test_attempts_of_one_account_share_its_clients() -> None:
    settings = gather({"accounts": {"ml": {"role_arn": ROLE}}}).settings
    one, two = (services_for_attempt(settings, "ml", domain) for domain in ("a", "b"))
    assert one is two
    assert one is services_for_attempt(settings, "ml", "a")


def test_account_on_an_endpoint_has_the_embedded_defaults() -> None:
    entry = {"endpoint_url": "http://127.0.0.1:9", "role_arn": ROLE}
    settings = gather({"accounts": {"ml": entry}}).settings
    services = services_for_attempt(settings, "ml", "x")
    assert services.clients.target.is_embedded
    assert services.clients.target.role_arn == ROLE
    assert (services.role_arn, services.bucket) == (EMBEDDED_ROLE, EMBEDDED_BUCKET)


def test_run_in_this_process_goes_to_its_own_projects_account() -> None:
    accounts = {"ml": {"role_arn": ROLE, "region": "eu-west-1"}}
    settings = gather({"accounts": accounts, "project": "ml"}).settings
    services = services_for(settings, lambda: "http://127.0.0.1:9")
    assert services.clients.target.endpoint_url == "http://127.0.0.1:9"
    on_aws = settings.model_copy(update={"sagemaker_backend": "aws"})
    target = services_for(on_aws, lambda: "").clients.target
    assert (target.endpoint_url, target.role_arn, target.region) == (None, ROLE, "eu-west-1")


def test_connector_alone_uses_the_settings_project() -> None:
    holder.update({"project": "ml", "accounts": {"ml": {"role_arn": ROLE}}})
    assert services_from_settings().clients.target.role_arn == ROLE


def test_status_options_are_those_of_the_settings_and_the_account() -> None:
    queue = "https://sqs.eu-west-1.amazonaws.com/210987654321/states"
    entry = {"role_arn": ROLE, "region": "eu-west-1", "events_queue_url": queue}
    given = {"status_interval_seconds": 3, "status_sweep_seconds": 60, "accounts": {"ml": entry}}
    services = services_for_attempt(gather(given).settings, "ml", "x")
    assert services.status is not None
    assert services.status.interval_seconds == 3
    assert services.status.longest_interval_seconds == 12
    assert services.status.sweep_seconds == 60
    assert services.status.events_queue_url == queue
    other = services_for_attempt(gather(given).settings, "other", "x")
    assert other.status is not None
    assert other.status.events_queue_url is None


def test_rates_are_those_of_the_settings() -> None:
    settings = gather({"api_rates": {"CreateTrainingJob": 2.5}, "region": "eu-south-1"}).settings
    rates = services_for_attempt(settings, "ml", "x").clients.rates
    assert rates.allowed("CreateTrainingJob") == 2.5
    again = services_for_attempt(gather({"region": "eu-south-1"}).settings, "ml", "x")
    assert again.clients.rates is rates
    assert rates.allowed("CreateTrainingJob") == 5
