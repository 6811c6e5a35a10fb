"""Says what made a job fail, in plain words: class, cause and mend, and whether to try again.

The knowledge is a table, ``catalog/failures.json``: real texts of SageMaker's with their sources.
:func:`cdao_sdk.kinds.observation.classify` says whose fault a failure is, and with it the phase;
:func:`translate` says what to do about it. They agree on what is worth another attempt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.catalog.instances import family, has_local_storage, instance, instance_types
from cdao_sdk.catalog.tables import table
from cdao_sdk.kinds.failure_rules import Rule, rules, worth_trying
from cdao_sdk.kinds.observation import runner_tag
from cdao_sdk.kinds.redaction import one_line, redacted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cdao_sdk.kinds.job import FailureClass

_SENTENCE = 400  # characters of a cause or a mend
_EVIDENCE = 500
_VALUE = 160  # of a value within a sentence
_REASON = 8_192  # SageMaker's own limit is 1,024
_LINES, _LINE = 150, 400
_TRACEBACK_LINES, _TRACEBACK = 12, 2_000

_EXIT_CODE = re.compile(
    r"exit[ _]?(?:code|status)['\"]?\s{0,4}[:=]?\s{0,4}['\"(]?(-?\d{1,3})\b", re.IGNORECASE
)
_HOLE = re.compile(r"\{(?P<name>\w+)(?:\|(?P<otherwise>[^}]*)|: (?P<form>[^}]*))?\}")
_SERVICE_SPEAKS = ("ClientError:", "InternalServerError:", "CapacityError:")
_STOPS = ("Stopped", "Stopping")
_TRACEBACK_HEAD = "Traceback (most recent call last)"
# What torchrun, mpirun and model servers write before the words of a process.
_LAUNCHER = re.compile(
    r"^(\d{1,4}: ?(?=\[))?"
    r"(\[\w{1,12}(,\w{1,12})*\](<std\w+>)?: ?|.{0,200}?(MODEL_LOG|WorkerLifeCycle) - )"
)
_RUNNER_FRAME = re.compile(r"^  \S[^\n]*:\d+ in \S+: ")


@dataclass(frozen=True)
class Diagnosis:
    """What made a job fail, or a request be refused.

    Attributes:
        failure_class: What was missing or wrong; ``"unknown"`` if nothing told.
        cause: One sentence.
        mend: What to do, one sentence.
        retryable: Whether the same again may succeed.
        evidence: The line that decided; empty if there was none.
        user_traceback: The last lines of the user's traceback; empty if there is none.
    """

    failure_class: FailureClass
    cause: str
    mend: str
    retryable: bool
    evidence: str = ""
    user_traceback: str = ""


@dataclass(frozen=True)
class _Told:
    reason: str
    lines: Sequence[str]
    status: str
    secondary_status: str
    exit_code: int | None
    code: str


@dataclass(frozen=True)
class _Found:
    rule: Rule
    values: Mapping[str, str]
    evidence: str


def translate(
    reason: str,
    *,
    log_tail: Sequence[str] = (),
    status: str = "",
    secondary_status: str = "",
    exit_code: int | None = None,
    kind: str = "",
    instance_type: str = "",
    code: str = "",
) -> Diagnosis:
    """What made a job fail, or a request be refused.

    Args:
        reason: FailureReason, ExitMessage, or the message of a refused call.
        log_tail: The job's last log lines, oldest first.
        status: The job's status.
        secondary_status: The job's secondary status.
        exit_code: Of the container's process, where it is known.
        kind: ``"training"``, ``"processing"`` or ``"transform"``.
        instance_type: Such as ``"ml.m5.xlarge"``.
        code: AWS's error code, if a call was refused: what is worth waiting for is retryable then.

    Returns:
        The diagnosis. Nothing raises; secrets in the texts are hidden; lengths are bounded.

    Example:
        >>> told = translate(
        ...     "ClientError: Please use an instance type with more memory, or reduce the size of "
        ...     "job data processed on an instance.",
        ...     kind="training",
        ...     instance_type="ml.m5.xlarge",
        ... )
        >>> told.failure_class, told.retryable
        ('memory', False)
        >>> told.mend
        'Choose ml.m5.2xlarge (32 GiB) instead of ml.m5.xlarge (16 GiB), or read the data in parts.'
    """
    said, lines = reason[:_REASON], _lines(log_tail)
    exited = _exit_code(exit_code, said)
    found = _decide(_Told(said, lines, status, secondary_status, exited, code))
    traceback = _user_traceback(said, lines)
    if found is None:
        first = one_line(said, _EVIDENCE)
        return Diagnosis(
            "unknown",
            one_line(said, _SENTENCE) or "Nothing says why it failed.",
            "Look at the job's log.",
            retryable=False,
            evidence=first,
            user_traceback=traceback,
        )
    values = {**_knowledge(kind, instance_type), **found.values}
    return Diagnosis(
        found.rule.failure_class,
        _sentence(found.rule.cause, values),
        _sentence(found.rule.mend, values),
        retryable=_retryable(found.rule, said, code),
        evidence=one_line(found.evidence, _EVIDENCE),
        user_traceback=traceback,
    )


def _decide(told: _Told) -> _Found | None:
    ended = _by_status(told.secondary_status) if told.secondary_status not in _STOPS else None
    if ended is not None:
        return ended
    found = _in_reason(told.reason)
    ran_out = found is not None and found.rule.failure_class == "timeout"
    if told.status in _STOPS and not ran_out:
        return _by_status(told.status)
    hint = _by_exit_code(told.exit_code, told.reason)
    hint = _said_better(hint, told.lines)
    if found is not None and not found.rule.generic:
        yields = hint is not None and hint.rule.failure_class in found.rule.yields_to
        told_by_runner = runner_tag(told.reason) is not None  # the error that ended the function
        return hint if yields and not told_by_runner else found
    if hint is not None and hint.rule.generic:
        hint = _closer(found, hint)
    return _by_code(told.code, told.reason) or hint or found


def _in_reason(reason: str) -> _Found | None:
    """The first rule that knows the reason; behind the runner's tag it is user code that speaks."""
    tag = runner_tag(reason)
    own_words = reason[tag.end() :] if tag is not None and tag[1] == "USER" else ""
    found = _match(own_words, worth_trying(own_words, log=True)) if own_words else None
    if found is not None and not found.rule.generic:
        return found
    is_service = reason.startswith(_SERVICE_SPEAKS)
    said = " ".join(reason.split()) if is_service else reason  # one sentence, wherever wrapped
    return _match(said, worth_trying(said, log=not is_service))


def _match(text: str, among: Sequence[Rule]) -> _Found | None:
    generic: _Found | None = None
    for rule in among:
        hit = rule.pattern.search(text) if rule.pattern else None
        if hit is None:
            continue
        found = _Found(rule, _values(hit), _line_of(text, hit))
        if not rule.generic:
            return found
        generic = generic or found
    return generic


def _in_log(lines: Sequence[str]) -> _Found | None:
    """What the line nearest to the log's end says, of those that say something.

    What follows from another failure, such as a connection that broke since the other side
    died, gives way to that one.
    """
    held: _Found | None = None
    generic: _Found | None = None
    among = worth_trying("\n".join(lines), log=True)
    for line in reversed(lines):
        found = _match(line, among)
        if found is None or found.rule.generic:
            generic = _closer(generic, found)
        elif held is None and found.rule.yields_to:
            held = found
        elif held is None or found.rule.failure_class in held.rule.yields_to:
            return found
    return held or generic


def _closer(one: _Found | None, other: _Found | None) -> _Found | None:
    """The one that says more: it is nearer to the table's head."""
    if one is None or other is None:
        return one or other
    order = rules()
    return min(one, other, key=lambda found: order.index(found.rule))


def _said_better(exited: _Found | None, lines: Sequence[str]) -> _Found | None:
    """What the log says, if the exit code says nothing, or the same of an image less exactly."""
    if exited is None:
        return _in_log(lines)
    if exited.rule.failure_class != "image":
        return exited
    logged = _in_log(lines)
    return logged if logged is not None and logged.rule.failure_class == "image" else exited


def _by_exit_code(exit_code: int | None, reason: str) -> _Found | None:
    for rule in rules():
        if exit_code is not None and exit_code in rule.exit_codes:
            stated = _EXIT_CODE.search(reason)
            evidence = _line_of(reason, stated) if stated else f"exit code: {exit_code}"
            return _Found(rule, {}, evidence)
    return None


def _by_code(code: str, reason: str) -> _Found | None:
    rule = _code_rule(code)
    said = one_line(reason, _VALUE * 2)
    return _Found(rule, {"message": said} if said else {}, f"{code}: {reason}") if rule else None


def _by_status(status: str) -> _Found | None:
    for rule in rules():
        if status and status in rule.statuses:
            return _Found(rule, {}, status)
    return None


def _code_rule(code: str) -> Rule | None:
    return next((rule for rule in rules() if code and code in rule.codes), None)


def _retryable(rule: Rule, reason: str, code: str) -> bool:
    tag = runner_tag(reason)
    if tag is not None and tag[1] == "USER":
        return False  # the function itself failed, whatever it met
    if rule.retryable is not None:
        return rule.retryable
    by_code = _code_rule(code)
    if by_code is not None:
        return bool(by_code.retryable)
    return rule.failure_class in table("failures")["retryable"]


def _exit_code(given: int | None, reason: str) -> int | None:
    stated = _EXIT_CODE.search(reason)
    return given if given is not None else int(stated[1]) if stated else None


def _values(hit: re.Match[str]) -> dict[str, str]:
    return {
        name: one_line(value.rstrip(".,;"), _VALUE)
        for name, value in hit.groupdict().items()
        if value
    }


def _line_of(text: str, hit: re.Match[str]) -> str:
    start = text.rfind("\n", 0, hit.start()) + 1
    end = text.find("\n", hit.start() + 1)
    return text[start : end if end >= 0 else len(text)]


def _sentence(template: str, values: Mapping[str, str]) -> str:
    def fill(hole: re.Match[str]) -> str:
        value = values.get(hole["name"], "")
        if hole["form"] is not None:
            return " " + hole["form"].replace("%s", value) if value else ""
        return value or hole["otherwise"] or "it"

    said = one_line(_HOLE.sub(fill, template), _SENTENCE)
    return said if said.endswith((".", "…", "!", "?")) else f"{said}."


def _knowledge(kind: str, instance_type: str) -> dict[str, str]:
    """What the catalog adds: a type with more memory, and how to get a larger disk."""
    local = has_local_storage(instance_type)
    words = {
        "bigger": _bigger(kind, instance_type) or "an instance_type with more memory",
        "larger_disk": "Take a larger instance_type (it has disks of its own)"
        if local
        else "Raise volume_size_gb",
    }
    return {**words, "instance": one_line(instance_type, _VALUE)} if instance_type else words


def _bigger(kind: str, instance_type: str) -> str:
    now = instance(instance_type)
    if now is None or now.memory_gib is None:
        return ""
    larger = [
        (other.memory_gib, name)
        for name in instance_types(kind or "training")
        if family(name) == family(instance_type)
        and (other := instance(name)) is not None
        and other.memory_gib is not None
        and other.memory_gib > now.memory_gib
    ]
    if not larger:
        return f"a family with more memory than {instance_type} ({now.memory_gib:g} GiB)"
    memory, name = min(larger)
    return f"{name} ({memory:g} GiB) instead of {instance_type} ({now.memory_gib:g} GiB)"


def _lines(log_tail: Sequence[str]) -> list[str]:
    lines = [line for entry in log_tail[-_LINES:] for line in entry[-_REASON:].splitlines()]
    return [_LAUNCHER.sub("", line)[:_LINE] for line in lines[-_LINES:]]


def _user_traceback(reason: str, lines: Sequence[str]) -> str:
    """The end of the last traceback in the log, or of the one in the reason."""
    said = reason.splitlines()
    for source in (lines, said):
        heads = [number for number, line in enumerate(source) if _TRACEBACK_HEAD in line]
        if heads:
            return _tail(_block(source[heads[-1] :]))
    return _tail(line for line in said if _RUNNER_FRAME.match(line))


def _block(lines: Sequence[str]) -> Iterator[str]:
    """A traceback's lines: the indented ones, and the error's own."""
    for number, line in enumerate(lines):
        yield line
        if number and line.strip() and not line.startswith((" ", "\t")):
            return


def _tail(lines: Iterator[str]) -> str:
    kept = [redacted(line.rstrip()).expandtabs(4) for line in lines]
    return "\n".join(kept[-_TRACEBACK_LINES:])[-_TRACEBACK:]
