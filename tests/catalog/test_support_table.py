"""`support.json` is read out of a clone of AWS's documentation data."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

FILES = {
    "docs/src/data/pytorch-training/2.9-gpu-sagemaker.yml": 'version: "2.9"\neop: "2026-10-15"\n',
    "docs/src/data/pytorch-training/2.10-cpu-sagemaker.yml": 'version: "2.10"\neop: "2027-01-21"\n',
    "docs/src/data/pytorch-training/2.9-gpu-ec2.yml": 'version: "2.9"\neop: "2030-01-01"\n',
    "docs/src/data/vllm/0.1-gpu-sagemaker.yml": 'version: "0.1"\neop: "2026-01-01"\n',
    "docs/src/legacy/legacy_support.yml": 'pytorch:\n  - {version: "1.13", eop: "2024-10-28"}\n',
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x", "--date=2026-08-21"]):
        subprocess.run(
            [*git, *command],
            check=True,
            env={"GIT_COMMITTER_DATE": "2026-08-21T12:00:00Z", "PATH": "/usr/bin:/bin"},
        )
    return tmp_path


def test_ends_of_sagemakers_images_are_taken_in_order(generate_catalog: Any, clone: Path) -> None:
    table = generate_catalog.support(clone)
    assert table["as_of"] == "2026-08-21"
    assert table["end_of_patch"] == {
        "pytorch": {
            "inference": {"1.13": "2024-10-28"},
            "training": {"1.13": "2024-10-28", "2.9": "2026-10-15", "2.10": "2027-01-21"},
        }
    }
    assert list(table["end_of_patch"]["pytorch"]["training"]) == ["1.13", "2.9", "2.10"]
