from __future__ import annotations

import datetime as dt
import re
import unicodedata
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdao_sdk.aws import calls
from cdao_sdk.kinds.failure_rules import Rule, rules
from cdao_sdk.kinds.failures import Diagnosis, translate
from cdao_sdk.kinds.job import FailureClass, Phase
from cdao_sdk.kinds.observation import classify
from cdao_sdk.kinds.redaction import redacted

CLASSES = {
    "memory",
    "disk",
    "iam",
    "image",
    "quota",
    "capacity",
    "spot",
    "data",
    "user",
    "system",
    "timeout",
    "network",
    "stopped",
    "recoverable",
}
EXAMPLES = [rule for rule in rules() if rule.example]
OOM = "Please use an instance type with more memory, or reduce the size of job data"


def named(rule: Rule) -> str:
    return f"{rule.failure_class}-{rule.source}-{rule.example[:30]}"


class TestTable:
    def test_it_holds_sixty_real_texts_or_more_with_source_and_date(self) -> None:
        assert len([rule for rule in EXAMPLES if rule.verbatim]) >= 60
        for rule in rules():
            assert re.search(r"#\d+$|^https://|^botocore |/.*\.py$", rule.source), rule
            assert dt.date.fromisoformat(rule.as_of) >= dt.date(2026, 11, 1)

    @pytest.mark.parametrize("rule", EXAMPLES, ids=named)
    def test_every_example_is_recognised(self, rule: Rule) -> None:
        told = translate(rule.example)
        assert told.failure_class == rule.failure_class
        assert told.evidence

    def test_every_rule_has_something_to_recognise(self) -> None:
        for rule in rules():
            assert rule.pattern or rule.codes or rule.exit_codes or rule.statuses

    @pytest.mark.parametrize("rule", [rule for rule in EXAMPLES if rule.words], ids=named)
    def test_words_are_never_missing_where_the_pattern_is_found(self, rule: Rule) -> None:
        assert rule.pattern
        for text in (found[0].lower() for found in rule.pattern.finditer(rule.example)):
            assert any(word in text for word in rule.words)

    def test_every_class_is_reached(self) -> None:
        assert {rule.failure_class for rule in rules()} == CLASSES
        assert CLASSES | {"unknown"} <= set(get_args(FailureClass))

    @pytest.mark.parametrize(
        ("prefix", "failure_class"),
        [
            ("AlgorithmError", "user"),
            ("ClientError", "user"),
            ("InternalServerError", "system"),
            ("CapacityError", "capacity"),
        ],
    )
    def test_every_prefix_of_sagemaker_has_a_class(self, prefix: str, failure_class: str) -> None:
        assert translate(f"{prefix}: something new").failure_class == failure_class

    @pytest.mark.parametrize("rule", EXAMPLES, ids=named)
    def test_cause_and_mend_are_a_sentence_each(self, rule: Rule) -> None:
        told = translate(rule.example, kind="training", instance_type="ml.m5.xlarge")
        for sentence in (told.cause, told.mend):
            assert sentence[0].isupper()
            assert sentence.endswith((".", "…"))
            assert not set("{}\n") & set(sentence)

    def test_secondary_statuses_that_end_a_job_are_known(self) -> None:
        for secondary in ("MaxRuntimeExceeded", "MaxWaitTimeExceeded", "Interrupted"):
            assert translate("", secondary_status=secondary).failure_class in ("timeout", "spot")


class TestRetrying:
    @pytest.mark.parametrize(
        "rule",
        [
            rule
            for rule in EXAMPLES
            if re.match(
                r"AlgorithmError|ClientError: (?!An error)|Internal|Capacity|\[", rule.example
            )
            and (rule.pattern or rule.exit_codes)
            and not rule.example.startswith("[10/")  # log lines of built-in algorithms
            and not rule.example.startswith("[E ")  # and of NCCL's
        ],
        ids=named,
    )
    def test_it_agrees_with_the_phase(self, rule: Rule) -> None:
        retryable = classify(rule.example).phase is Phase.RETRYABLE
        assert translate(rule.example).retryable is retryable

    @pytest.mark.parametrize("code", sorted(calls._LATER))
    def test_what_the_client_waits_for_is_retryable(self, code: str) -> None:
        told = translate("Rate exceeded, or so", code=code)
        assert told.retryable
        assert told.failure_class in ("quota", "capacity", "system", "network")

    @pytest.mark.parametrize("code", sorted(calls._DENIED))
    def test_denials_are_iam_and_final(self, code: str) -> None:
        told = translate("no", code=code)
        assert (told.failure_class, told.retryable) == ("iam", False)

    def test_a_quota_is_waited_for_at_create_time_only(self) -> None:
        text = "The account-level service limit 'x' is 2 Instances, with current utilization of 2"
        assert translate(text, code="ResourceLimitExceeded").retryable
        assert not translate(f"ClientError: {text}").retryable

    def test_a_type_that_a_region_lacks_is_not_waited_for(self) -> None:
        text = "The requested resource training-job/ml.p2.xlarge is not available in this region"
        assert not translate(text, code="ResourceLimitExceeded").retryable

    def test_what_the_function_met_is_never_retried(self) -> None:
        told = translate("AlgorithmError: [cdao:USER] ConnectionError: Rate exceeded")
        assert not told.retryable


class TestEvidence:
    def test_a_log_says_more_than_a_script_error(self) -> None:
        told = translate(
            "AlgorithmError: ExecuteUserScriptError:\nExitCode 1",
            log_tail=[
                "epoch 3 loss 0.2",
                "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
                "subprocess.CalledProcessError: Command 'x' returned non-zero exit status 1.",
                "uploading",
            ],
        )
        assert told.failure_class == "memory"
        assert told.evidence.startswith("torch.cuda.OutOfMemoryError")

    def test_the_line_nearest_to_the_end_counts(self) -> None:
        told = translate(
            "AlgorithmError: , exit code: 1",
            log_tail=["ConnectionResetError: retrying", "all is well", "KeyError: 'age'"],
        )
        assert (told.failure_class, told.evidence) == ("user", "KeyError: 'age'")

    def test_a_clear_reason_is_not_overruled_by_the_log(self) -> None:
        told = translate(f"ClientError: {OOM}", log_tail=["ValueError: harmless"])
        assert told.failure_class == "memory"

    def test_a_fault_of_sagemakers_gives_way_to_memory(self) -> None:
        reason = "InternalServerError: We encountered an internal error. Please try again."
        assert translate(reason, log_tail=["ValueError: x"]).failure_class == "system"
        told = translate(reason, log_tail=["bash: line 3:   17 Killed   python train.py"])
        assert (told.failure_class, told.retryable) == ("memory", False)

    @pytest.mark.parametrize(
        ("exit_code", "failure_class"),
        [(137, "memory"), (-9, "memory"), (139, "user"), (143, "stopped"), (127, "image")],
    )
    def test_exit_codes(self, exit_code: int, failure_class: str) -> None:
        given = translate("AlgorithmError: ", exit_code=exit_code)
        read = translate(f"AlgorithmError: , exit code: {exit_code}")
        assert given.failure_class == read.failure_class == failure_class

    def test_an_exit_code_that_says_nothing_is_no_evidence(self) -> None:
        assert translate("AlgorithmError: , exit code: 1").failure_class == "user"

    def test_the_function_s_own_words_are_read_behind_the_runner_s_tag(self) -> None:
        told = translate("AlgorithmError: [cdao:USER] KeyError: 'age'\n  steps.py:7 in f: d['age']")
        assert told.cause == "The job's code raised KeyError: 'age'."
        assert told.user_traceback == "  steps.py:7 in f: d['age']"

    @pytest.mark.parametrize(
        ("reason", "failure_class"),
        [
            ("[cdao:USER] MemoryError: the job ran out of memory: choose", "memory"),
            ("[cdao:USER] OSError: the job's disk is full: raise volume_size_gb", "disk"),
            ("[cdao:USER] ModuleNotFoundError: No module named 'torch'", "image"),
            ("[cdao:USER] ClientError: An error occurred (AccessDenied) when calling", "iam"),
        ],
    )
    def test_what_the_function_lacked_has_its_class(self, reason: str, failure_class: str) -> None:
        assert translate(reason).failure_class == failure_class

    def test_a_traceback_in_the_reason_is_read(self) -> None:
        reason = (
            "AlgorithmError: framework error: \nTraceback (most recent call last):\n"
            '  File "train.py", line 3, in main\n    run()\nValueError: no rows'
        )
        told = translate(reason)
        assert told.cause == "The job's code raised ValueError: no rows."
        assert told.user_traceback.splitlines()[-1] == "ValueError: no rows"

    def test_the_last_traceback_of_the_log_is_kept(self) -> None:
        log = [
            "Traceback (most recent call last):",
            '  File "a.py", line 1, in <module>',
            "KeyError: 1",
            "During handling of the above exception, another exception occurred:",
            "Traceback (most recent call last):",
            *[f'  File "b.py", line {number}, in f' for number in range(40)],
            "ValueError: 2",
            "cleaning up",
        ]
        lines = translate("AlgorithmError: ", log_tail=log).user_traceback.splitlines()
        assert lines[-1] == "ValueError: 2"
        assert len(lines) <= 12


class TestStops:
    def test_a_stopped_job_is_stopped_whatever_its_container_said(self) -> None:
        told = translate("[cdao:INTERRUPTED] StopRequest: SIGTERM", status="Stopped")
        assert (told.failure_class, told.retryable) == ("stopped", False)

    def test_a_job_stopped_at_its_limit_ran_too_long(self) -> None:
        reason = "ClientError: The job ran longer than its MaxRuntimeInSeconds"
        assert translate(reason, status="Stopped").failure_class == "timeout"

    def test_an_interrupted_job_is_a_spot_reclaim(self) -> None:
        told = translate("[cdao:INTERRUPTED] StopRequest: SIGTERM", status="Failed")
        assert (told.failure_class, told.retryable) == ("spot", True)


class TestMends:
    @pytest.mark.parametrize(
        ("instance_type", "words"),
        [
            ("ml.m5.xlarge", "Choose ml.m5.2xlarge (32 GiB) instead of ml.m5.xlarge (16 GiB)"),
            ("ml.m5.24xlarge", "a family with more memory than ml.m5.24xlarge (384 GiB)"),
            ("ml.q9.large", "Choose an instance_type with more memory"),
            ("", "Choose an instance_type with more memory"),
        ],
    )
    def test_a_larger_instance_is_named(self, instance_type: str, words: str) -> None:
        told = translate(f"ClientError: {OOM}", kind="training", instance_type=instance_type)
        assert words in told.mend

    def test_a_disk_of_the_instance_s_own_is_not_enlarged_by_an_option(self) -> None:
        full = "OSError: [Errno 28] No space left on device"
        assert "volume_size_gb" in translate(full, instance_type="ml.m5.large").mend
        assert "volume_size_gb" not in translate(full, instance_type="ml.g4dn.xlarge").mend


def test_nothing_known_is_said_to_be_unknown() -> None:
    assert translate("").cause == "Nothing says why it failed."
    told = translate("Quantum flux")
    assert (told.failure_class, told.cause) == ("unknown", "Quantum flux")


SECRETS = [
    "AKIAIOSFODNN7EXAMPLE",
    "https://b.s3.amazonaws.com/k?X-Amz-Credential=abc&X-Amz-Signature=0123456789abcdef",
    "aws_secret_access_key=wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
    '"password": "correct-horse"',
    "https://user:hunter22@example.com/simple",
    "Authorization: Bearer abcdefghijklmnop",
    "hf_abcdefghijklmnopqrstuvwx",
]
WORDS = "IOSFODNN7|0123456789abcdef|wJalrX|correct-horse|hunter22|abcdefghijklmnop"


def texts_of(told: Diagnosis) -> str:
    return f"{told.cause}\n{told.mend}\n{told.evidence}\n{told.user_traceback}"


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "frame", ["{}", "ValueError: cannot read {}", 'No S3 objects found under S3 URL "{}"']
)
def test_secrets_are_hidden(frame: str, secret: str) -> None:
    text = frame.format(secret)
    log = ["Traceback (most recent call last):", f"  get({secret})", text]
    for told in (translate(text), translate("AlgorithmError: ", log_tail=log)):
        assert not re.search(WORDS, texts_of(told))


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=4096, pad_token_id=50256, eos_token=<eos>, tokenizer=bert-base-uncased",
        "s3://bucket/key?versionId=3",
        "arn:aws:iam::123456789012:role/r",
        "key=value; KeyError: 'password'",
    ],
)
def test_harmless_words_are_left(text: str) -> None:
    assert redacted(text) == text


KNOWN = st.sampled_from([rule.example for rule in EXAMPLES])
SAID = st.one_of(st.text(), KNOWN, st.lists(st.one_of(st.text(), KNOWN)).map("\n".join))


@settings(max_examples=150, deadline=None)
@given(
    reason=SAID,
    log_tail=st.lists(SAID, max_size=8),
    status=st.sampled_from(["", "Failed", "Stopped", "Completed", "Dreaming"]),
    secondary=st.sampled_from(["", "Failed", "MaxRuntimeExceeded", "Stopped", "Dreaming"]),
    exit_code=st.one_of(st.none(), st.integers()),
    code=st.one_of(st.just(""), st.text(), st.sampled_from(sorted(calls._LATER))),
    instance_type=st.sampled_from(["", "ml.m5.xlarge", "ml.m5.large + ml.g5.xlarge", "x"]),
)
def test_it_never_raises_and_its_words_are_bounded(
    *,
    reason: str,
    log_tail: list[str],
    status: str,
    secondary: str,
    exit_code: int | None,
    code: str,
    instance_type: str,
) -> None:
    told = translate(
        reason,
        log_tail=log_tail,
        status=status,
        secondary_status=secondary,
        exit_code=exit_code,
        kind="training",
        instance_type=instance_type,
        code=code,
    )
    assert told.failure_class in CLASSES | {"unknown"}
    assert told.cause
    assert told.mend
    assert len(told.cause) <= 401
    assert len(told.mend) <= 401
    assert len(told.evidence) <= 500
    assert len(told.user_traceback) <= 2000
    assert "\n" not in told.cause + told.mend + told.evidence
    assert not {"Cc", "Cs"} & {unicodedata.category(c) for c in texts_of(told).replace("\n", "")}


def test_a_long_hostile_log_is_read_in_time() -> None:
    log = ["[" * 5_000 + "a" * 5_000] * 1_000
    assert translate("AlgorithmError: " + "x" * 100_000, log_tail=log).failure_class == "user"


@pytest.mark.parametrize(
    "again",
    ["[rank0]: ", "exit code ", "KeyError: Error ", "A.b:", "0: ", " - ", "not authorized to ",
     "subnet does not, ", "S3 key: ", "[1,0]<stderr>:", "manifest ", "ErrorMessage \"", "NCCL "],
)  # fmt: skip
@pytest.mark.timeout(20)  # some 20 ms; a pattern that tries everything would need hours
def test_no_text_takes_long(again: str) -> None:
    told = translate(f"AlgorithmError: {again * 900}", log_tail=[again * 400] * 150)
    assert told.cause
