from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from rich.console import Console

from cdao_sdk._doctor.diagnosis import Diagnosis
from cdao_sdk._doctor.findings import failed, found, skipped, warned
from cdao_sdk.cli.doctor_view import show

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Cdao = Callable[..., subprocess.CompletedProcess[str]]


def test_all_is_well_is_exit_code_0(cdao: Cdao, endpoint: dict[str, str]) -> None:
    done = cdao("doctor", "--json", **endpoint)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["ok"] is True
    assert {check["status"] for check in document["checks"]} <= {"ok", "skip"}


def test_the_needs_of_a_workflow_are_checked_without_its_inputs(cdao: Cdao, flow: str) -> None:
    environment = {
        "CDAO_SAGEMAKER_BACKEND": "aws",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",  # nobody listens
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "not-to-be-shown",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    done = cdao("doctor", flow, "good", "--json", **environment)
    assert done.returncode == 1  # role and bucket are not set
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["workflow"]["status"] == "ok"
    assert checks["images"]["text"] == "1 of AWS's own"
    assert checks["role"]["status"] == checks["bucket"]["status"] == "fail"
    assert "not-to-be-shown" not in done.stdout + done.stderr


def test_a_file_without_its_workflow_is_exit_code_2(cdao: Cdao, flow: str) -> None:
    done = cdao("doctor", flow)
    assert done.returncode == 2
    assert "WORKFLOW" in done.stderr


def test_each_mend_stands_below_its_finding() -> None:
    findings = (
        found("python", "3.11"),
        failed("role", "no role", "configure(sagemaker_role=…)"),
        warned("clock", "90 s behind", "set the clock by NTP"),
        skipped("quotas", "name a workflow"),
    )
    text = io.StringIO()
    show(Diagnosis(findings), Console(file=text, width=80, color_system=None))
    assert text.getvalue().splitlines() == [
        "✔ python  3.11",
        "✖ role    no role",
        "          → configure(sagemaker_role=…)",
        "! clock   90 s behind",
        "          → set the clock by NTP",
        "- quotas  name a workflow",
        "",
        "1 to mend, 1 to look at.",
    ]
