"""Faults on purpose: rules as data, and which calls they strike."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from cdao_sdk.local.faults import FaultPlan, FaultsRefused, Rule, parse_plan, parse_rule, plan_text
from cdao_sdk.local.injection import Call, Injector

if TYPE_CHECKING:
    from pathlib import Path


def test_a_plan_reads_back_as_it_was() -> None:
    plan = FaultPlan((Rule(fault="latency", seconds=0.5), Rule(fault="quota", limit=2)), seed=3)
    assert parse_plan(json.dumps(plan.document())) == plan


def test_everything_wrong_with_a_plan_is_told_at_once() -> None:
    rules = [
        {"fault": "thunder"},
        {"fault": "throttling", "first": 0, "when": "after"},
        {"fault": "latency"},
        {"fault": "server_error", "probability": True, "names": ""},
        "throttling",
    ]
    with pytest.raises(FaultsRefused) as error:
        parse_plan(json.dumps({"rules": rules, "seed": "x", "more": 1}))
    text = " | ".join(error.value.problems)
    assert len(error.value.problems) == 9
    assert "unknown member 'more'" in text
    assert "seed must be a whole number, not 'x'" in text
    assert "rules[0]: fault must be one of 'throttling'" in text
    assert "rules[1]: first must be a whole number from 1, not 0" in text
    assert "rules[1]: throttling takes no 'when'" in text
    assert "rules[2]: latency needs 'seconds'" in text
    assert "rules[3]: probability must be a number from 0 to 1, not True" in text
    assert "rules[4]: a rule must be an object, not 'throttling'" in text


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"fault": "throttling", "operations": "CreateTraningJob"}, "has none called 'CreateTran"),
        ({"fault": "throttling", "operations": "PutObject"}, "such as 's3:PutObject'"),
        ({"fault": "throttling", "operations": "sagemaker:Create*"}, "have no prefix"),
        ({"fault": "quota", "operations": "Describe*"}, "must match one of ['CreateTrainingJob'"),
        ({"fault": "interruption", "times": 10**9}, "from 1 to 1000, not 1000000000"),
    ],
)
def test_a_rule_that_can_strike_nothing_or_too_much_is_refused(
    rule: dict[str, object], words: str
) -> None:
    with pytest.raises(FaultsRefused, match=re.escape(words)):
        parse_plan(json.dumps({"rules": [rule]}))


@pytest.mark.parametrize("text", ["{", "[]", "3", "[" * 100_000])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(FaultsRefused, match="JSON"):
        parse_plan(text)


def test_a_rule_is_a_bare_name_or_an_object() -> None:
    assert parse_rule("throttling") == Rule(fault="throttling")
    assert parse_rule('{"fault": "latency", "seconds": 1}').seconds == 1
    with pytest.raises(FaultsRefused, match="latency needs 'seconds'"):
        parse_rule("latency")


def test_a_source_is_the_document_or_its_file(tmp_path: Path) -> None:
    document = '{"rules": []}'
    (tmp_path / "faults.json").write_text(document)
    assert plan_text(str(tmp_path / "faults.json")) == plan_text(document) == document
    with pytest.raises(FaultsRefused, match="neither a JSON object nor a file"):
        plan_text(str(tmp_path / "none.json"))


def struck(rule: Rule, calls: list[Call], seed: int = 0) -> list[int]:
    injector = Injector(FaultPlan((rule,), seed))
    return [number for number, call in enumerate(calls, 1) if injector.for_request(call)]


def test_first_every_and_names_choose_calls() -> None:
    calls = [Call(operation="CreateTrainingJob", name=name) for name in "aabbab"]
    assert struck(Rule(fault="throttling", first=2), calls) == [1, 2]
    assert struck(Rule(fault="throttling", every=3), calls) == [3, 6]
    assert struck(Rule(fault="throttling", first=1, per_name=True), calls) == [1, 3]
    assert struck(Rule(fault="throttling", names="b*"), calls) == [3, 4, 6]
    assert struck(Rule(fault="throttling", operations="Describe*"), calls) == []


def test_chances_repeat_with_their_seed() -> None:
    calls = [Call(operation="ListModels")] * 400
    rule = Rule(fault="throttling", probability=0.25)
    first = struck(rule, calls, seed=1)
    assert struck(rule, calls, seed=1) == first
    assert struck(rule, calls, seed=2) != first
    assert 60 < len(first) < 140
