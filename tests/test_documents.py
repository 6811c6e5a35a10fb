"""The Python blocks of README and docs run as they stand, as files of a user's."""

from __future__ import annotations

import csv
import dataclasses
import json
import random
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cdao_sdk import _options
from cdao_sdk._job import CurrentJob
from cdao_sdk.flyte.execution import Execution
from cdao_sdk.flyte.planning.values import PlannedJob
from cdao_sdk.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """(name, source) of each block."""
    return [
        (f"{path.stem.lower()}_{number}", source)
        for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
        for number, source in enumerate(BLOCK.findall(path.read_text()))
    ]


@pytest.mark.parametrize(
    ("name", "source"), [pytest.param(*block, id=block[0]) for block in blocks()]
)
def test_block_runs(
    name: str, source: str, tmp_path: Path, warm_start: Callable[..., list[str]]
) -> None:
    visits(tmp_path / "visits.csv")
    script = tmp_path / f"{name}.py"
    script.write_text(source)
    done = subprocess.run(
        warm_start("python", script.name), cwd=tmp_path, capture_output=True, text=True, check=False
    )
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


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        found = path.parent / file if file else path
        assert found.exists(), target
        titles = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {
            re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles
        }, target


def test_every_page_is_reached_from_the_guide_or_the_readme() -> None:
    texts = [(ROOT / "README.md").read_text(), (ROOT / "docs" / "guide.md").read_text()]
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert {page for page in pages if not any(page in text for text in texts)} == set()


def test_the_guide_names_every_setting() -> None:
    text = (ROOT / "docs" / "guide.md").read_text()
    assert [name for name in Settings.model_fields if f"`{name}`" not in text] == []


def test_the_guide_names_every_option() -> None:
    text = (ROOT / "docs" / "guide.md").read_text()
    kinds = (_options.ProcessingOptions, _options.TrainingOptions, _options.TransformOptions)
    own = {name for kind in kinds for name in kind.__annotations__} - set(
        _options.FlyteOptions.__annotations__
    )
    assert [name for name in sorted(own) if f"`{name}`" not in text] == []


def test_the_pages_name_all_of_a_job_an_execution_and_a_plan() -> None:
    for page, kind in (("jobs", CurrentJob), ("guide", Execution)):
        text = (ROOT / "docs" / f"{page}.md").read_text()
        public = [name for name in dir(kind) if not name.startswith("_")]
        assert [name for name in public if not re.search(rf"`{name}[`(]", text)] == []
    text = (ROOT / "docs" / "before-a-run.md").read_text()
    keys = [field.name for field in dataclasses.fields(PlannedJob)]
    assert [key for key in keys if f"`{key}`" not in text] == []


def test_readme_gives_two_commands_first() -> None:
    text = (ROOT / "README.md").read_text()
    commands = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert commands[0].strip().endswith("cdao demo")
    assert commands[1].strip().endswith("pytest -n 3")
    assert text.index("```console") < text.index("```python")


def test_the_connectors_policy_allows_what_every_kind_needs() -> None:
    from cdao_sdk.kinds.registry import KINDS

    text = (ROOT / "docs" / "connector.md").read_text()
    (block,) = re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    statements = {each["Sid"]: each for each in json.loads(block)["Statement"]}
    needed = {action for kind in KINDS.values() for action in kind.iam_actions}
    assert set(statements["Jobs"]["Action"]) == needed


def test_every_option_of_serve_is_in_the_connectors_page() -> None:
    from cdao_sdk.cli.connector import connector

    text = (ROOT / "docs" / "connector.md").read_text()
    for option in connector.commands["serve"].params:
        assert f"`{option.opts[0]}`" in text, option.opts
