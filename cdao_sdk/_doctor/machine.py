"""This machine: Python, packages, settings, and the embedded SageMaker."""

# botocore ships no types.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tempfile
from importlib import metadata
from typing import TYPE_CHECKING, Any, cast

from cdao_sdk._doctor.findings import failed, first_line, found, skipped, warned
from cdao_sdk.errors import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from cdao_sdk._doctor.findings import Finding
    from cdao_sdk.settings import Settings, SettingsWithSources

__all__ = [
    "disk",
    "embedded",
    "extras",
    "flytekit",
    "namespaces",
    "packages",
    "place",
    "python",
    "region",
    "settings",
]

_PACKAGE = "cdao-sdk"
_SHOWN = ("flytekit", "protobuf", "boto3")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?>=([0-9.]+)(.*)")
_GIGABYTE = 1024**3
_LITTLE_DISK, _NO_DISK = 5 * _GIGABYTE, _GIGABYTE // 2


async def python() -> Finding:
    """Whether this Python is one that the package supports."""
    wanted = metadata.metadata(_PACKAGE)["Requires-Python"] or ""
    here = sys.version_info[:3]
    text = ".".join(map(str, here))
    if fits(text, wanted):
        return found("python", text)
    return failed("python", f"{text}; supported is {wanted}", "use a Python of that range")


def fits(version: str, rule: str) -> bool:
    """Whether a version keeps a rule of ``>=`` and ``<`` parts.

    Example:
        >>> fits("3.11.7", "<3.13,>=3.10"), fits("3.13.0", "<3.13,>=3.10")
        (True, False)
    """
    for part in filter(None, (part.strip() for part in rule.split(","))):
        match = re.fullmatch(r"(>=|<)\s*([0-9.]+)", part)
        if match is None:
            continue  # no part of our own rules; pip has checked it
        is_below = _parts(version) < _parts(match[2])
        if is_below != (match[1] == "<"):
            return False
    return True


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


async def packages() -> Finding:
    """Whether what is installed is new enough."""
    problems: list[str] = []
    for line in metadata.requires(_PACKAGE) or ():
        match = _REQUIREMENT.fullmatch(line)
        if match is None or match[3]:
            continue  # extras, and what other Pythons need
        installed = _version(match[1])
        if installed is None:
            problems.append(f"{match[1]} is missing")
        elif not fits(installed, f">={match[2]}"):
            problems.append(f"{match[1]} {installed} is older than {match[2]}")
    shown = ", ".join(f"{name} {_version(name)}" for name in (_PACKAGE, *_SHOWN))
    if problems:
        return failed("packages", "; ".join(problems), f"pip install --upgrade {_PACKAGE}")
    return found("packages", shown)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


async def _child(code: str) -> tuple[int | None, str, str]:
    """Run Python code in a process of its own: its exit code and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        written = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    stdout, stderr = (text.decode(errors="replace").strip() for text in written)
    return process.returncode, stdout, stderr


async def flytekit() -> Finding:
    """Whether flytekit loads: a protobuf that is too old or too new keeps it from that."""
    code, _, error = await _child("import flytekit, flyteidl.core.tasks_pb2")
    if code == 0:
        return found("flytekit", "it loads, with this protobuf")
    last = (error.splitlines() or ["no message"])[-1]
    mend = "make a fresh virtual environment, and install cdao-sdk there first"
    return failed("flytekit", f"it does not load: {last}", mend)


async def settings(gathered: SettingsWithSources) -> Finding:
    """What is set, and where; that the settings are valid has been seen by then."""
    named = [
        f"{name} ({source.removeprefix('environment ')})"
        for name, source in gathered.sources.items()
        if source != "default"
    ]
    return found("settings", ", ".join(named) or "all at their defaults")


async def place(settings: Settings, *, is_embedded: bool) -> Finding:
    """Where jobs run."""
    if settings.admin_endpoint:
        where = f"AWS ({settings.region_name}), by Flyte at {settings.admin_endpoint}"
    elif settings.endpoint_url:
        where = f"the endpoint {settings.endpoint_url}"
    elif is_embedded:
        where = "the SageMaker that is built in; no AWS account is needed"
    else:
        where = f"AWS ({settings.region_name}), the workflow in this process"
    return found("runs on", where)


async def region(name: str) -> Finding:
    """Whether botocore knows SageMaker in that region; it may be older than the region."""
    from botocore.session import get_session

    session = cast("Any", get_session())
    known: list[str] = [
        each
        for partition in session.get_available_partitions()
        for each in session.get_available_regions("sagemaker", partition)
    ]
    if name in known:
        return found("region", name)
    mend = "correct region= or CDAO_REGION; for a region that is new: pip install --upgrade boto3"
    text = f"no region {name!r} with SageMaker is known to botocore.{did_you_mean(name, known)}"
    return warned("region", text, mend)


# --- the embedded SageMaker ---


async def disk(state: Path) -> Finding:
    """Whether the state directory can be written and has room."""
    try:
        await asyncio.to_thread(_write, state)
    except OSError as error:
        text = f"{state} cannot be written: {error.strerror}"
        return failed("state", text, "name another folder: CDAO_STATE_DIR=… or state_dir=")
    free = shutil.disk_usage(state).free
    text = f"{state}, {free / _GIGABYTE:.0f} GB free"
    if free < _NO_DISK:
        return failed("state", text, f"free some space, or remove old runs below {state}")
    if free < _LITTLE_DISK:
        return warned("state", text, f"data and models are copied there; free some of {state}")
    return found("state", text)


def _write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


async def namespaces() -> Finding:
    """Whether jobs here see their own ``/opt/ml``."""
    # In a process of its own: what is tried cannot be taken back.
    code, reason, _ = await _child("from cdao_sdk.local.sandbox import enter; print(enter() or '')")
    if code == 0 and not reason:
        return found("/opt/ml", "each job has its own")
    text = f"jobs cannot have their own: {reason or 'the attempt died'}"
    mend = "use the paths of current_job(), or SageMaker's SM_* variables, instead of /opt/ml"
    return warned("/opt/ml", text, mend)


async def embedded(settings: Settings) -> Finding:
    """Whether the embedded SageMaker starts and answers."""
    from cdao_sdk._connect import connect
    from cdao_sdk.aws.calls import call
    from cdao_sdk.errors import CdaoError

    try:
        services = await asyncio.to_thread(connect, settings)
    except OSError as error:
        text = f"it cannot be started: {first_line(error)}"
        return failed("server", text, "see whether this machine allows servers on 127.0.0.1")
    url = services.clients.target.endpoint_url or ""
    try:
        await call(services.clients, "sts", "GetCallerIdentity", {})
    except CdaoError as error:
        mend = "start it with `cdao local start`, or unset endpoint_url"
        return failed("server", first_line(error), mend)
    return found("server", f"it answers at {url}")


async def extras() -> Finding:
    """Whether jobs here may call services beside SageMaker, S3 and Logs."""
    if _version("moto") is None:
        text = "IAM, STS and other services are not there for jobs on this machine"
        return skipped("extras", f"{text}; `pip install 'cdao-sdk[local]'` adds them")
    return found("extras", f"moto {_version('moto')} answers for AWS's other services")
