"""`cdao connector config` and `manifest`; `serve` is tested in tests/flyte/serving."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    Cdao = Callable[..., subprocess.CompletedProcess[str]]


def test_config_is_yaml_for_so_many_jobs(cdao: Cdao) -> None:
    done = cdao("connector", "config", "--jobs", "5000", "--resync", "60", "--tls")
    assert (done.returncode, done.stderr) == (0, "")
    plugin = yaml.safe_load(done.stdout)["plugins"]["connector-service"]
    assert plugin["webApi"]["caching"]["resyncInterval"] == "60s"
    assert plugin["connectors"]["cdao"]["insecure"] is False


def test_manifest_takes_settings(cdao: Cdao) -> None:
    arguments = ["--image", "a/b:1", "--env", "CDAO_REGION=eu-west-1", "--env", "X=a=b"]
    done = cdao("connector", "manifest", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    deployment = list(yaml.safe_load_all(done.stdout))[-1]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "X", "value": "a=b"} in container["env"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("config", "--endpoint", "https://x:1"), "no http://"),
        (("config", "--jobs", "0"), "--jobs"),
        (("manifest",), "--image"),
        (("manifest", "--image", "a", "--env", "X"), "is not NAME=VALUE"),
        (("serve", "--tls-cert", "x.pem"), "both --tls-cert and --tls-key"),
        (("serve", "--port", "70000"), "--port"),
    ],
)
def test_wrong_arguments_are_exit_code_2(
    cdao: Cdao, arguments: tuple[str, ...], words: str
) -> None:
    done = cdao("connector", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_writing_files_loads_no_flytekit() -> None:
    code = (
        "import sys\nfrom cdao_sdk.cli import main\n"
        "try: main(['connector', 'config'])\nexcept SystemExit: pass\n"
        "print(sorted({'flytekit', 'grpc', 'botocore'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
