"""The notebook view in JupyterLab, seen and used through a browser."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Two steps that wait for a file each, so that the test says how long they last.
FLOW = """
import cdao_sdk
from cdao_sdk import current_job, sagemaker_processing_task, sagemaker_training_task

FLAGS = {flags!r}

@sagemaker_processing_task(instance_type="ml.m5.large", framework="scikit-learn")
def prepare(flag: str) -> str:
    import os, time
    print("preparing", flush=True)
    while not os.path.exists(flag):
        time.sleep(0.05)
    return flag

@sagemaker_training_task(
    instance_type="ml.m5.xlarge",
    framework="scikit-learn",
    metrics=["loss"],
    use_spot_instances=True,
)
def learn(flag: str) -> str:
    import os, time
    step = 0
    while not os.path.exists(flag + ".end"):
        step += 1
        current_job().log_metric("loss", 1 / step, step=step)
        time.sleep(0.3)
    return flag

@cdao_sdk.sagemaker_workflow
def two_steps(flag: str) -> str:
    return learn(flag=prepare(flag=flag))
"""
RUN = """
execution = cdao_sdk.run(two_steps, inputs={{"flag": FLAGS + "/{name}"}})
cdao_sdk.monitor_sagemaker_jobs(execution.id)
"""
# Snapshots made by hand: a thousand jobs would take too long.
MANY = """
from dataclasses import replace
from datetime import datetime, timezone
from cdao_sdk.monitor.notebook import NotebookView
from cdao_sdk.monitor.snapshot import JobRow, Snapshot

now = datetime(2026, 11, 23, 22, 1, 7, tzinfo=timezone.utc)
def row(index, state, status):
    return JobRow(
        name=f"a0f3a9d1c0b7e5f60718-n1-{index:08d}-0", label=f"score {index}", node="n1",
        execution="a0f3a9d1c0b7e5f60718", kind="processing", kind_title="Processing", state=state,
        status=status, secondary_status="", message="", created=now, ended=None,
        elapsed_seconds=60.0 + index % 30, instance_type="ml.m5.large", instance_count=1,
        spot=False, savings_percent=None, billable_seconds=None, cost_usd=0.002, group="n1",
    )
states = [("succeeded", "Completed")] * 600 + [("failed", "Failed")] * 3
states += [("running", "InProgress")] * 100 + [("waiting", "InProgress")] * 297
rows = tuple(row(index, *state) for index, state in enumerate(states))
snapshot = Snapshot("execution a0f3a9d1c0b7e5f60718 of map_pipeline", rows, now, status="RUNNING")
view = NotebookView(stop=lambda names: None)
view.paint(snapshot)
"""


def button(lab: Any, name: str) -> Any:
    return lab.page.get_by_role("button", name=re.compile(re.escape(name)))


def let_go(lab: Any, name: str) -> None:
    (lab.folder / name).touch()


def stored(path: Path) -> str:
    """The HTML of a saved notebook's outputs."""
    notebook = nbformat.read(path, as_version=4)
    outputs = [each for cell in notebook.cells for each in cell.get("outputs", [])]
    return "".join(each.get("data", {}).get("text/html", "") for each in outputs)


def saved_when(lab: Any, path: Path, words: str) -> str:
    """Save until the file has these words: an update travels behind the screen's."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        lab.save()
        if words in (text := stored(path)):
            return text
        lab.page.wait_for_timeout(200)
    pytest.fail(f"{path.name} never said {words!r}")


def test_jobs_go_from_running_to_done_and_the_saved_page_needs_no_kernel(
    lab: Any, page_of_file: Callable[[Path], Any]
) -> None:
    page = lab.page
    path = lab.write("done", FLOW.format(flags=str(lab.folder)), RUN.format(name="done"))
    lab.open("done")
    lab.run_all()
    page.wait_for_selector(".cdao-row .cdao-running", timeout=90_000)
    lab.shoot("1-running")

    # Opened by keyboard alone; the log and its search come with it.
    row = button(lab, "▸ prepare")
    row.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".cdao-log >> text=preparing")
    page.get_by_placeholder("Search the log").fill("nothing like it")
    page.wait_for_selector("text=/0 of \\d+ lines?/")
    page.get_by_placeholder("Search the log").fill("prep")
    page.wait_for_selector(".cdao-log mark >> text=prep")
    button(lab, "Copy name").click()
    page.wait_for_selector("text=✓ Copied")
    assert re.match(r"a\w{19}-n0-prepare-\w+-0$", page.evaluate("navigator.clipboard.readText()"))
    lab.shoot("2-open")
    button(lab, "▾ prepare").click()
    page.wait_for_selector(".cdao-log", state="detached")

    # The next job comes by itself, and its metric moves.
    let_go(lab, "done")
    button(lab, "▸ learn").click()
    page.wait_for_selector(".cdao-card svg polyline", timeout=60_000)
    lab.shoot("3-metrics")

    let_go(lab, "done.end")
    page.wait_for_selector("summary >> text=learn", timeout=60_000)
    assert page.query_selector(".cdao-w") is None
    lab.shoot("4-done")
    text = saved_when(lab, path, "SUCCEEDED")
    assert "widget-view" not in path.read_text()
    assert text.count("✅") >= 3

    # A kernel that knows nothing of it: the page as it was saved.
    shut_down_kernels(lab)
    lab.open("done")
    page.wait_for_selector("summary >> text=learn")
    lab.shoot("5-saved-notebook")

    saved = exported(path)
    page = page_of_file(saved)
    page.wait_for_selector("text=SUCCEEDED")
    page.screenshot(path=str(lab.shots / "6-nbconvert.png"))
    page.close()


def test_a_job_is_stopped_after_a_second_click_even_in_a_page_that_was_loaded_again(
    lab: Any,
) -> None:
    page = lab.page
    path = lab.write("stop", FLOW.format(flags=str(lab.folder)), RUN.format(name="never"))
    lab.open("stop")
    lab.run_all()
    page.wait_for_selector(".cdao-row .cdao-running", timeout=90_000)
    lab.save()
    page.reload()
    lab.wait_for_kernel()
    button(lab, "▸ prepare").click()
    button(lab, "Stop job").click()
    confirm = button(lab, "Confirm: stop this job")
    confirm.wait_for()
    lab.shoot("7-confirm")
    confirm.click()
    page.wait_for_selector("td >> text=Stopped", timeout=60_000)
    lab.shoot("8-stopped")
    page.wait_for_selector("text=ABORTED")
    # The page knows the output by its widget alone; what it saves says how to see the end.
    assert "Watch again" in stored(path)


def test_a_thousand_jobs_are_a_group_with_pages_in_every_theme_until_one_looks_away(
    lab: Any,
) -> None:
    page = lab.page
    lab.write("many", MANY)
    lab.open("many")
    lab.run_all()
    group = button(lab, "score ×1,000")
    group.wait_for(timeout=60_000)
    lab.shoot("9-group")
    group.click()
    page.wait_for_selector(".cdao-in-group")
    assert page.locator(".cdao-slot").count() == 20
    assert page.locator(".cdao-pageinfo").inner_text() == "1–20 of 1,001"
    button(lab, "Later").click()
    page.wait_for_selector("text=21–40 of 1,001")
    page.get_by_label("Show", exact=True).select_option("failed")
    page.wait_for_selector("text=▸ score 602")
    assert page.locator(".cdao-slot").count() == 3
    in_vs_code(page, "10-vs-code-dark", lab.shots)
    lab.theme("JupyterLab Dark")
    lab.shoot("10-dark")
    lab.theme("JupyterLab Light")
    size = page.viewport_size
    page.set_viewport_size({"width": 560, "height": 900})
    page.wait_for_timeout(300)
    lab.shoot("11-narrow")
    table = page.locator(".cdao-table").bounding_box()
    cells = page.locator(".cdao-grid >> visible=true").last.bounding_box()
    assert cells["x"] + cells["width"] <= table["x"] + table["width"]
    page.set_viewport_size(size)
    button(lab, "Stop watching").click()
    page.wait_for_selector("text=No longer watched; the jobs go on.")
    assert page.query_selector(".cdao-w") is None


def in_vs_code(page: Any, name: str, shots: Path) -> None:
    """With VS Code's variables of a dark theme beside JupyterLab's light ones."""
    colours = "--vscode-editor-foreground:#d4d4d4;--vscode-editor-background:#1e1e1e"
    page.evaluate(f"() => document.documentElement.style.cssText = '{colours}'")
    view = page.locator(".cdao-w")
    style = "(element) => (({color, backgroundColor}) => [color, backgroundColor])"
    assert view.evaluate(f"{style}(getComputedStyle(element))") == [
        "rgb(212, 212, 212)",
        "rgb(30, 30, 30)",
    ]
    view.screenshot(path=str(shots / f"{name}.png"))
    page.evaluate("() => document.documentElement.style.cssText = ''")


def shut_down_kernels(lab: Any) -> None:
    """End every kernel of the server."""
    base = f"{lab.url}/api/sessions"
    with urllib.request.urlopen(f"{base}?token=t", timeout=10) as answer:  # noqa: S310 # our own server
        sessions = json.load(answer)
    for session in sessions:
        request = urllib.request.Request(f"{base}/{session['id']}?token=t", method="DELETE")  # noqa: S310 # our own server
        urllib.request.urlopen(request, timeout=20).close()  # noqa: S310 # our own server


def exported(path: Path) -> Path:
    """A notebook as nbconvert's HTML."""
    from nbconvert.exporters import HTMLExporter

    body, _ = HTMLExporter().from_filename(str(path))
    target = path.with_suffix(".html")
    target.write_text(body)
    return target
