from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable


def test_each_setting_tells_where_it_came_from(
    cdao: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    shown = json.loads(cdao("config", "show", "--json", CDAO_PROJECT="ml").stdout)
    assert shown["project"] == {"value": "ml", "source": "environment CDAO_PROJECT"}
    assert shown["domain"] == {"value": "development", "source": "default"}


def test_the_table_is_aligned(cdao: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    lines = cdao("config", "show", CDAO_TAGS='{"team": "credit"}').stdout.splitlines()
    head = lines[0]
    (tags,) = [line for line in lines if line.startswith("tags")]
    assert tags[head.index("VALUE") :].startswith('{"team": "credit"}')
    assert tags[head.index("FROM") :] == "environment CDAO_TAGS"


def test_a_wrong_setting_is_one_message_and_exit_code_2(
    cdao: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = cdao("config", "show", CDAO_SAGEMAKER_ROLE="admin", CDAO_PROJEKT="x")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert "CDAO_PROJECT" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in cdao("--debug", "config", "show", CDAO_PROJEKT="x").stderr
