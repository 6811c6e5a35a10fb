"""The process that replicas of the connector are forked from, with all they need already loaded.

A line on its standard input is a command: ``start <index>`` or ``kill <index>``. A line on its
standard output is an event: ``ready``, ``started <index> <pid>``, ``killed <index> <status>``,
where a status other than -9 says that the replica had died by itself.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """Obey until the input ends."""
    options = json.loads(sys.argv[1])
    _load()
    replicas: dict[int, int] = {}
    _say("ready")
    for line in sys.stdin:
        verb, index = line.split()[0], int(line.split()[1])
        if verb == "start":
            sys.stdout.flush()
            replicas[index] = os.fork() or _live(options, index)
            _say(f"started {index} {replicas[index]}")
        else:
            _say(f"killed {index} {_end(replicas.pop(index))}")
    for pid in replicas.values():
        _end(pid)


def _say(event: str) -> None:
    print(event, flush=True)  # noqa: T201 # to whoever has started this


def _end(pid: int) -> int:
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _load() -> None:
    """Import what a replica imports, and read what it reads."""
    import flytekit
    import flytekit.extend.backend.connector_service  # noqa: F401

    import cdao_sdk.flyte.allow_list
    import cdao_sdk.flyte.job_desk
    import cdao_sdk.flyte.outcome
    import cdao_sdk.flyte.reaper
    import cdao_sdk.flyte.serving.server
    import cdao_sdk.flyte.serving.service  # noqa: F401
    from cdao_sdk.aws.session import AwsClients, embedded_target

    async def open_clients() -> None:
        clients = AwsClients(embedded_target("http://127.0.0.1:1"))
        for service in ("sagemaker", "s3", "logs"):
            await clients.client(service)
        await clients.close()

    asyncio.run(open_clients())
    gc.collect()
    gc.freeze()  # what is loaded is not walked by each replica's collector


def _live(options: dict[str, object], index: int) -> int:
    """Be a replica until the end."""
    file = f"{options['folder']}/replica-{index}.log"
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    devnull = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((devnull, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    code = 1
    try:
        _serve(options, index)
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def _serve(options: dict[str, object], index: int) -> None:
    from cdao_sdk.flyte.serving.logs import configure_logs
    from cdao_sdk.flyte.serving.server import ConnectorServer, ServerOptions
    from cdao_sdk.flyte.serving.service import served_connectors

    configure_logs("text", str(options["log_level"]))
    over = Path(str(options["over"]))

    async def is_over(_project: str, _domain: str, execution: str) -> bool:
        return (over / execution).exists()

    for served in served_connectors().values():
        reaper = served.connector.reaper
        reaper.pause_seconds = float(str(options["pause_seconds"]))
        reaper.unasked_seconds = float(str(options["unasked_seconds"]))
        reaper.mark_seconds = float(str(options["mark_seconds"]))
        reaper.is_over = is_over
    ports = options["ports"]
    assert isinstance(ports, list)
    server = ConnectorServer(ServerOptions(port=int(ports[index]), metrics_port=0))
    asyncio.run(server.run())


if __name__ == "__main__":
    main()
