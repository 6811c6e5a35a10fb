"""Log lines of the service, for machines (one JSON object each) or for people."""

from __future__ import annotations

import copy
import logging
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from cdao_sdk.flyte.serving.call_facts import current_facts
from cdao_sdk.flyte.serving.redaction import one_line, redacted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

__all__ = ["LogFormat", "adopt_flytekit_loggers", "configure_logs"]

LogFormat = Literal["json", "text"]

_LONGEST_MESSAGE = 8_000
_LONGEST_TRACEBACK = 30_000
_RESERVED = {*RESERVED_ATTRS, "message", "asctime", "taskName", "color_message"}


def configure_logs(log_format: LogFormat, level: str, stream: TextIO | None = None) -> None:
    """Send all log lines of this process to one stream; only the command calls this.

    Args:
        log_format: ``"json"`` or ``"text"``.
        level: ``"debug"``, ``"info"``, ``"warning"`` or ``"error"``; other libraries are logged
            from warnings on.
        stream: Standard output by default.
    """
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(_JsonLines() if log_format == "json" else _TextLines())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("cdao_sdk").setLevel(level.upper())
    logging.captureWarnings(capture=True)


def adopt_flytekit_loggers() -> None:
    """Let flytekit's lines go where all others go; importing it gives them handlers of its own."""
    for name in ("flytekit", "user_space", "developer"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)


def _extras(record: logging.LogRecord) -> Mapping[str, object]:
    """The call's facts, and what the line itself was given as ``extra``."""
    own = {
        name: value
        for name, value in record.__dict__.items()
        if name not in _RESERVED and not name.startswith("_")
    }
    return {name: _plain(value) for name, value in {**current_facts(), **own}.items()}


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return _cut(str(value), _LONGEST_MESSAGE)


def _cut(text: str, limit: int) -> str:
    # Cut before, too: what comes from outside may be long.
    return redacted(text[: 2 * limit])[:limit]


def _message(record: logging.LogRecord) -> str:
    try:
        return _cut(record.getMessage(), _LONGEST_MESSAGE)
    except (TypeError, ValueError) as error:  # a format that does not fit its values
        return f"{record.msg!r:.500} ({error})"


class _JsonLines(JsonFormatter):
    def format(self, record: logging.LogRecord) -> str:
        plain = copy.copy(record)  # other handlers may want it as it is
        plain.msg, plain.args = _message(record), None
        return super().format(plain)

    def add_fields(
        self,
        log_data: dict[str, object],
        record: logging.LogRecord,
        message_dict: dict[str, object],
    ) -> None:
        log_data["time"] = datetime.fromtimestamp(record.created, timezone.utc).isoformat(
            timespec="milliseconds"
        )
        log_data["level"] = record.levelname.lower()
        log_data["logger"] = record.name
        log_data["message"] = record.msg
        log_data.update(_extras(record))
        if "exc_info" in message_dict:  # the formatter has rendered the traceback
            text = str(message_dict["exc_info"])
            log_data["exception"] = redacted(text[-_LONGEST_TRACEBACK:])


class _TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created, timezone.utc).strftime("%H:%M:%S")
        message = one_line(_message(record), _LONGEST_MESSAGE)
        facts = "".join(
            f" {name}={one_line(str(value), 300)}" for name, value in _extras(record).items()
        )
        line = f"{clock} {record.levelname.lower():7} {message}{facts}"
        if record.exc_info:
            text = redacted(self.formatException(record.exc_info)[-_LONGEST_TRACEBACK:])
            # Indented: a line of the error's own text is never taken for a line of the log.
            line += "".join(f"\n    | {one_line(part, 2_000)}" for part in text.splitlines())
        return line
