"""Where jobs stand, from memory: what is looked at, when, and what is answered meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.errors import NotFound, ResourcesUnavailable, SubmissionError
from cdao_sdk.kinds.job import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.aws.status import StatusWatcher

LIST, DESCRIBE = "ListTrainingJobs", "DescribeTrainingJob"
MANY = [f"job-{number}" for number in range(12)]


@pytest.fixture
def many(account: Any, watch: Callable[..., StatusWatcher], ask: Any) -> StatusWatcher:
    """A watcher of many jobs, so that it lists them; it is time for the next look."""
    for name in MANY:
        account.add(name)
    watcher = watch()
    ask(watcher, *MANY)
    account.now += 5
    ask(watcher, *MANY)
    account.calls.clear()
    account.now += 20
    return watcher


def test_one_job_is_described_once_an_interval(account: Any, watch: Any, ask: Any) -> None:
    account.add("job")
    watcher = watch()
    for _ in range(10):
        status = ask(watcher, "job")
    assert (status.status, status.secondary_status, status.source) == (
        *("InProgress", "Starting"),
        "describe",
    )
    assert status.arn.endswith("job/job")
    assert status.seen.phase is Phase.INITIALIZING
    assert account.calls == {DESCRIBE: 1}
    account.now += 5
    account.change("job")
    assert ask(watcher, "job").secondary_status == "Training"
    assert account.calls == {DESCRIBE: 2}


def test_many_jobs_are_read_by_one_list(many: StatusWatcher, account: Any, ask: Any) -> None:
    account.change("job-3")
    account.change("job-5", "Completed")
    found = {status.name: status for status in ask(many, *MANY)}
    assert account.calls == {LIST: 1}
    assert found["job-3"].secondary_status == "Training"
    assert found["job-5"].is_over
    assert {status.source for status in found.values()} == {"list"}
    assert "LastModifiedTimeAfter" in account.filters[-1]


def test_list_asks_for_what_changed_since_the_last_one(many: Any, account: Any, ask: Any) -> None:
    for _ in range(3):
        account.now += 60
        ask(many, *MANY)
    after = account.filters[-1]["LastModifiedTimeAfter"]
    # The time of the list before, less what lists may lag behind.
    assert after == pytest.approx(account.now - 60 - 15, abs=1)


def test_unchanged_job_is_known_to_be_so_since_the_last_list(
    many: Any, account: Any, ask: Any
) -> None:
    status = ask(many, MANY[0])
    assert status.seen_at.timestamp() == account.now


def test_job_that_is_over_is_not_looked_at_again(many: Any, account: Any, ask: Any) -> None:
    account.change("job-5", "Completed")
    ask(many, *MANY)
    account.calls.clear()
    account.now += 1000
    assert ask(many, "job-5").status == "Completed"
    assert account.calls == {}


def test_looks_are_rarer_while_nothing_changes_and_frequent_at_once_when_it_does(
    many: Any, account: Any, ask: Any
) -> None:
    def lists_in(seconds: int) -> int:
        account.calls.clear()
        for _ in range(seconds):
            account.now += 1
            ask(many, MANY[0])
        return account.calls[LIST]

    lists_in(60)
    assert lists_in(60) == 3
    account.change("job-1")
    account.now += 20
    ask(many, MANY[0])
    account.change("job-2")
    assert lists_in(5) == 1


def test_restart_reads_all_running_jobs_by_pages(account: Any, watch: Any, ask: Any) -> None:
    names = [account.add(f"job-{number}") for number in range(450)]
    watcher = watch()
    found = ask(watcher, *names)
    assert {status.status for status in found} == {"InProgress"}
    assert account.calls[LIST] == 5
    assert account.calls[DESCRIBE] <= 3
    assert account.filters[0]["StatusEquals"] == "InProgress"


def test_job_that_ended_while_nobody_looked_is_described_once(
    account: Any, watch: Any, ask: Any
) -> None:
    names = [account.add(f"job-{number}") for number in range(20)]
    account.change("job-7", "Failed")
    watcher = watch()
    ask(watcher, *names)
    account.calls.clear()
    account.now += 6
    assert {status.name for status in ask(watcher, *names) if status.is_over} == {"job-7"}
    assert account.calls[DESCRIBE] <= 1


def test_job_of_another_replica_is_read_without_a_call_of_its_own(
    many: Any, account: Any, ask: Any
) -> None:
    account.add("theirs")
    ask(many, *MANY)
    account.calls.clear()
    assert ask(many, "theirs").status == "InProgress"
    assert account.calls == {}


def test_job_that_does_not_exist_is_not_found(account: Any, watch: Any, ask: Any) -> None:
    watcher = watch()
    with pytest.raises(NotFound):
        ask(watcher, "nobody")
    assert watcher.known("training", "nobody") is None


def test_created_job_is_in_progress_before_it_is_listed(many: Any, account: Any, ask: Any) -> None:
    many.noted("training", "new", "arn:new")
    status = ask(many, "new")
    assert (status.status, status.source, status.arn) == ("InProgress", "noted", "arn:new")
    assert status.seen.phase is Phase.INITIALIZING
    assert account.calls[DESCRIBE] == 0
    account.add("new")
    account.now += 8
    assert ask(many, "new").source == "list"


def test_created_job_that_lists_do_not_show_is_described_in_the_end(
    many: Any, account: Any, ask: Any
) -> None:
    account.add("new", is_listed=False)
    many.noted("training", "new", "arn:new")
    for _ in range(6):
        account.now += 5
        status = ask(many, "new")
    assert status.source == "describe"
    assert account.calls[DESCRIBE] == 1


def test_created_job_that_existed_already_is_read(many: Any, account: Any, ask: Any) -> None:
    account.add("old")
    account.change("old", "Completed")
    many.noted("training", "old")
    assert ask(many, "old").status == "Completed"


def test_forgotten_job_is_not_known(many: Any) -> None:
    assert many.known("training", MANY[0]).status == "InProgress"
    many.forget("training", MANY[0])
    assert many.known("training", MANY[0]) is None


def test_missed_change_is_found_by_the_sweep(many: Any, account: Any, ask: Any) -> None:
    account.now += 60
    ask(many, *MANY)
    account.jobs["training"]["job-4"].status = "Failed"  # and its time is as before
    account.now += 60
    assert ask(many, "job-4").status == "InProgress"
    account.now += 300
    ask(many, *MANY)
    account.now += 20
    assert ask(many, "job-4").status == "Failed"
    assert account.calls[DESCRIBE] == 1


def test_sweep_names_the_jobs_that_run(many: Any, account: Any) -> None:
    from cdao_sdk.aws.bridge import bridge

    account.add("foreign")
    account.change("job-0", "Completed")
    found = bridge.run(many.sweep("training"), timeout=30)
    assert found == {*MANY[1:], "foreign"} | {"job-0"}  # it has ended, but nobody has said so yet
    account.now += 30
    del account.jobs["training"]["foreign"]
    assert "foreign" not in bridge.run(many.sweep("training"), timeout=30)
    assert many.in_progress("processing") == set()


# Of the second one botocore makes no further tries, which would take seconds.
@pytest.mark.parametrize(
    ("code", "rounds"), [("ThrottlingException", 1), ("ResourceLimitExceeded", 10)]
)
def test_memory_answers_while_lists_fail(
    code: str, rounds: int, many: Any, account: Any, ask: Any
) -> None:
    account.refusals[LIST] = code
    before = account.now - 20
    for _ in range(rounds):
        account.now += 5
        status = ask(many, MANY[0])
    assert status.status == "InProgress"
    assert status.seen_at.timestamp() == before
    error = many.last_error("training")
    assert isinstance(error, ResourcesUnavailable)
    assert error.code == code
    assert account.calls[LIST] <= 3
    del account.refusals[LIST]
    account.change(MANY[0], "Completed")
    account.now += 60
    assert ask(many, MANY[0]).is_over
    assert many.last_error("training") is None


def test_jobs_are_described_where_lists_are_denied(account: Any, watch: Any, ask: Any) -> None:
    account.refusals[LIST] = "AccessDeniedException"
    for name in MANY:
        account.add(name)
    watcher = watch()
    ask(watcher, *MANY)
    account.now += 5
    assert {status.status for status in ask(watcher, *MANY)} == {"InProgress"}
    assert account.calls[LIST] == 1


def test_denied_describe_is_an_error_only_where_nothing_is_known(
    account: Any, watch: Any, ask: Any
) -> None:
    account.add("job")
    account.add("other")
    watcher = watch()
    ask(watcher, "job")
    account.refusals[DESCRIBE] = account.refusals[LIST] = "AccessDeniedException"
    account.now += 60
    assert ask(watcher, "job").status == "InProgress"
    with pytest.raises(SubmissionError, match="AccessDenied"):
        ask(watcher, "other")


def test_unread_job_whose_describe_may_pass_later_is_pending(
    account: Any, watch: Any, ask: Any
) -> None:
    account.add("job")
    account.refusals[DESCRIBE] = "ResourceLimitExceeded"
    watcher = watch()
    status = ask(watcher, "job")
    assert (status.status, status.source, status.is_read) == ("", "pending", False)
    assert status.seen.phase is Phase.QUEUED
    del account.refusals[DESCRIBE]
    assert ask(watcher, "job").status == "InProgress"


def test_rate_that_does_not_allow_a_describe_now_leaves_it_pending(
    account: Any, watch: Any, ask: Any
) -> None:
    account.refusals[LIST] = "AccessDeniedException"
    for name in MANY[:3]:
        account.add(name)
    watcher = watch()
    ask(watcher, MANY[0])
    watcher._patience = 1
    watcher._clients.rates.configure({DESCRIBE: 0.01})
    sources = [ask(watcher, name).source for name in MANY[1:3]]
    watcher._clients.rates.configure({})
    assert sources == ["describe", "pending"]
    assert account.calls[DESCRIBE] == 2


def test_those_who_ask_at_once_share_one_list(many: Any, account: Any, ask: Any) -> None:
    ask(many, *(MANY * 50))
    assert account.calls == {LIST: 1}


def test_kinds_are_looked_at_apart(many: Any, account: Any, ask: Any) -> None:
    names = [account.add(f"p-{number}", "processing") for number in range(8)]
    assert {status.kind for status in ask(many, *names, kind="processing")} == {"processing"}
    assert account.calls[LIST] == 0


def test_start_of_a_job_whose_lists_do_not_tell_is_described(
    account: Any, watch: Any, ask: Any
) -> None:
    names = [account.add(f"p-{number}", "processing") for number in range(8)]
    watcher = watch()
    for name in names:
        watcher.noted("processing", name, "arn")
    account.now += 5
    ask(watcher, *names, kind="processing")
    account.now += 3
    account.jobs["processing"]["p-2"].started = account.now
    account.change("p-2")
    account.now += 5
    found = ask(watcher, *names, kind="processing")
    phases = {status.name: status.seen.phase for status in found}
    assert phases.pop("p-2") is Phase.RUNNING
    assert set(phases.values()) == {Phase.INITIALIZING}
    # What a description told stays when a list says less.
    account.now += 5
    account.change("p-2")
    account.now += 15
    assert ask(watcher, "p-2", kind="processing").seen.phase is Phase.RUNNING


def test_page_without_a_date_is_dated_here(many: Any, account: Any, ask: Any) -> None:
    assert many._date({"ResponseMetadata": {}}).timestamp() == account.now
    odd = {"ResponseMetadata": {"HTTPHeaders": {"date": "yesterday"}}}
    assert many._date(odd).timestamp() == account.now


def test_memory_answers_when_aws_is_slow(many: Any, account: Any, ask: Any) -> None:
    account.goes_on.clear()
    many._patience = 0.05
    account.change(MANY[0], "Completed")
    assert ask(many, MANY[0]).status == "InProgress"
    # The next one does not wait for what has taken so long already.
    assert ask(many, MANY[0]).status == "InProgress"
    account.goes_on.set()
    many._patience = 30
    account.now += 20
    assert ask(many, MANY[0]).is_over


def test_what_nobody_asks_for_is_forgotten(many: Any, account: Any, ask: Any) -> None:
    account.change("job-0", "Completed")
    ask(many, *MANY)
    for _ in range(20):
        account.now += 60
        ask(many, *MANY[2:])
    board = many._boards["training"]
    assert "job-0" not in board.seats
    assert "job-1" not in board._open
    assert many.known("training", "job-1").status == "InProgress"  # sweeps still see it
    account.change("job-1", "Stopped")
    for _ in range(20):
        account.now += 60
        ask(many, *MANY[2:])
    assert "job-1" not in board.seats


def test_after_a_rest_all_running_jobs_are_read_instead_of_all_changes(
    many: Any, account: Any, ask: Any
) -> None:
    account.now += 3600
    account.filters.clear()
    for number in range(500):
        account.add(f"foreign-{number}")
        account.change(f"foreign-{number}", "Completed")
    account.change("job-1", "Completed")
    account.now += 3600
    ask(many, *MANY)
    account.now += 20
    deadline = time.monotonic() + 20
    while not (over := [status.name for status in ask(many, *MANY) if status.is_over]):
        assert time.monotonic() < deadline  # the pages are read behind the answers
        time.sleep(0.01)
    assert over == ["job-1"]
    assert account.filters[0].get("StatusEquals") == "InProgress"
    assert account.calls[LIST] <= 2 * 6  # there are six pages of jobs since


def test_answer_that_lags_behind_does_not_turn_time_back(many: Any, account: Any, ask: Any) -> None:
    account.change("job-1")
    ask(many, *MANY)
    board = many._boards["training"]
    late = {"TrainingJobName": "job-1", "TrainingJobStatus": "InProgress"}
    late |= {"SecondaryStatus": "Starting", "LastModifiedTime": account.now - 10}
    assert not board.listed(late, account.now)
    assert many.known("training", "job-1").secondary_status == "Training"


def test_lists_go_back_to_the_oldest_job_that_is_waited_for(
    many: Any, account: Any, ask: Any
) -> None:
    created = account.jobs["training"][MANY[0]].created
    ask(many, *MANY)
    assert account.filters[-1]["CreationTimeAfter"] == created - 1
    for name in MANY[:6]:
        account.change(name, "Completed")
    late = [account.add(f"late-{number}") for number in range(6)]
    for name in MANY[6:]:
        account.change(name, "Completed")
    account.now += 20
    ask(many, *MANY, *late)
    account.now += 20
    ask(many, *late)
    assert account.filters[-1]["CreationTimeAfter"] == account.now - 40 - 1


def test_old_job_does_not_make_lists_long(account: Any, watch: Any, ask: Any) -> None:
    """SageMaker pages through all that was created since, whatever else is asked for."""
    account.add("old")
    for _ in range(2_000):
        account.now += 30
        account.change(account.add(f"foreign-{account.now}"), "Completed")
    names = [account.add(f"job-{number}") for number in range(12)]
    watcher = watch()
    for _ in range(4):
        ask(watcher, "old", *names)
        account.now += 30
    account.calls.clear()
    account.change("old", "Completed")
    found = ask(watcher, "old", *names)
    assert [status.name for status in found if status.is_over] == ["old"]
    assert account.calls == {LIST: 1, DESCRIBE: 1}
    account.now += 30
    ask(watcher, *names)
    account.now += 30
    ask(watcher, *names)
    assert account.calls == {LIST: 3, DESCRIBE: 1}


def test_restart_does_not_page_through_the_accounts_history(
    account: Any, watch: Any, ask: Any
) -> None:
    for _ in range(5_000):
        account.now += 30
        account.change(account.add(f"past-{account.now}"), "Completed")
    names = [account.add(f"job-{number}") for number in range(150)]
    ask(watch(), *names)
    assert account.calls[LIST] <= 2 + 10


def test_sweep_goes_back_as_far_as_it_is_told(many: Any, account: Any) -> None:
    import datetime as dt

    from cdao_sdk.aws.bridge import bridge

    account.now += 3600
    account.add("young")
    since = dt.datetime.fromtimestamp(account.now - 60, dt.timezone.utc)
    bridge.run(many.sweep("training", since), timeout=30)
    assert account.filters[-1]["CreationTimeAfter"] == account.now - 60
    # It tells nothing of those that are older.
    assert many.known("training", MANY[0]).status == "InProgress"
    assert not many._boards["training"].seats[MANY[0]].is_changed
