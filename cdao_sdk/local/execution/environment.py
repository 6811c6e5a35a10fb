"""A job's environment variables: nothing of the server's own but an allow-list."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdao_sdk.local.execution.context import Context
    from cdao_sdk.local.execution.opt_ml import OptMl

_PASSED_ON = ("HOME", "LANG", "TZ", "USER", "LOGNAME", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "TMPDIR")
_PASSED_ON_PREFIXES = ("LC_",)
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


def job_environment(
    context: Context, opt_ml: OptMl, own: Mapping[str, str], parent: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The variables of any job's process.

    Args:
        context: the job.
        opt_ml: its host's folder.
        own: what the request says under `Environment`; it wins over all but AWS's credentials.
        parent: the environment of the server.
    """
    environment = {
        name: value
        for name, value in parent.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    # So that `python3` is the interpreter that runs the SDK, with the packages installed there.
    interpreter = str(Path(sys.executable).parent)
    environment["PATH"] = f"{interpreter}{os.pathsep}{parent.get('PATH', _DEFAULT_PATH)}"
    environment["PYTHONUNBUFFERED"] = "1"
    if opt_ml.mounted:
        environment["TMPDIR"] = "/opt/ml/tmp"  # removed with the job, and short enough for sockets
    else:
        environment["CDAO_OPT_ML"] = str(opt_ml.root)
    environment |= {name: opt_ml.seen(value) for name, value in own.items()}
    return environment | _aws(context)


def toolkit_environment(
    context: Context,
    opt_ml: OptMl,
    *,
    host: str,
    hosts: Sequence[str],
    configuration: Mapping[str, object],
    hyperparameters: Mapping[str, object],
    channels: Sequence[str],
) -> dict[str, str]:
    """The SM_* variables of the SageMaker training toolkit.

    Source: ENVIRONMENT_VARIABLES.md of aws/sagemaker-training-toolkit.

    Args:
        context: the job.
        opt_ml: its host's folder.
        host: this host's name.
        hosts: all hosts' names, the lead host first.
        configuration: `resource` and `inputs` as they stand in /opt/ml/input/config.
        hyperparameters: the user's, decoded, without those for SageMaker itself.
        channels: names of the input channels.
    """
    seen = opt_ml.seen
    values: dict[str, object] = {
        "SM_HOSTS": list(hosts),
        "SM_CURRENT_HOST": host,
        "SM_NETWORK_INTERFACE_NAME": "lo",
        "SM_RESOURCE_CONFIG": configuration["resource"],
        "SM_INPUT_DATA_CONFIG": configuration["inputs"],
        "SM_CHANNELS": sorted(channels),
        "SM_HPS": hyperparameters,
        "SM_USER_ARGS": arguments_of(hyperparameters),
        "SM_NUM_CPUS": os.cpu_count() or 1,
        "SM_NUM_GPUS": 0,
        "SM_NUM_NEURONS": 0,
        "SM_LOG_LEVEL": 20,
        "SM_MODEL_DIR": seen("/opt/ml/model"),
        "SM_INPUT_DIR": seen("/opt/ml/input"),
        "SM_INPUT_CONFIG_DIR": seen("/opt/ml/input/config"),
        "SM_OUTPUT_DIR": seen("/opt/ml/output"),
        "SM_OUTPUT_DATA_DIR": seen("/opt/ml/output/data"),
        "SM_OUTPUT_INTERMEDIATE_DIR": seen("/opt/ml/output/intermediate"),
    }
    paths = {channel: seen(f"/opt/ml/input/data/{channel}") for channel in channels}
    values["SM_TRAINING_ENV"] = {
        name.removeprefix("SM_").lower(): value for name, value in values.items()
    } | {
        "job_name": context.job.name,
        "hyperparameters": hyperparameters,
        "channel_input_dirs": paths,
        "is_master": host == hosts[0],
        "master_hostname": hosts[0],
    }
    values |= {f"SM_CHANNEL_{channel.upper()}": path for channel, path in paths.items()}
    values |= {f"SM_HP_{name.upper()}": value for name, value in hyperparameters.items()}
    return {name: as_text(value) for name, value in values.items()}


def decoded(hyperparameters: Mapping[str, str]) -> dict[str, object]:
    """Hyperparameters as the toolkit reads them: each value is JSON if it can be."""
    return {name: _decoded(value) for name, value in hyperparameters.items()}


def arguments_of(hyperparameters: Mapping[str, object]) -> list[str]:
    """Hyperparameters as a script's command line, as the toolkit makes it."""
    words: list[str] = []
    for name, value in sorted(hyperparameters.items()):
        words += [f"--{name}" if len(name) > 1 else f"-{name}", as_text(value, plain=True)]
    return words


def as_text(value: object, *, plain: bool = False) -> str:
    """A value as a variable or (`plain`) as an argument, where Python's own spelling is used."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return str(value) if plain else json.dumps(value, sort_keys=True)


def _decoded(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _aws(context: Context) -> dict[str, str]:
    """Only this server, with credentials that are worth nothing anywhere else."""
    return {
        "AWS_ENDPOINT_URL": context.job.endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": context.job.region,
        "AWS_DEFAULT_REGION": context.job.region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
