from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cdao_sdk.monitor.notebook_lines import count_words, lines_of, page_of

if TYPE_CHECKING:
    from cdao_sdk.monitor.snapshot import Snapshot


def test_jobs_without_a_group_are_a_line_each_in_their_order(snapshot: Snapshot) -> None:
    assert [line.key for line in lines_of(snapshot)] == [row.name for row in snapshot.jobs]


def test_a_large_group_is_one_line_until_it_is_opened(many_jobs: Snapshot) -> None:
    lines = lines_of(many_jobs)
    assert [(line.label, len(line.rows), line.is_group) for line in lines] == [
        ("split", 1, False),
        ("score", 1000, True),
        ("merge", 1, False),
    ]
    opened = lines_of(many_jobs, {"n1"})
    assert len(opened) == 1003
    assert [line.depth for line in opened[:4]] == [0, 0, 1, 1]


def test_a_small_group_is_open_until_it_is_closed(many_jobs: Snapshot) -> None:
    few = replace(many_jobs, jobs=many_jobs.jobs[:5])
    assert len(lines_of(few)) == 6
    assert len(lines_of(few, {"n1"})) == 2


def test_a_group_goes_on_while_one_of_its_jobs_does(many_jobs: Snapshot) -> None:
    group = lines_of(many_jobs)[1]
    assert group.state == "running"
    assert 0 < group.share_over < 1
    over = replace(group, elements=tuple(row for row in group.elements if row.is_over))
    assert (over.state, over.share_over) == ("failed", 1.0)


def test_an_element_that_was_tried_again_counts_once(many_jobs: Snapshot) -> None:
    first = next(row for row in many_jobs.jobs if row.group)
    ended = replace(first, state="succeeded", node="n1-n0", attempt=1, cost_usd=1.0)
    failed = replace(ended, name=f"{ended.name}-0", state="failed", attempt=0)
    other = replace(ended, name=f"{ended.name}-2", node="n1-n1", attempt=0)
    (group, *jobs) = lines_of(replace(many_jobs, jobs=(failed, ended, other)))
    assert (group.is_group, group.state, group.share_over) == (True, "succeeded", 1.0)
    assert (len(group.elements), len(group.rows), len(jobs)) == (2, 3, 3)
    assert group.cost_usd == 3.0
    lines = lines_of(replace(many_jobs, jobs=(failed, ended)))
    assert [(line.is_group, line.depth) for line in lines] == [(False, 0), (False, 0)]


def test_narrowed_to_a_state_groups_are_left_out(many_jobs: Snapshot) -> None:
    lines = lines_of(many_jobs, choice="failed")
    assert {line.state for line in lines} == {"failed"}
    assert not any(line.is_group for line in lines)


def test_a_page_beyond_the_last_is_the_last(many_jobs: Snapshot) -> None:
    page = page_of(lines_of(many_jobs, {"n1"}), 999, 20)
    assert (page.number, page.count, page.first, len(page.lines)) == (50, 51, 1001, 3)
    empty = page_of([], 3, 20)
    assert (empty.number, empty.count, empty.first, empty.total) == (0, 1, 0, 0)


def test_counts_begin_with_what_needs_attention(snapshot: Snapshot) -> None:
    assert [text for _, text in count_words(snapshot.jobs)] == [
        "1 failed",
        "1 running",
        "1 waiting",
        "1 done",
    ]
