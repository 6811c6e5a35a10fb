"""What is written, for machines and for people."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdao_sdk.flyte.serving.call_facts import add_facts, call_scope
from cdao_sdk.flyte.serving.logs import LogFormat, configure_logs
from cdao_sdk.flyte.serving.redaction import one_line, redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.fixture
def configured() -> Iterator[Callable[[LogFormat], io.StringIO]]:
    """Configures the logs of this process, and puts them back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    ours = logging.getLogger("cdao_sdk")
    ours_level = ours.level

    def configure(log_format: LogFormat) -> io.StringIO:
        stream = io.StringIO()
        configure_logs(log_format, "info", stream)
        return stream

    yield configure
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level
    ours.setLevel(ours_level)


logger = logging.getLogger("cdao_sdk.tests")


def test_a_line_carries_the_facts_of_its_call(
    configured: Callable[[LogFormat], io.StringIO],
) -> None:
    stream = configured("json")
    with call_scope(rpc="GetTask", request_id="r1"):
        add_facts(execution="e1", node="", attempt=0, job_name="j" * 1_000)
        logger.info("looked", extra={"code": "OK", "seconds": 0.25})
    logger.debug("not shown")
    logger.info("%d %s", "no number", "x")  # a mistake of ours costs no line
    logging.getLogger("botocore").info("other libraries are quiet")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first.pop("time").endswith("+00:00")
    assert len(first.pop("job_name")) == 200
    assert first == {
        "level": "info",
        "logger": "cdao_sdk.tests",
        "message": "looked",
        "rpc": "GetTask",
        "request_id": "r1",
        "execution": "e1",
        "attempt": 0,
        "code": "OK",
        "seconds": 0.25,
    }
    assert "rpc" not in second
    assert "no number" in second["message"] or "%d" in second["message"]


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_hostile_text_stays_on_its_line(
    configured: Callable[[LogFormat], io.StringIO], log_format: LogFormat
) -> None:
    stream = configured(log_format)
    hostile = 'x\n{"level": "critical"}\r\n\x1b[31m\x00\u2028\ud800"}'
    logger.info("got %s", hostile, extra={"execution": hostile})
    (line,) = stream.getvalue().rstrip("\n").split("\n")
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "\x00" not in line
    assert line.isascii() or log_format == "text"
    if log_format == "json":
        assert json.loads(line)["level"] == "info"


def test_a_traceback_is_one_field_or_indented(
    configured: Callable[[LogFormat], io.StringIO],
) -> None:
    for log_format in ("json", "text"):
        stream = configured(log_format)
        error = ValueError(f"bad\n12:00:00 info forged aws_secret_access_key={KEY}")
        logger.error("It broke.", exc_info=error)
        text = stream.getvalue()
        assert KEY not in text
        first, *others = text.rstrip("\n").split("\n")
        if log_format == "json":
            assert others == []
            assert "ValueError: bad" in json.loads(first)["exception"]
        else:
            assert all(line.startswith("    | ") for line in others)


@pytest.mark.parametrize(
    "text",
    [
        f"https://b.s3.amazonaws.com/k?X-Amz-Credential=A%2Fb&X-Amz-Signature={KEY}",
        f"https://b.s3.amazonaws.com/k?AWSAccessKeyId=x&Signature={KEY}&Expires=1",
        f"X-Amz-Security-Token: {KEY}",
        f"Authorization: Bearer {KEY}",
        f"{{'secret_access_key': '{KEY}'}}",
        f'{{"SecretAccessKey": "{KEY}"}}',
        f"AWS_SESSION_TOKEN={KEY}",
        f"db_password={KEY}",
        f"postgres://user:{KEY.replace('/', '')}@host/db",
    ],
)
def test_credentials_are_not_written(text: str) -> None:
    hidden = redacted(text)
    assert KEY not in hidden
    assert KEY.replace("/", "") not in hidden
    assert "***" in hidden


def test_the_process_own_secrets_are_hidden_wherever_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-value-of-no-pattern")
    assert redacted("x a-value-of-no-pattern y") == "x *** y"
    assert redacted("AKIAIOSFODNN7EXAMPLE") == "AKIA***"


def test_redaction_leaves_the_rest_and_takes_no_time() -> None:
    plain = "s3://bucket/key of arn:aws:iam::123456789012:role/x at 10:00:00 (tokens: 5)"
    assert redacted(plain) == plain
    for text in ("a-" * 20_000, "password" * 5_000, "://a:" * 8_000, "X-Amz-" * 8_000):
        redacted(text)  # a slow pattern would run into the test's timeout


@given(st.text(), st.integers(1, 200))
def test_one_line_is_one_line(text: str, limit: int) -> None:
    found = one_line(text, limit)
    assert len(found.splitlines()) <= 1
    assert len(found) <= limit
