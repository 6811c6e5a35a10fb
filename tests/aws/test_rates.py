"""How often AWS's APIs are called, by a clock that the test turns."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import REGISTRY

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.calls import call
from cdao_sdk.aws.rates import Rates, shared_rates
from cdao_sdk.aws.session import AwsClients, AwsTarget, embedded_target
from cdao_sdk.catalog.api_rates import OPERATIONS, RATES, Rate
from cdao_sdk.errors import ConfigurationError, NotFound, ResourcesUnavailable
from cdao_sdk.kinds.registry import KINDS
from cdao_sdk.settings import gather

if TYPE_CHECKING:
    from cdao_sdk.flyte.services import Services

CREATE = "CreateTrainingJob"
LIMIT = {CREATE: Rate(5, 10)}


class Clock:
    """Stands still until somebody sleeps, or the test turns it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rates(clock: Clock) -> Rates:
    return Rates(defaults=LIMIT, clock=clock, sleep=clock.sleep)


def acquire(rates: Rates, times: int = 1, at_most_seconds: float = 60) -> None:
    async def run() -> None:
        for _ in range(times):
            await rates.acquire(CREATE, at_most_seconds=at_most_seconds)

    asyncio.run(run())


def test_burst_passes_at_once_and_the_rest_at_the_rate(rates: Rates, clock: Clock) -> None:
    acquire(rates, 10)
    assert clock.slept == []
    acquire(rates, 3)
    assert clock.slept == pytest.approx([0.2, 0.4, 0.6])


def test_rested_bucket_is_full_again(rates: Rates, clock: Clock) -> None:
    acquire(rates, 13)
    clock.now += 100
    clock.slept.clear()
    acquire(rates, 10)
    assert clock.slept == []


def test_wait_that_is_too_long_is_refused_and_takes_no_turn(rates: Rates, clock: Clock) -> None:
    acquire(rates, 15, at_most_seconds=1)
    for _ in range(100):
        with pytest.raises(ResourcesUnavailable, match=r"next turn is in 1\.2 s") as caught:
            acquire(rates, at_most_seconds=1)
        assert caught.value.code == "ClientRateLimit"
        assert "api_rates" in str(caught.value)
    clock.now += 0.2
    acquire(rates, at_most_seconds=1)


def test_operations_do_not_share_their_turns(rates: Rates) -> None:
    rates.configure({"CreateProcessingJob": 1})
    acquire(rates, 10, at_most_seconds=0)
    asyncio.run(rates.acquire("CreateProcessingJob", at_most_seconds=0))


def test_operation_without_a_rate_never_waits(rates: Rates, clock: Clock) -> None:
    async def many() -> None:
        for _ in range(1000):
            await rates.acquire("PutObject", at_most_seconds=0)

    asyncio.run(many())
    assert clock.slept == []
    assert rates.allowed("PutObject") is None


@pytest.mark.parametrize("none", [0, None])
def test_set_rate_replaces_the_default(rates: Rates, none: float | None) -> None:
    rates.configure({CREATE: 2.5})
    assert rates.allowed(CREATE) == 2.5
    rates.configure({CREATE: none})
    assert rates.allowed(CREATE) is None
    rates.configure({})
    assert rates.allowed(CREATE) == 5


def test_same_configuration_again_keeps_what_was_learnt(rates: Rates) -> None:
    rates.configure({CREATE: 4})
    rates.throttled(CREATE)
    rates.configure({CREATE: 4})
    assert rates.allowed(CREATE) == 2


def test_throttling_halves_the_rate_and_empties_the_bucket(rates: Rates, clock: Clock) -> None:
    rates.throttled(CREATE)
    assert rates.allowed(CREATE) == 2.5
    acquire(rates, 2)
    assert clock.slept == pytest.approx([0.4, 0.8])


def test_calls_that_are_throttled_together_halve_it_once(rates: Rates, clock: Clock) -> None:
    for _ in range(10):
        rates.throttled(CREATE)
    assert rates.allowed(CREATE) == 2.5
    clock.now += 1
    rates.throttled(CREATE)
    assert rates.allowed(CREATE) == 1.25


def test_throttling_leaves_a_least_rate(rates: Rates, clock: Clock) -> None:
    for _ in range(50):
        rates.throttled(CREATE)
        clock.now += 1
    assert rates.allowed(CREATE) == 5 / 16


def test_successes_raise_a_lowered_rate_up_to_what_is_set(rates: Rates) -> None:
    rates.throttled(CREATE)
    rates.passed(CREATE)
    assert rates.allowed(CREATE) == pytest.approx(2.6)
    for _ in range(100):
        rates.passed(CREATE)
    assert rates.allowed(CREATE) == 5


def test_loops_and_threads_share_the_rate(rates: Rates, clock: Clock) -> None:
    threads = [threading.Thread(target=acquire, args=(rates, 5)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(clock.slept) == pytest.approx([0.2 * number for number in range(1, 11)])


def test_every_operation_of_a_job_kind_has_a_rate() -> None:
    for kind in KINDS.values():
        api = kind.api
        assert {api.create, api.describe, api.stop, api.list} <= RATES.keys()
    assert RATES["ListTrainingJobs"].per_second == 2
    assert RATES.keys() < OPERATIONS


def test_rates_are_shared_by_account_and_region() -> None:
    role = "arn:aws:iam::{}:role/{}".format
    first, second = (AwsTarget("eu-west-1", role_arn=role("1" * 12, name)) for name in "ab")
    other = AwsTarget("eu-west-1", role_arn=role("2" * 12, "a"))
    assert shared_rates(first) is shared_rates(second)
    assert AwsClients(first).rates is shared_rates(first)
    assert shared_rates(first) is not shared_rates(other)
    assert shared_rates(AwsTarget("eu-west-1")) is not shared_rates(AwsTarget("eu-west-2"))


def test_embedded_one_has_only_the_limits_that_are_set() -> None:
    rates = shared_rates(embedded_target("http://127.0.0.1:9", "eu-west-9"))
    assert rates.allowed(CREATE) is None
    rates.configure({CREATE: 3})
    assert rates.allowed(CREATE) == 3
    rates.configure({})
    assert shared_rates(AwsTarget("eu-west-9")).allowed(CREATE) == 5


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_calls_are_counted_timed_and_paced(proxied: Services, proxy: Any) -> None:
    labels = {"service": "sagemaker", "operation": "DescribeTrainingJob"}
    proxied.clients.rates.configure({"DescribeTrainingJob": 0.0001})
    missing = {**labels, "code": "NotFound"}
    unsent = {**labels, "code": "ClientRateLimit"}
    before = [counted("cdao_aws_calls_total", **each) for each in (missing, unsent)]
    timed = counted("cdao_aws_call_seconds_count", **labels)

    def describe() -> None:
        request = {"TrainingJobName": "no-such-job"}
        bridge.run(call(proxied.clients, *labels.values(), request, at_most_seconds=1), timeout=30)

    for _ in range(5):
        with pytest.raises(NotFound):
            describe()
        if counted("cdao_aws_calls_total", **missing) - before[0] == 1:
            break
    with pytest.raises(ResourcesUnavailable, match="was not sent"):
        describe()
    assert counted("cdao_aws_calls_total", **missing) == before[0] + 1
    assert counted("cdao_aws_calls_total", **unsent) == before[1] + 1
    assert counted("cdao_aws_call_seconds_count", **labels) == timed + 1
    assert proxy.seen == ["DescribeTrainingJob"]


def test_throttled_call_lowers_its_rate(proxied: Services, proxy: Any) -> None:
    rates = proxied.clients.rates
    rates.configure({"ListModels": 100})
    labels = {"service": "sagemaker", "operation": "ListModels"}
    before = counted("cdao_aws_throttled_total", **labels)
    proxy.refusals["ListModels"] = "ThrottlingException"
    with pytest.raises(ResourcesUnavailable):
        bridge.run(call(proxied.clients, *labels.values(), {}))
    assert rates.allowed("ListModels") == 50
    assert counted("cdao_aws_throttled_total", **labels) == before + 1
    shown = {"account": "", "region": "us-east-1", "operation": "ListModels"}
    assert counted("cdao_aws_rate", **shown) == 50
    del proxy.refusals["ListModels"]
    bridge.run(call(proxied.clients, *labels.values(), {}))
    assert rates.allowed("ListModels") == 52


@pytest.mark.parametrize("code", ["ResourceLimitExceeded", "CapacityError"])
def test_quota_is_no_throttling(code: str, proxied: Services, proxy: Any) -> None:
    proxied.clients.rates.configure({"ListModels": 100})
    proxy.refusals["ListModels"] = code
    with pytest.raises(ResourcesUnavailable):
        bridge.run(call(proxied.clients, "sagemaker", "ListModels", {}))
    assert proxied.clients.rates.allowed("ListModels") == 100


def test_metrics_are_made_once_however_often_they_are_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = importlib.import_module("cdao_sdk.aws.metrics").aws_metrics()
    monkeypatch.delitem(sys.modules, "cdao_sdk.aws.metrics")
    again = importlib.import_module("cdao_sdk.aws.metrics").aws_metrics()
    assert again.calls is first.calls
    assert again.seconds is first.seconds
    assert again.rate is first.rate


@pytest.mark.parametrize(
    ("rates", "problem"),
    [
        ({"CreateTrainingJobs": 2}, "Did you mean 'CreateTrainingJob'"),
        ({CREATE: -1}, "greater than or equal to 0"),
        ({CREATE: "fast"}, "number"),
        ({CREATE: float("inf")}, "finite"),
    ],
)
def test_malformed_rate_is_refused(rates: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        gather({"api_rates": rates})


def test_rates_of_the_environment_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAO_API_RATES", '{"CreateTrainingJob": 2.5, "GetLogEvents": null}')
    assert gather().settings.api_rates == {CREATE: 2.5, "GetLogEvents": None}
