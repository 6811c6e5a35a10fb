"""Texts of the table's families in other words, with other names and numbers, and their doubles."""

from __future__ import annotations

import pytest

from cdao_sdk.kinds.failures import translate

SCRIPT_FAILED = 'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage ""'


LINES = {
    "memory": (
        "ERROR:torch.distributed.elastic.multiprocessing.api:failed (exitcode: -7)",
        "  exitcode  : -9 (pid: 14750)",
        "['python3', '-u', 'main.py'] exits with return code = -9",
        "[14] [WARNING] Worker with pid 17 was terminated due to signal 9",
        "Worker (pid:17) was sent SIGKILL! Perhaps out of memory?",
        "subprocess.CalledProcessError: Command 'x' died with <Signals.SIGKILL: 9>.",
        "YarnScheduler: Lost executor 3: Container killed on request. Exit code is 137",
        "The task was killed due to the node running low on memory.",
        "OSError: [Errno 12] Cannot allocate memory",
        "XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 107374 bytes.",
        "[rank3]: RuntimeError: cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
        "RuntimeError: DataLoader worker (pid(s) 71, 72) exited unexpectedly",
        "ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.",
        "OpenBLAS blas_thread_init: pthread_create failed for thread 5 of 64",
    ),
    "quota": ("a.b.AmazonS3Exception: Slow Down (Service: Amazon S3; Status Code: 503)",),
    "disk": ("OSError: [Errno 122] Disk quota exceeded: '/opt/ml/checkpoints'",),
    "system": ("RuntimeError: CUDA error: uncorrectable ECC error encountered",),
    "network": (
        "[E socket.cpp:860] [c10d] The client socket has timed out after 60s",
        "torch.distributed.DistStoreError: Timed out after 901 seconds waiting for clients.",
        "ncclRemoteError: A call failed possibly due to a network error",
        "OSError: [Errno 113] No route to host",
        "ValueError: Connection error, and we cannot find the requested files in the cached path.",
        "psycopg2.OperationalError: could not connect to server: Connection timed out",
        "requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: https://x",
        "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
        "requests.exceptions.ReadTimeout: HTTPSConnectionPool(host='x', port=443): Read timed out.",
        "OSError: [Errno 116] Stale file handle",
        "ssh: connect to host algo-2 port 22: Connection refused",
        "wandb.errors.CommError: Run initialization has timed out after 90.0 sec.",
        "lightgbm.basic.LightGBMError: Socket recv error, Connection reset by peer (code: 104)",
    ),
    "timeout": (
        "gloo/transport/tcp/pair.cc:598] Timed out waiting 30000ms for send operation",
        "[2022-01-01 00:00:00 +0000] [45] [CRITICAL] WORKER TIMEOUT (pid:3906)",
    ),
    "iam": ("com.amazonaws.services.s3.model.AmazonS3Exception: (Status Code: 403; 403 Forbidden",),
    "data": (
        "An error occurred (PermanentRedirect) when calling the ListObjectsV2 operation",
        'b/in.csv: Failed to parse input as CSV: bare " in non quoted field',
        "ValueError: Content type text/tab-separated-values is not supported.",
        "b/part-0.tiff: ClientError: 413",
        "pandas.errors.EmptyDataError: No columns to parse from file",
        "FileNotFoundError: Found no valid file for the classes b.",
        "pyspark.errors.AnalysisException: Path does not exist: s3a://b/x",
        "XGBoostError: [1:2:3] /w/multi.cu:60: SoftmaxMultiClassObj: label size and pred size",
        "ValueError: Input y contains infinity or a value too large for dtype('float64').",
        "Could not find valid base path /opt/ml/model for servable m",
    ),
    "image": (
        "OSError: libcublas.so.11: cannot open shared object file: No such file or directory",
        "python: error while loading shared libraries: libpython3.9.so.1.0: cannot open",
        "× Failed to build installable wheels for some pyproject.toml based projects",
        "Illegal instruction (core dumped)",
        "bash: line 1: nvidia-smi: command not found",
        "Error 804: forward compatibility was attempted on non supported HW",
        "ImportError: cannot import name 'soft_unicode' from 'markupsafe'",
        "AttributeError: module 'numpy' has no attribute 'bool'.",
        "Cannot install a and b because these package versions have conflicting dependencies.",
        "RuntimeError: Error building extension 'fused_adam'",
        "ImportError: x cannot be used: the package bitsandbytes seems to be not installed.",
        "AttributeError: Can't get attribute 'new_block' on <module 'pandas.core.internals'",
        "/bin/sh: 1: python: not found",
        "java.lang.NoSuchMethodError: com.google.common.base.Preconditions.checkArgument",
        "[FATAL tini (7)] exec serve failed: Permission denied",
        "/usr/bin/env: 'bash\\r': No such file or directory",
    ),
    "user": (
        "requests.exceptions.HTTPError: 403 Client Error: Forbidden for url: https://x.org/a",
        "train.py: error: argument --lr: invalid float value: 'x'",
        "RuntimeError: No supported gpu backend found!",
        "wandb: ERROR returned error 403 Forbidden: permission denied",
        "OSError: You are trying to access a gated repo.",
        "_pickle.PicklingError: Could not pickle the task to send it to the workers.",
        "awswrangler.exceptions.QueryFailed: x",
        "Command '['neuronx-cc', 'compile', 'x']' returned non-zero exit status 70.",
        "OSError: [Errno 98] Address already in use",
        "PermissionError: [Errno 13] Permission denied: '/opt/ml/model/m'",
        "double free or corruption (!prev)",
        "OperationalError: (1045, \"Access denied for user 'a'@'10.0.0.1' (using password: YES)\")",
        "ValueError: Input contains NaN.",
        "botocore.exceptions.ClientError: An error occurred (X) when calling the Y operation: z",
    ),
}
REFUSALS = {
    "iam": (
        "Could not assume role arn:aws:iam::123456789012:role/r. Please ensure that the role",
        "The repository does not grant ecr:BatchGetImage permission to sagemaker.amazonaws.com",
        "User is not permitted to perform kms:Decrypt for operation GetEnvironment",
        "because no session policy allows the s3:PutObject action",
    ),
    "image": (
        "Unsupported manifest media type application/x for image i:1",
        "ClientError: API error (404): manifest for a/b:2 not found: manifest unknown",
    ),
    "quota": ("You have requested more vCPU capacity than your current vCPU limit of 32 allows",),
    "capacity": ("We do not have sufficient ml.p5.48xlarge capacity in the Availability Zone",),
    "spot": ("The managed spot training instances were interrupted",),
    "data": (
        "ClientError: Data download failed:PermanentRedirect (301): x",
        "ClientError: Duplicate file names in the input",
        "ClientError: No iterator has been registered for ContentType ('csv', '1.0')",
    ),
    "network": (
        "ClientError: Unable to mount EFS file system fs-1",
        "ClientError: ensure that the subnet has a route to\nan S3 VPC endpoint or a NAT device",
        "ml.p5.48xlarge is not supported in availability zone use1-az3",
    ),
    "user": (
        "A tuning job with the name, a-1, already exists. Choose a different name.",
        "ClientError: Dimension of data (7) does not match feature_dim (10) hyperparameter.",
    ),
}


def pairs(texts: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(failure_class, text) for failure_class in texts for text in texts[failure_class]]


@pytest.mark.parametrize(("failure_class", "line"), pairs(LINES))
def test_the_family_of_a_line_is_known_by_its_words(failure_class: str, line: str) -> None:
    told = translate(SCRIPT_FAILED, log_tail=["epoch 1", line])
    assert told.failure_class == failure_class
    assert told.cause != translate(SCRIPT_FAILED).cause


@pytest.mark.parametrize(("failure_class", "reason"), pairs(REFUSALS))
def test_a_refusal_is_known_by_its_words(failure_class: str, reason: str) -> None:
    assert translate(reason, code="ValidationException").failure_class == failure_class


OWN_ERRORS = [
    "ValueError: No space left on device is not a valid option",
    "ValueError: Supply a valid KMS key id or create a new one",
    "ValueError: Insufficient capacity in truck 3",
    "KeyError: 'timeout'",
    "AssertionError: 403 Forbidden was expected",
    "IndexError: Rate exceeded",
    "RuntimeError: the query timed out after 30 s",
    "RuntimeError: manifest for day 3 not found in the table",
    "RuntimeError: step 413 failed",
    "RuntimeError: Worker 3 received signal 12",
    "ValueError: exit code 137 is not allowed",
    "openai.InternalServerError: Error code: 500",
    "RuntimeError: the labels of the prediction do not match",
    "RuntimeError: duplicate file names in the manifest",
    "RuntimeError: GPU prices are missing",
    "KeyError: 'content_type is not supported'",
    "RuntimeError: the slow down of step 3",
    "RuntimeError: 0 files found in the cache",
]


@pytest.mark.parametrize("error", OWN_ERRORS)
def test_an_error_of_the_code_s_own_stays_the_user_s_whatever_it_mentions(error: str) -> None:
    for told in (
        translate(SCRIPT_FAILED, log_tail=[error]),
        translate(f"AlgorithmError: [cdao:USER] {error}\n  steps.py:7 in f: g()"),
        translate(SCRIPT_FAILED.replace('""', f'"{error}"')),
    ):
        assert (told.failure_class, told.retryable) == ("user", False)
        assert error[:20] in told.cause


@pytest.mark.parametrize(
    "noise",
    [
        "step 413 loss 0.3",
        "Killed 3 stale workers",
        '{"epoch": 413}',
        "wandb: View run 403 at https://wandb.ai/a/b/runs/403",
        "Unable to parse record 3, passed over",
        "org.apache.spark.SparkContext: Starting job",
        "[LightGBM] [Warning] Connecting to rank 2 failed, waiting for 1251 milliseconds",
        '10.0.0.1 "GET /ping HTTP/1.1" 502 182',
        "W dso_loader.cc:59] Could not load dynamic library 'libcudart.so.10.1'; dlerror: x",
    ],
)
def test_a_harmless_line_behind_an_error_is_passed_over(noise: str) -> None:
    told = translate(SCRIPT_FAILED, log_tail=["ValueError: no rows", noise])
    assert told.cause == "The job's code raised ValueError: no rows."


def test_the_last_error_of_a_chain_counts() -> None:
    reason = SCRIPT_FAILED.replace(
        '""',
        "\"KeyError: 'a'\n During handling of the above exception, another exception occurred:\n"
        'torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"',
    )
    assert translate(reason).failure_class == "memory"


def test_words_of_a_launcher_are_taken_off() -> None:
    log = ["Traceback (most recent call last):", '  File "a.py", line 3, in f', "KeyError: 'age'"]
    told = translate(SCRIPT_FAILED, log_tail=[f"[rank1]: {line}" for line in log])
    assert told.cause == "The job's code raised KeyError: 'age'."
    assert told.user_traceback.splitlines() == log


def test_a_general_line_of_the_log_is_told_where_it_says_more_than_the_reason() -> None:
    reason = "AlgorithmError: See job logs for more information"
    log = ["b/k.csv: Bad HTTP status received from algorithm: 502", "retrying"]
    assert translate(reason, log_tail=log).cause == "The model answered with HTTP 502."
    log = ["W-9000-model_1.0-stdout MODEL_LOG - KeyError: 'w'", "Backend worker process died."]
    assert translate(reason, log_tail=log).cause == "The job's code raised KeyError: 'w'."


@pytest.mark.parametrize(
    "consequence",
    [
        "[rank1]:[E ProcessGroupNCCL.cpp:1537] Timeout at NCCL work: 7, last enqueued NCCL work: 8",
        "torch.distributed.DistBackendError: NCCL error: ncclRemoteError: remote process exited",
        "RuntimeError: [gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.1]:4501",
        "BrokenPipeError: [Errno 32] Broken pipe",
        "wandb.errors.CommError: Error communicating with wandb process, exiting...",
        "ConnectionRefusedError: [Errno 111] Connection refused",
    ],
)
def test_what_follows_from_another_failure_gives_way_to_it(consequence: str) -> None:
    log = ["[rank0]: KeyError: 'age'", "Sending process 3788 closing signal SIGTERM", consequence]
    assert translate(SCRIPT_FAILED, log_tail=log).cause == "The job's code raised KeyError: 'age'."
    alone = translate(SCRIPT_FAILED, log_tail=log[1:])
    assert alone.failure_class in ("network", "timeout")


def test_the_error_that_ended_the_function_is_not_overruled_by_the_log() -> None:
    told = translate("[cdao:USER] ConnectionError: gone", log_tail=["ValueError: caught, going on"])
    assert told.failure_class == "network"


def test_the_error_is_found_above_what_the_toolkit_writes_last() -> None:
    log = [
        "ValueError: no rows",
        "sagemaker-training-toolkit INFO Done waiting for a return code. Received 1 from process.",
        "sagemaker-training-toolkit ERROR    Reporting training FAILURE",
        "sagemaker-training-toolkit ERROR    ExecuteUserScriptError:",
        "ExitCode 1",
        'ErrorMessage "ValueError: no rows',
        ' "',
        'Command "/opt/conda/bin/python3.10 train.py --timeout 30 --disk-space 5"',
        "sagemaker-training-toolkit ERROR    Encountered exit_code 1",
    ]
    told = translate(SCRIPT_FAILED, log_tail=log)
    assert told.cause == "The job's code raised ValueError: no rows."


def test_what_the_log_says_of_an_image_is_told_rather_than_its_exit_code() -> None:
    log = ["[FATAL tini (7)] exec train failed: Permission denied"]
    assert "chmod" in translate("AlgorithmError: , exit code: 126", log_tail=log).mend
    told = translate("AlgorithmError: , exit code: 137", log_tail=["KeyError: 'age'"])
    assert told.failure_class == "memory"


def test_words_that_nothing_knows_are_quoted() -> None:
    for told in (
        translate("ClientError: The moon is full"),
        translate("AlgorithmError: The moon is full"),
        translate("The moon is full", code="ValidationException"),
    ):
        assert "The moon is full" in told.cause
    assert translate("ClientError: Non-numeric value in the header").failure_class == "data"


@pytest.mark.parametrize(
    "passing",
    [
        "RuntimeWarning: numpy.dtype size changed, may indicate binary incompatibility.",
        "Found 0 images belonging to 2 classes.",
        "INFO quota check: the disk is full of models",
        "DEBUG health check, status code: 503",
        "WARNING Python version mismatch in the lock file",
    ],
)
def test_a_warning_or_a_count_in_passing_does_not_overrule_the_error(passing: str) -> None:
    told = translate(SCRIPT_FAILED, log_tail=[passing, "KeyError: 'age'"])
    assert told.cause == "The job's code raised KeyError: 'age'."
    assert translate(SCRIPT_FAILED, log_tail=[passing]).failure_class == "user"
