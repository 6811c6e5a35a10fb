from __future__ import annotations

import inspect
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS = [
    "",
    "demo",
    "run",
    "plan",
    "jobs",
    "monitor",
    "logs",
    "register",
    "report",
    "stop",
    "local",
    "local start",
    "local status",
    "local stop",
    "connector",
    "connector config",
    "connector manifest",
    "connector serve",
    "config",
    "config show",
    "doctor",
]
HEAVY = {
    "IPython",
    "aiobotocore",
    "boto3",
    "botocore",
    "flytekit",
    "moto",
    "pandas",
    "pydantic",
    "yaml",
}


def test_help_of_every_command_is_light_and_has_an_example() -> None:
    code = f"""
import contextlib, io, sys
from cdao_sdk.cli import main
for command in {COMMANDS!r}:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        main([*command.split(), "--help"])
    assert "Example" in text.getvalue(), command
    assert "cdao " + command in text.getvalue(), command
print(*sorted({HEAVY!r} & set(sys.modules)))
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == []


def test_every_command_is_in_the_list() -> None:
    from cdao_sdk.cli.app import cli

    found = {""}
    for name, command in cli.commands.items():
        found |= {name, *(f"{name} {inner}" for inner in getattr(command, "commands", {}))}
    assert found == set(COMMANDS)


def test_no_line_of_help_is_broken_at_80_columns() -> None:
    from cdao_sdk.cli.app import cli

    groups = [command for command in cli.commands.values() if hasattr(command, "commands")]
    inner = [each for group in groups for each in getattr(group, "commands", {}).values()]
    for command in (cli, *cli.commands.values(), *inner):
        lines = inspect.cleandoc(command.help or "").splitlines()
        assert [line for line in lines if len(line) > 78] == [], command.name


def test_the_exit_codes_of_the_help_are_those_of_the_table() -> None:
    from cdao_sdk.cli.app import cli
    from cdao_sdk.cli.exit_codes import ExitCode

    section = (cli.help or "").partition("Exit codes:")[2]
    listed = {int(line.split()[0]) for line in section.splitlines() if line.strip()}
    assert listed == {int(code) for code in ExitCode}


def test_the_version_is_told(cdao: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    from cdao_sdk import __version__

    assert cdao("--version").stdout.split()[-1] == __version__


@pytest.mark.parametrize("arguments", [("jbos",), ("run",), ("jobs", "--limt", "3")])
def test_a_wrong_command_line_is_exit_code_2(
    arguments: tuple[str, ...], cdao: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = cdao(*arguments)
    assert done.returncode == 2
    assert "Error" in done.stderr
    assert done.stdout == ""


def test_closed_output_is_no_error() -> None:
    code = "import sys; sys.stdout = None; from cdao_sdk.cli import main; main(['config', 'show'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
