"""The Python blocks of README and docs run as they stand, as files of a user's."""

from __future__ import annotations

import csv
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """(name, source) of each block."""
    return [
        (f"{path.stem.lower()}_{number}", source)
        for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
        for number, source in enumerate(BLOCK.findall(path.read_text()))
    ]


def run(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, path.name], cwd=path.parent, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("name", "source"), [pytest.param(*block, id=block[0]) for block in blocks()]
)
def test_block_runs(name: str, source: str, tmp_path: Path) -> None:
    visits(tmp_path / "visits.csv")
    script = tmp_path / f"{name}.py"
    script.write_text(source)
    done = run(script)
    assert done.returncode == 0, done.stderr
    if name == "readme_0":
        assert done.stdout.splitlines()[-1].startswith("s3://cdao-local/")


def visits(path: Path) -> None:
    """The data that the README's pipeline reads."""
    chance = random.Random(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["pages", "minutes", "bought"])
        for _ in range(300):
            pages, minutes = chance.randint(1, 30), chance.random() * 20
            writer.writerow([pages, minutes, int(pages + minutes > 25)])


def test_readme_gives_two_commands_first() -> None:
    text = (ROOT / "README.md").read_text()
    commands = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert commands[0].strip().endswith("cdao demo")
    assert commands[1].strip().endswith("pytest -n 2")
    assert text.index("```console") < text.index("```python")
