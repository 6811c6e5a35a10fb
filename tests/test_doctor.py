"""Each check over HTTP: the embedded SageMaker and moto answer as AWS would.

What moto lacks (IAM's simulator, SageMaker's quotas) is answered in AWS's own wire format.
"""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

import cdao_sdk
from cdao_sdk._doctor import machine
from cdao_sdk._doctor.account import Account
from cdao_sdk._doctor.diagnosis import diagnose
from cdao_sdk._doctor.findings import Check, found, run_checks
from cdao_sdk._doctor.network import Network, flyte
from cdao_sdk._doctor.resources import Instances, Needs, Resources
from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.session import AwsClients, AwsTarget
from cdao_sdk.settings import holder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cdao_sdk._doctor.findings import Finding
    from cdao_sdk.flyte.services import Services

ACCOUNT = "123456789012"
REGION = "us-east-1"
CLOSED = "http://127.0.0.1:9"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/own:1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/missing"


@pytest.fixture
def as_aws(monkeypatch: pytest.MonkeyPatch, embedded: Any) -> Any:
    """Points botocore itself at the embedded server, as if that were AWS."""
    for name, value in {
        "AWS_ENDPOINT_URL": embedded.url,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "not-to-be-shown",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
        "CDAO_SAGEMAKER_BACKEND": "aws",
    }.items():
        monkeypatch.setenv(name, value)
    return embedded


@pytest.fixture
def account(services: Services) -> Account:
    """The embedded server's account."""
    return Account(services.clients, REGION)


@pytest.fixture
def fresh_account(as_aws: Any) -> Iterator[Account]:
    """An account whose credentials botocore looks for."""
    clients = AwsClients(AwsTarget(REGION))
    yield Account(clients, REGION)
    bridge.run(clients.close())


class _Answers(BaseHTTPRequestHandler):
    """Says who calls, and whatever the test gave it."""

    protocol_version = "HTTP/1.1"
    body = ""
    date = ""
    status = 200

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if "GetCallerIdentity" in sent:
            self._send(IDENTITY)
        else:
            self._send(self.body, self.status)

    def do_HEAD(self) -> None:
        self._send("")

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.date or super().date_time_string(timestamp)

    def _send(self, body: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", "test")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


IDENTITY = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
    f"<GetCallerIdentityResult><Arn>arn:aws:sts::{ACCOUNT}:assumed-role/Analyst/me</Arn>"
    f"<UserId>A</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult>"
    "<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
)


@pytest.fixture
def say() -> Iterator[Callable[..., Account]]:
    """Makes an account whose services answer with a body, or with a clock of their own."""

    class Handler(_Answers):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        clients = AwsClients(AwsTarget(REGION, url, "local", "local"))

        def answer(body: str = "", date: str = "", status: int = 200) -> Account:
            Handler.body, Handler.date, Handler.status = body, date, status
            return Account(clients, REGION)

        yield answer
        bridge.run(clients.close())
        server.shutdown()


@pytest.fixture
def role(boto: Callable[[str], Any]) -> Iterator[Callable[..., str]]:
    """Makes a role that a service may assume; returns its ARN."""
    iam, names = boto("iam"), []

    def make(name: str, service: str = "sagemaker.amazonaws.com") -> str:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sts:AssumeRole",
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        names.append(name)
        return iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy)["Role"]["Arn"]

    yield make
    for name in names:
        iam.delete_role(RoleName=name)


# --- the whole ---


def test_embedded_all_is_well(embedded: Any) -> None:
    diagnosis = diagnose()
    assert diagnosis.is_well, diagnosis
    names = [finding.name for finding in diagnosis.findings]
    assert names == [
        *("python", "packages", "flytekit", "settings", "runs on"),
        *("server", "state", "/opt/ml", "extras"),
    ]


def test_a_good_account_is_well_and_no_secret_is_told(
    as_aws: Any, role: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://somebody:pass-word@127.0.0.1:9")
    cdao_sdk.configure(sagemaker_role=role("good"), default_bucket="cdao-tests")
    diagnosis = diagnose(write=True, limit_seconds=30)
    status = {finding.name: finding.status for finding in diagnosis.findings}
    del status["permissions"]  # moto has no simulator of policies
    assert status == {
        **dict.fromkeys(("python", "packages", "flytekit", "settings", "runs on"), "ok"),
        **dict.fromkeys(("region", "credentials", "role", "bucket", "endpoints", "clock"), "ok"),
        "images": "skip",
        "quotas": "skip",
    }
    told = json.dumps(diagnosis.to_json())
    assert "not-to-be-shown" not in told
    assert "pass-word" not in told


def test_settings_that_are_wrong_are_told_and_the_rest_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CDAO_REGON", REGION)
    diagnosis = diagnose()
    assert not diagnosis.is_well
    assert [(f.name, f.status) for f in diagnosis.findings][-2:] == [
        ("settings", "fail"),
        ("the rest", "skip"),
    ]
    assert "CDAO_REGION" in diagnosis.findings[-2].text


def test_a_slow_check_and_a_broken_one_do_not_hold_up_the_others() -> None:
    async def slow() -> Finding:
        await asyncio.sleep(60)
        return found("slow", "")

    async def broken() -> Finding:
        msg = "a bug"
        raise KeyError(msg)

    async def quick() -> Finding:
        return found("quick", "yes")

    checks = [Check("slow", slow), Check("broken", broken), Check("quick", quick)]
    answers = asyncio.run(run_checks(checks, 0.05))
    assert [(a.name, a.status) for a in answers] == [
        ("slow", "fail"),
        ("broken", "fail"),
        ("quick", "ok"),
    ]
    assert "0.05 s" in answers[0].text
    assert "KeyError" in answers[1].text


# --- this machine ---


def test_an_endpoint_that_is_not_there() -> None:
    cdao_sdk.configure(endpoint_url=CLOSED)
    server = bridge.run(machine.embedded(holder.gather().settings))
    assert (server.status, "cdao local start" in server.mend) == ("fail", True)
    assert f"{CLOSED} did not answer" in server.text


def test_a_state_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = bridge.run(machine.disk(tmp_path / "file" / "state"))
    assert (state.status, "CDAO_STATE_DIR" in state.mend) == ("fail", True)


# --- the account ---


def test_without_credentials(fresh_account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    credentials = bridge.run(fresh_account.credentials())
    assert credentials.text == "none were found"
    assert "AWS_PROFILE" in credentials.mend
    others = [
        bridge.run(fresh_account.role(ROLE)),
        bridge.run(fresh_account.permissions(ROLE)),
        bridge.run(fresh_account.bucket("cdao-tests", needed=True, write=False)),
    ]
    assert [finding.status for finding in others] == ["skip"] * 3


def test_credentials_are_not_blamed_for_a_silent_network(
    fresh_account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", CLOSED)
    credentials = bridge.run(fresh_account.credentials())
    assert credentials.status == "fail"
    assert credentials.mend == "see endpoints, below"


def test_a_misspelt_region_is_told_with_the_nearest() -> None:
    assert bridge.run(machine.region("eu-central-1")).status == "ok"
    assert bridge.run(machine.region("cn-north-1")).status == "ok"
    wrong = bridge.run(machine.region("eu-cetnral-1"))
    assert wrong.status == "warn"
    assert "Did you mean 'eu-central-1'?" in wrong.text


def test_a_profile_that_is_not_there(
    fresh_account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    credentials = bridge.run(fresh_account.credentials())
    assert credentials.status == "fail"
    assert "nobody" in credentials.text


@pytest.mark.parametrize(
    ("arn", "words"),
    [
        (None, "no role"),
        (ROLE, "does not exist"),
        ("arn:aws:iam::999999999999:role/other", "belongs to account 999999999999"),
    ],
)
def test_a_role_that_cannot_be_used(arn: str | None, words: str, account: Account) -> None:
    finding = bridge.run(account.role(arn))
    assert finding.status == "fail"
    assert words in finding.text
    assert finding.mend


def test_a_role_that_trusts_another_service(account: Account, role: Callable[..., str]) -> None:
    finding = bridge.run(account.role(role("lambda", "lambda.amazonaws.com")))
    assert (finding.status, "trust policy" in finding.mend) == ("fail", True)


@pytest.mark.parametrize(("decision", "expected"), [("allowed", "ok"), ("implicitDeny", "fail")])
def test_what_the_caller_may_not_do_is_named(
    decision: str, expected: str, say: Callable[..., Account]
) -> None:
    result = (
        "<member><EvalActionName>iam:PassRole</EvalActionName>"
        f"<EvalDecision>{decision}</EvalDecision></member>"
    )
    account = say(
        '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
        f"<SimulatePrincipalPolicyResult><EvaluationResults>{result}</EvaluationResults>"
        "</SimulatePrincipalPolicyResult><ResponseMetadata><RequestId>1</RequestId>"
        "</ResponseMetadata></SimulatePrincipalPolicyResponse>"
    )
    permissions = bridge.run(account.permissions(ROLE))
    assert permissions.status == expected
    if expected == "fail":
        assert "iam:PassRole" in permissions.text
        assert f"arn:aws:iam::{ACCOUNT}:role/Analyst" in permissions.mend


@pytest.mark.parametrize(
    ("name", "needed", "status", "words"),
    [
        ("cdao-tests", True, "ok", "can be written"),
        ("cdao-nowhere", True, "fail", "aws s3 mb s3://cdao-nowhere"),
        (None, True, "fail", "CDAO_DEFAULT_BUCKET"),
        (None, False, "skip", "Flyte's own output prefix"),
    ],
)
def test_a_bucket(
    name: str | None, needed: bool, status: str, words: str, account: Account
) -> None:
    finding = bridge.run(account.bucket(name, needed=needed, write=True))
    assert finding.status == status
    assert words in finding.text + finding.mend


# --- the network ---


def test_endpoints_that_nobody_listens_at(
    fresh_account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", CLOSED)
    network = Network(fresh_account.clients, limit_seconds=2)
    endpoints, clock = bridge.run(network.endpoints()), bridge.run(network.clock())
    assert (endpoints.status, clock.status) == ("fail", "skip")
    assert "nobody listens" in endpoints.text


def test_the_proxy_between_is_told(fresh_account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://sagemaker.invalid")
    monkeypatch.setenv("HTTP_PROXY", "http://somebody:pass-word@127.0.0.1:9")
    endpoints = bridge.run(Network(fresh_account.clients, limit_seconds=2).endpoints())
    assert endpoints.status == "fail"
    assert endpoints.text.endswith("through 127.0.0.1:9")
    assert "HTTPS_PROXY" in endpoints.mend


def test_a_clock_that_is_wrong(say: Callable[..., Account]) -> None:
    account = say(date="Mon, 01 Jan 2024 00:00:00 GMT")
    clock = bridge.run(Network(account.clients, limit_seconds=5).clock())
    assert (clock.status, "NTP" in clock.mend) == ("fail", True)


def test_flyte_is_reached_over_grpc() -> None:
    import grpc
    from grpc_health.v1 import health, health_pb2_grpc

    server = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    endpoint = f"dns:///127.0.0.1:{port}"
    there = bridge.run(flyte(endpoint, insecure=True, limit_seconds=5))
    server.stop(None).wait()
    gone = bridge.run(flyte(endpoint, insecure=True, limit_seconds=5))
    assert (there.status, gone.status) == ("ok", "fail")
    assert "admin_endpoint" in gone.mend


# --- what a workflow needs ---


@pytest.mark.parametrize(
    ("needs", "status", "words"),
    [
        (None, "skip", "FILE WORKFLOW"),
        (Needs(known_images=2), "ok", "2 of AWS's own"),
        (Needs(images=(IMAGE.replace("us-east-1", "eu-west-1"),)), "fail", "eu-west-1"),
        (Needs(images=("docker.io/own:1",)), "warn", "not in ECR"),
    ],
)
def test_images(needs: Needs | None, status: str, words: str, account: Account) -> None:
    finding = bridge.run(Resources(account, needs).images())
    assert finding.status == status
    assert words in finding.text


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"imageDetails": [{"repositoryName": "own"}]}, "ok"),
        ({"__type": "ImageNotFoundException", "message": "no such image"}, "fail"),
        ({"__type": "AccessDeniedException", "message": "no"}, "warn"),
    ],
)
def test_an_own_image(answer: dict[str, object], status: str, say: Callable[..., Account]) -> None:
    account = say(json.dumps(answer), status=400 if "__type" in answer else 200)
    assert bridge.run(Resources(account, Needs(images=(IMAGE,))).images()).status == status


@pytest.mark.parametrize(("value", "expected"), [(0, "fail"), (1, "fail"), (2, "ok")])
def test_a_quota_has_room_or_the_request_for_more_is_written(
    value: float, expected: str, say: Callable[..., Account]
) -> None:
    quota = {"QuotaName": "ml.g5.xlarge for spot training job usage", "QuotaCode": "L-1"}
    account = say(json.dumps({"Quotas": [{**quota, "Value": value}]}))
    needs = Needs(instances=(Instances("ml.g5.xlarge", "spot training job", 2),))
    quotas = bridge.run(Resources(account, needs).quotas())
    assert quotas.status == expected
    if expected == "fail":
        assert "--quota-code L-1 --desired-value 2" in quotas.mend
