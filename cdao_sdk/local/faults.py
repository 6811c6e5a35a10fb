"""Faults that the embedded AWS can show on purpose: rules as data, checked whole.

    {"seed": 0, "rules": [{"fault": "throttling", "operations": "Create*", "first": 2}]}

The table in `docs/local.md` says what each fault takes. Everything here is pure.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from cdao_sdk.local.job_kinds import JOB_KINDS
from cdao_sdk.local.service_model import sagemaker_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["FaultPlan", "FaultsRefused", "Rule", "parse_plan", "parse_rule", "plan_text"]

RequestFault = Literal["throttling", "server_error", "dropped_connection", "latency", "clock_skew"]
JobFault = Literal["quota", "capacity", "interruption", "slow_start"]

JOB_FAULTS: frozenset[str] = frozenset({"quota", "capacity", "interruption", "slow_start"})
"""Those that strike a job; they are chosen once, by the job's valid Create… request."""


class FaultsRefused(ValueError):
    """A document of faults that says something wrong; names all of it.

    Attributes:
        problems: One sentence for each.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("The faults are not valid: " + "; ".join(problems))


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One kind of fault, and whom it strikes.

    Attributes:
        fault: What happens.
        operations: Glob of the operations: SageMaker's by their name (`Create*Job`), those of other
            services with their service (`s3:PutObject`, `logs:*`).
        names: Glob of the job's or model's name; for S3 of `bucket/key`.
        first: Only the first so many that match.
        every: Only each so-manieth that matches.
        probability: Only this share of those that match, drawn from the plan's seed.
        per_name: Whether `first` and `every` count for each name apart.
        seconds: latency: of the answer. clock_skew: by which this AWS's clock is ahead (negative:
            behind). slow_start: until instances are there. capacity: how long it is missing.
            interruption: after the beginning of Training.
        when: server_error, dropped_connection: before the call takes effect, or after it has.
        code: server_error: the error's code.
        outcome: capacity: `fail` ends the job with a CapacityError, `wait` lets it start later.
        times: interruption: how often a job is interrupted.
        instance_type: quota: glob of the instance types that it is for.
        limit: quota: instances in use that it allows, for each type and usage.
    """

    fault: RequestFault | JobFault
    operations: str = "*"
    names: str = "*"
    first: int | None = None
    every: int | None = None
    probability: float | None = None
    per_name: bool = False
    seconds: float = 0.0
    when: Literal["before", "after"] = "before"
    code: Literal["InternalFailure", "ServiceUnavailable"] = "InternalFailure"
    outcome: Literal["fail", "wait"] = "fail"
    times: int = 1
    instance_type: str = "*"
    limit: int = 0

    @property
    def is_for_jobs(self) -> bool:
        """Whether it strikes a job, not a request."""
        return self.fault in JOB_FAULTS

    def matches(self, operation: str, name: str) -> bool:
        """Whether a call is one of those that the rule is about."""
        return fnmatchcase(operation, self.operations) and fnmatchcase(name, self.names)

    def strikes(self, number: int, draw: Callable[[], float]) -> bool:
        """Whether the `number`th match (from 1) is struck; `draw` gives a share from 0 to 1."""
        if self.first is not None and number > self.first:
            return False
        if self.every is not None and number % self.every:
            return False
        return self.probability is None or draw() < self.probability


@dataclass(frozen=True)
class FaultPlan:
    """The rules in force, and the seed of their chances."""

    rules: tuple[Rule, ...] = ()
    seed: int = 0

    def document(self) -> dict[str, Any]:
        """The plan as `parse_plan` takes it; what is as by default is left out."""
        return {"seed": self.seed, "rules": [_shown(rule) for rule in self.rules]}


def parse_plan(text: str | bytes) -> FaultPlan:
    """Read a JSON document of faults.

    Raises:
        FaultsRefused: naming everything that is wrong with it.

    Example:
        >>> parse_plan('{"rules": [{"fault": "throttling", "first": 2}]}').rules[0].first
        2
    """
    document = _object(text)
    problems = [
        f"unknown member {name!r}: there are 'seed' and 'rules'"
        for name in document.keys() - {"seed", "rules"}
    ]
    seed, rules = document.get("seed", 0), document.get("rules", [])
    if not _is_whole(seed):
        problems.append(f"seed must be a whole number, not {seed!r}")
    if not isinstance(rules, list):
        problems.append(f"rules must be a list, not {rules!r}")
        rules = []
    for number, rule in enumerate(cast("list[object]", rules)):
        problems += [f"rules[{number}]: {problem}" for problem in _problems(rule)]
    if problems:
        raise FaultsRefused(problems)
    return FaultPlan(tuple(Rule(**rule) for rule in cast("list[dict[str, Any]]", rules)), seed)


def plan_text(source: str) -> str:
    """The document that a setting names: itself if it is JSON, else the file at this path.

    Raises:
        FaultsRefused: the file cannot be read, or the document is not valid.
    """
    text = source
    if not source.lstrip().startswith("{"):
        try:
            text = Path(source).expanduser().read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            msg = f"{source!r} is neither a JSON object nor a file that can be read: {error}"
            raise FaultsRefused([msg]) from error
    parse_plan(text)
    return text


def parse_rule(text: str) -> Rule:
    """Read one rule: a JSON object, or the bare name of a fault.

    Raises:
        FaultsRefused: naming everything that is wrong with it.
    """
    bare: dict[str, Any] = {"fault": text.strip()}
    rule = _object(text) if text.startswith("{") else bare
    problems = list(_problems(rule))
    if problems:
        raise FaultsRefused(problems)
    return Rule(**rule)


# --- checking ---


@dataclass(frozen=True)
class _Check:
    says: str
    holds: Callable[[Any], bool]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _one_of(*words: str) -> _Check:
    return _Check(f"must be one of {', '.join(map(repr, words))}", lambda value: value in words)


_TEXT = _Check(
    "must be a text that is not empty", lambda value: isinstance(value, str) and value != ""
)
_COUNT = _Check("must be a whole number from 1", lambda value: _is_whole(value) and value >= 1)
_LIMIT = _Check("must be a whole number from 0", lambda value: _is_whole(value) and value >= 0)
_SHARE = _Check("must be a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1)
_FLAG = _Check("must be true or false", lambda value: isinstance(value, bool))
_TIMES = _Check(
    "must be a whole number from 1 to 1000", lambda value: _is_whole(value) and 1 <= value <= 1000
)
_SECONDS = _Check(
    "must be a number of seconds from 0 to 86400",
    lambda value: _is_number(value) and 0 <= value <= 86_400,
)
_SKEW = _Check(
    "must be a number of seconds from -86400 to 86400 other than 0",
    lambda value: _is_number(value) and 0 < abs(value) <= 86_400,
)

_COMMON = {
    "operations": _TEXT,
    "names": _TEXT,
    "first": _COUNT,
    "every": _COUNT,
    "probability": _SHARE,
    "per_name": _FLAG,
}
_WHEN = _one_of("before", "after")
# What each fault takes beside _COMMON.
_OWN: Mapping[str, Mapping[str, _Check]] = {
    "throttling": {},
    "server_error": {"when": _WHEN, "code": _one_of("InternalFailure", "ServiceUnavailable")},
    "dropped_connection": {"when": _WHEN},
    "latency": {"seconds": _SECONDS},
    "clock_skew": {"seconds": _SKEW},
    "quota": {"instance_type": _TEXT, "limit": _LIMIT},
    "capacity": {"outcome": _one_of("fail", "wait"), "seconds": _SECONDS},
    "interruption": {"seconds": _SECONDS, "times": _TIMES},
    "slow_start": {"seconds": _SECONDS},
}
_REQUIRED = {"latency": "seconds", "clock_skew": "seconds", "slow_start": "seconds"}
_CREATES = [f"Create{kind.title}" for kind in JOB_KINDS]


def _problems(rule: object) -> Iterator[str]:
    if not isinstance(rule, dict):
        yield f"a rule must be an object, not {rule!r}"
        return
    given = cast("dict[str, object]", rule)
    fault = given.get("fault")
    if not isinstance(fault, str) or fault not in _OWN:
        yield f"fault must be one of {', '.join(map(repr, _OWN))}, not {fault!r}"
        return
    checks = {**_COMMON, **_OWN[fault]}
    for name, value in given.items():
        if name == "fault":
            continue
        check = checks.get(name)
        if check is None:
            yield f"{fault} takes no {name!r}: it takes {', '.join(map(repr, checks))}"
        elif not check.holds(value):
            yield f"{name} {check.says}, not {value!r}"
    required = _REQUIRED.get(fault)
    if required and required not in given:
        yield f"{fault} needs {required!r}"
    operations = given.get("operations", "*")
    if isinstance(operations, str) and operations:
        yield from _never_struck(fault, operations)


def _never_struck(fault: str, operations: str) -> Iterator[str]:
    """What is wrong with a glob of operations that nothing can match; a slip of the pen."""
    if fault in JOB_FAULTS:
        if not any(fnmatchcase(create, operations) for create in _CREATES):
            yield f"operations of {fault} must match one of {_CREATES}, not {operations!r}"
    elif operations.lower().startswith("sagemaker:"):
        yield f"operations of SageMaker have no prefix: not {operations!r}"
    elif operations.isalnum() and operations not in sagemaker_model().operations:
        yield (
            f"operations: SageMaker has none called {operations!r} (those of other services have "
            "a prefix, such as 's3:PutObject')"
        )


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"not JSON: {error}"
        raise FaultsRefused([msg]) from error
    if not isinstance(document, dict):
        msg = f"must be a JSON object, not {document!r}"
        raise FaultsRefused([msg])
    return cast("dict[str, Any]", document)


def _shown(rule: Rule) -> dict[str, Any]:
    defaults = {one.name: one.default for one in fields(rule) if one.name != "fault"}
    return {
        name: value
        for name, value in asdict(rule).items()
        if name not in defaults or value != defaults[name]
    }
