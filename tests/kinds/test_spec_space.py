"""A spec is refused with its problems, or all its requests are valid: over the whole space."""

from __future__ import annotations

import subprocess
import sys
import timeit
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from cdao_sdk.errors import SpecError
from cdao_sdk.kinds.build import build_spec, load_spec
from cdao_sdk.kinds.job import JobContext, RuntimeFiles
from cdao_sdk.kinds.registry import KINDS, kind

words = st.text(max_size=8)
small_maps = st.dictionaries(st.one_of(st.sampled_from(["A", "B_1", "CDAO_X"]), words), words)
positive = st.one_of(st.integers(-1, 200), st.integers(1, 3_000_000))

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "instance_type": st.one_of(
        st.sampled_from(
            ["ml.m5.large", "ml.m5.xlarge", "ml.g5.xlarge", "ml.p4d.24xlarge", "ml.m77.large"]
        ),
        words,
    ),
    "instance_count": positive,
    "volume_size_gb": positive,
    "max_runtime_seconds": positive,
    "framework": st.sampled_from(
        ["sklearn", "xgboost", "PyTorch", "tensorflow", "huggingface", "caffe"]
    ),
    "framework_version": st.sampled_from(["1.2-1", "0.23-1", "2.6", "1.8.0", "2.19", "x"]),
    "python_version": st.sampled_from(["py36", "3.9", "py3", "3.12", "py27"]),
    "algorithm": st.sampled_from(["xgboost", "k-means", "Linear Learner", "magic"]),
    "container_image": st.one_of(st.just("own/image:1"), words),
    "environment": small_maps,
    "model_environment": small_maps,
    "tags": small_maps,
    "kms_key_id": st.one_of(st.just("alias/key"), words),
    "output_kms_key_id": st.one_of(st.just("1234"), words),
    "subnets": st.lists(st.one_of(st.sampled_from(["subnet-1", "sg-1"]), words), max_size=20),
    "security_group_ids": st.lists(st.sampled_from(["sg-1", "sg-2"]), max_size=7),
    "enable_network_isolation": st.one_of(st.booleans(), st.none(), st.just("yes")),
    "output_path": st.one_of(st.just("s3://bucket/x/"), words),
    "use_spot_instances": st.booleans(),
    "spot_instance_max_wait_seconds": positive,
    "hyperparameters": st.dictionaries(
        words,
        st.one_of(words, st.integers(), st.floats(), st.booleans(), st.lists(st.integers())),
    ),
    "metric_definitions": st.dictionaries(words, words, max_size=3),
    "metrics": st.lists(words, max_size=3),
    "input_mode": st.sampled_from(["File", "FastFile", "Pipe", "file"]),
    "checkpoint_uri": st.one_of(st.just("s3://bucket/c"), words),
    "keep_alive_seconds": st.integers(-1, 30_000),
    "max_pending_seconds": positive,
    "retry_attempts": st.integers(-1, 40),
    "output_compression": st.sampled_from(["none", "GZIP", "zip"]),
    "max_payload_mb": st.integers(-1, 110),
    "max_concurrent_transforms": st.integers(-1, 110),
    "strategy": st.sampled_from(["SingleRecord", "MultiRecord", "Many"]),
    "content_type": st.one_of(st.just("text/csv"), words),
    "accept": st.one_of(st.just("application/json"), words),
    "split_type": st.sampled_from(["Line", "None", "RecordIO", "line"]),
    "assemble_with": st.sampled_from(["Line", "None"]),
    "input_filter": st.one_of(st.just("$[1:]"), words),
    "join_source": st.sampled_from(["Input", "None"]),
    "model_timeout_seconds": st.integers(-1, 4000),
    "model_max_retries": st.integers(-1, 5),
}


@st.composite
def job_options(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(sorted(KINDS)))
    fields = sorted(VALUES.keys() & KINDS[name].spec.model_fields.keys())
    chosen = draw(st.lists(st.sampled_from(fields), unique=True, max_size=4))
    options = {field: draw(VALUES[field]) for field in chosen}
    if name == "training" and not options.keys() & {"framework", "algorithm", "container_image"}:
        options["framework"] = draw(st.sampled_from(["xgboost", "pytorch", "sklearn"]))
    return name, options


@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(job=job_options(), has_body=st.booleans())
def test_a_spec_is_refused_or_its_requests_are_valid(
    *,
    job: tuple[str, dict[str, Any]],
    has_body: bool,
    context: Callable[..., JobContext],
    transform_context: Callable[..., JobContext],
    runtime: RuntimeFiles,
    faults: Callable[..., list[str]],
) -> None:
    name, options = job
    try:
        spec = build_spec(name, options)
    except SpecError as error:
        event("refused")
        spec, problems = None, error.problems
    if spec is None:
        assert problems
        return
    event("accepted")
    assert load_spec(name, spec.model_dump(mode="json", exclude_defaults=True)) == spec
    make = transform_context if name == "transform" else context
    run = make(runtime=runtime if has_body and spec.body_rule != "stub" else None)
    assert faults(kind(name).requests(spec, run)) == []


def test_a_request_takes_less_than_a_millisecond(
    context: Callable[..., JobContext], runtime: RuntimeFiles
) -> None:
    run = context(runtime=runtime, tags={"a": "b"})
    for name in ("training", "processing"):
        spec = build_spec(name, {"framework": "scikit-learn", "environment": {"A": "b"}})
        requests = kind(name).requests
        best = min(timeit.repeat(lambda: requests(spec, run), number=20, repeat=5)) / 20  # noqa: B023
        assert best < 1e-3


@pytest.mark.parametrize("module", ["cdao_sdk.kinds.registry", "cdao_sdk.kinds.build"])
def test_kinds_import_nothing_heavy(module: str) -> None:
    heavy = "{'boto3', 'botocore', 'flytekit', 'rich', 'pandas', 'IPython'}"
    code = f"import sys, {module}; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
