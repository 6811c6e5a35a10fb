"""The hosts of one job: a folder, a log and a process each."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import signal
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cdao_sdk.local.execution.console import Console
from cdao_sdk.local.execution.opt_ml import OptMl
from cdao_sdk.local.process_usage import UsageLog
from cdao_sdk.local.processes import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from cdao_sdk.local.execution.console import MetricDefinition
    from cdao_sdk.local.execution.context import Context
    from cdao_sdk.local.processes import ExitStatus, GroupExit, StopFlag

_OUT_OF_MEMORY = (
    "AlgorithmError: Please use an instance type with more memory, or reduce the size of job data "
    "processed on an instance., exit code: 137"
)


_FIRST_ADDRESS = ipaddress.IPv4Address("127.64.0.1")
_ADDRESS_BLOCKS = 1 << 14  # of 256 addresses each
_HOSTS_FILE = Path("/etc/hosts")


@dataclass(frozen=True)
class Host:
    """One host of a job.

    Attributes:
        name: `algo-1`, `algo-2`, …
        address: its own loopback address, so that all hosts can listen on the same port.
        opt_ml: its `/opt/ml`.
        console: what it prints.
        usage: what its processes use.
    """

    name: str
    address: str
    opt_ml: OptMl
    console: Console
    usage: UsageLog


@contextlib.contextmanager
def hosts_of(
    context: Context, names: Sequence[str], definitions: Iterable[MetricDefinition] = ()
) -> Generator[list[Host]]:
    """Folders and logs for hosts called `names`, in which processes may now be run.

    What the logs lack at the end is written when the block is left.
    """
    refusal = context.processes.sandbox_refusal()
    definitions = list(definitions)
    with contextlib.ExitStack() as logs:
        hosts: list[Host] = []
        for name, address in addresses(context, names).items():
            console = Console(context.log.open(name), definitions)
            logs.callback(console.close)
            opt_ml = OptMl(context.work / name, mounted=refusal is None)
            usage = UsageLog(context.job.directory / "usage" / f"{name}.log")
            hosts.append(Host(name, address, opt_ml, console, usage))
            if refusal is not None:
                console.note(
                    f"/opt/ml cannot be mounted here ({refusal}): code that names /opt/ml "
                    "literally will not find it; use SM_MODEL_DIR and the other SM_* variables, "
                    f"or current_job(). It is {opt_ml.root}"
                )
        yield hosts


def host_names(count: int) -> list[str]:
    """`algo-1` … `algo-<count>`."""
    return [f"algo-{number}" for number in range(1, count + 1)]


def addresses(context: Context, names: Sequence[str]) -> dict[str, str]:
    """A loopback address for each host, other ones for each job.

    All of 127.0.0.0/8 is this machine on Linux; elsewhere only 127.0.0.1 is.
    """
    if not sys.platform.startswith("linux"):
        return dict.fromkeys(names, "127.0.0.1")
    block = zlib.crc32(str(context.job.directory).encode()) % _ADDRESS_BLOCKS
    first = _FIRST_ADDRESS + block * 256
    return {name: str(first + number) for number, name in enumerate(names)}


def _name_service(context: Context, hosts: Sequence[Host]) -> tuple[Path | None, dict[str, str]]:
    """How the hosts find each other by name: an /etc/hosts, or a variable for the script runtime.

    The variable is `CDAO_HOSTS`, a JSON object of names and addresses; only where nothing can be
    mounted, for other programs do not know it.
    """
    if not hosts[0].opt_ml.mounted:
        return None, {"CDAO_HOSTS": json.dumps({host.name: host.address for host in hosts})}
    file = context.work / "hosts"
    known = _HOSTS_FILE.read_text(encoding="utf-8") if _HOSTS_FILE.is_file() else ""
    lines = [f"{host.address}\t{host.name}\n" for host in hosts]
    file.write_text("".join([*lines, known]), encoding="utf-8")
    return file, {}


def run_hosts(
    context: Context,
    hosts: Sequence[Host],
    arguments: Sequence[str],
    environment: Callable[[Host], Mapping[str, str]],
    *,
    directory: str,
    timeout_seconds: float | None = None,
    stop: StopFlag | None = None,
    inherited: Sequence[int] = (),
) -> GroupExit:
    """Run the same command on each host, until all have ended.

    Args:
        context: the job.
        hosts: where to run it.
        arguments: program and arguments.
        environment: a host's variables.
        directory: working directory, `/opt/ml/…`.
        timeout_seconds: the job's longest run; None for no limit.
        stop: ends them early; the job's own flag unless given.
        inherited: file descriptors for the program at 3, 4, …
    """
    hosts_file, variables = _name_service(context, hosts)
    commands = [
        Command(
            arguments=[host.opt_ml.seen(argument) for argument in arguments],
            environment={**environment(host), **variables},
            directory=Path(host.opt_ml.seen(directory)),
            opt_ml=host.opt_ml.mount,
            inherited=inherited,
            hosts_file=hosts_file,
        )
        for host in hosts
    ]
    return context.processes.run(
        commands,
        [host.console.write for host in hosts],
        stop=stop or context.stop,
        timeout_seconds=timeout_seconds,
        usages=[host.usage for host in hosts],
    )


def reason_of(status: ExitStatus) -> str | None:
    """The FailureReason of an end that the job itself cannot have explained; None for others."""
    if status.error is not None and status.code == 127:
        return f"AlgorithmError: {status.error}, exit code: 127"
    if status.error is not None:
        return f"InternalServerError: {status.error}"
    return _OUT_OF_MEMORY if status.signal == signal.SIGKILL else None
