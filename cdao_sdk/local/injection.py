"""Which faults strike a call: the plan in force and its counts, for all threads of one server."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cdao_sdk.local.faults import FaultPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdao_sdk.local.faults import Rule


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a rule looks at of a request.

    Attributes:
        operation: `CreateTrainingJob`, `s3:PutObject`, …
        name: The job's or model's name, or `bucket/key`; empty where it is about none.
        own: The rule that the request itself brings along.
        attempt: Which try of the client's this is, from 1; its own rule counts by it.
    """

    operation: str
    name: str = ""
    own: Rule | None = None
    attempt: int = 1


class Injector:
    """Chooses the faults of each call. Chances are drawn rule by rule, so a seed repeats them."""

    def __init__(self, plan: FaultPlan | None = None) -> None:
        self._lock = threading.Lock()
        self.replace(plan or FaultPlan())

    def replace(self, plan: FaultPlan) -> None:
        """Put another plan in force; counts and chances begin anew."""
        with self._lock:
            self._plan = plan
            self._draws = [
                random.Random(f"{plan.seed}:{number}")  # noqa: S311 - chances that can be repeated
                for number in range(len(plan.rules))
            ]
            self._matched: Counter[tuple[int, str]] = Counter()
            self._struck: Counter[int] = Counter()

    @property
    def is_idle(self) -> bool:
        """Whether no plan is in force."""
        return not self._plan.rules

    def document(self) -> dict[str, Any]:
        """The plan in force, and by rule how many calls it struck."""
        with self._lock:
            struck = [self._struck[number] for number in range(len(self._plan.rules))]
            return {"plan": self._plan.document(), "struck": struck}

    def for_request(self, call: Call) -> list[Rule]:
        """The faults that strike a request."""
        return self._chosen(call, for_jobs=False)

    def for_job(self, call: Call) -> list[Rule]:
        """The faults that strike the job of a valid Create… request."""
        return self._chosen(call, for_jobs=True)

    def _chosen(self, call: Call, *, for_jobs: bool) -> list[Rule]:
        own = [call.own] if call.own and call.own.is_for_jobs is for_jobs else []
        chosen = [rule for rule in own if rule.strikes(call.attempt, random.random)]
        with self._lock:
            return [*chosen, *self._of_plan(call, self._plan.rules, for_jobs=for_jobs)]

    def _of_plan(self, call: Call, rules: Sequence[Rule], *, for_jobs: bool) -> list[Rule]:
        chosen: list[Rule] = []
        for number, rule in enumerate(rules):
            if rule.is_for_jobs is not for_jobs or not rule.matches(call.operation, call.name):
                continue
            counted = number, call.name if rule.per_name else ""
            self._matched[counted] += 1
            if rule.strikes(self._matched[counted], self._draws[number].random):
                self._struck[number] += 1
                chosen.append(rule)
        return chosen
