"""One client for each service and loop, shared by all who call."""

from __future__ import annotations

import asyncio
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.calls import call
from cdao_sdk.aws.session import AwsClients, AwsTarget, embedded_target, shared_clients
from cdao_sdk.errors import SubmissionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.local.server import LocalSageMaker


def test_client_of_a_service_is_shared(clients: AwsClients) -> None:
    first, second = (bridge.run(clients.client("sagemaker")) for _ in range(2))
    assert first is second
    assert first is not bridge.run(clients.client("s3"))


def test_concurrent_first_use_makes_one_client(
    embedded: LocalSageMaker, clients_of: Callable[[str], AwsClients]
) -> None:
    clients = clients_of(embedded.url)

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: bridge.run(clients.client("logs")), range(8)))
    assert len({id(client) for client in made}) == 1


def test_each_loop_has_its_own_client(embedded: LocalSageMaker) -> None:
    clients = AwsClients(embedded_target(embedded.url))

    async def use() -> object:
        client = await clients.client("sagemaker")
        await call(clients, "sagemaker", "ListModels", {})
        await clients.close()
        return client

    first, second = asyncio.run(use()), asyncio.run(use())
    assert first is not second
    assert len(clients._pools) == 0


def test_closed_clients_are_made_anew_at_the_next_use(
    embedded: LocalSageMaker, clients_of: Callable[[str], AwsClients]
) -> None:
    clients = clients_of(embedded.url)
    before = bridge.run(clients.client("sagemaker"))
    bridge.run(clients.close())
    bridge.run(clients.close())
    assert bridge.run(clients.client("sagemaker")) is not before


def test_closing_while_a_client_is_being_made_leaves_none(embedded: LocalSageMaker) -> None:
    clients = AwsClients(embedded_target(embedded.url))

    async def close_at_once() -> None:
        opening = asyncio.ensure_future(clients.client("sagemaker"))
        await asyncio.sleep(0)
        await clients.close()
        with pytest.raises(asyncio.CancelledError):
            await opening

    asyncio.run(close_at_once())


def test_client_that_could_not_be_made_is_tried_again(
    embedded: LocalSageMaker,
    clients_of: Callable[[AwsTarget], AwsClients],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clients = clients_of(embedded_target(embedded.url))
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(SubmissionError, match="no-such-profile"):
        bridge.run(call(clients, "sagemaker", "ListModels", {}))
    monkeypatch.delenv("AWS_PROFILE")
    assert "Models" in bridge.run(call(clients, "sagemaker", "ListModels", {}))


def test_same_target_has_the_same_clients() -> None:
    target = embedded_target("http://127.0.0.1:9", "eu-west-1")
    assert shared_clients(target) is shared_clients(
        embedded_target("http://127.0.0.1:9", "eu-west-1")
    )
    assert shared_clients(target) is not shared_clients(embedded_target("http://127.0.0.1:9"))


def test_secrets_are_not_shown() -> None:
    target = AwsTarget("eu-west-1", None, "AKIDEXAMPLE", "the-secret")
    assert "the-secret" not in f"{target!r} {target} {AwsClients(target)!r}"
    assert "AKIDEXAMPLE" in repr(target)


def test_only_the_embedded_one_is_embedded() -> None:
    assert embedded_target("http://127.0.0.1:9").is_embedded
    assert not AwsTarget("eu-west-1").is_embedded
    assert not AwsTarget("eu-west-1", "https://vpce.example.com").is_embedded


def test_proxy_of_the_environment_is_not_asked_for_this_machines_own_server(
    embedded: LocalSageMaker,
    clients_of: Callable[[str], AwsClients],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    clients = clients_of(embedded.url)
    assert "Models" in bridge.run(call(clients, "sagemaker", "ListModels", {}))


@pytest.mark.parametrize(
    "ending",
    ["bridge.run(clients.close())", ""],
    ids=["closed", "left to the end of the process"],
)
def test_nothing_is_left_open(
    ending: str,
    embedded: LocalSageMaker,
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    code = (
        "import gc, sys; from cdao_sdk.aws.bridge import bridge\n"
        "from cdao_sdk.aws.calls import call\n"
        "from cdao_sdk.aws.session import embedded_target, shared_clients\n"
        "clients = shared_clients(embedded_target(sys.argv[1]))\n"
        "print(sorted(bridge.run(call(clients, 'sagemaker', 'ListModels', {'MaxResults': 1}))))\n"
        f"{ending}\n"
        "gc.collect()\n"
    )
    done = run_python(code, embedded.url)
    assert done.stderr == ""
    assert "'Models'" in done.stdout


def test_models_of_services_are_read_once_a_process(
    embedded: LocalSageMaker, clients_of: Callable[[str], AwsClients]
) -> None:
    first, second = (clients_of(embedded.url) for _ in range(2))

    async def models(clients: AwsClients) -> object:
        return (await clients.client("sagemaker")).meta.service_model._service_description

    assert bridge.run(models(first)) is bridge.run(models(second))
