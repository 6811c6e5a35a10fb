"""The types of a job spec's fields, each with its rule and the sentence that explains it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue

from cdao_sdk.catalog.images import algorithms, frameworks, normal_python
from cdao_sdk.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUCKET_AND_KEY = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/[^\s\x00-\x1f]*)?")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+")
_KMS_KEY = re.compile(r"[a-zA-Z0-9:/_-]{1,2048}")

# Spellings beyond case and punctuation, which do not count.
_FRAMEWORK_SPELLINGS = {"sklearn": "scikit-learn", "torch": "pytorch", "tf": "tensorflow"}
_ALGORITHM_SPELLINGS = {
    "deepar": "forecasting-deepar",
    "rcf": "randomcutforest",
    "factorizationmachine": "factorization-machines",
    "knearestneighbors": "knn",
    "latentdirichletallocation": "lda",
    "neuraltopicmodel": "ntm",
    "principalcomponentanalysis": "pca",
    "sequencetosequence": "seq2seq",
}


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _canonical(
    text: object, known: tuple[str, ...], spellings: dict[str, str], what: str
) -> object:
    if not isinstance(text, str):
        return text
    by_letters = {_letters(name): name for name in known} | spellings
    name = by_letters.get(_letters(text))
    if name is None:
        msg = f"is no {what}; known are {', '.join(known)}.{did_you_mean(text.lower(), by_letters)}"
        raise ValueError(msg)
    return name


def _framework(text: object) -> object:
    return _canonical(text, frameworks(), _FRAMEWORK_SPELLINGS, "known framework")


def _algorithm(text: object) -> object:
    return _canonical(text, algorithms(), _ALGORITHM_SPELLINGS, "built-in algorithm")


def _s3_uri(text: str) -> str:
    if len(text) > 1024 or not _BUCKET_AND_KEY.fullmatch(text):
        msg = (
            "must be an S3 URI such as 's3://my-bucket/some/prefix' "
            "(lower-case bucket of 3 to 63 characters, no blanks, at most 1,024 characters)"
        )
        raise ValueError(msg)
    return text.rstrip("/")


def _role_arn(text: str) -> str:
    if not 20 <= len(text) <= 2048 or not _ROLE.fullmatch(text):
        msg = (
            "must be the ARN of an IAM role, "
            "such as 'arn:aws:iam::123456789012:role/SageMakerExecutionRole'"
        )
        raise ValueError(msg)
    return text


def _kms_key(text: str) -> str:
    if not _KMS_KEY.fullmatch(text):
        msg = (
            "must be a KMS key's ID, ARN or alias, "
            "such as 'arn:aws:kms:us-east-1:123456789012:key/1234abcd-…' or 'alias/my-key'"
        )
        raise ValueError(msg)
    return text


def _image(text: str) -> str:
    if not 1 <= len(text) <= 255 or re.search(r"\s", text):
        msg = "must be a container image's URI without blanks, of at most 255 characters"
        raise ValueError(msg)
    return text


def _python(text: str) -> str:
    normal = normal_python(text)
    if not normal:
        msg = "must be a Python version such as 'py36' or '3.9'"
        raise ValueError(msg)
    return normal


def _subnet(text: str) -> str:
    return _vpc_id(text, "subnet-")


def _security_group(text: str) -> str:
    return _vpc_id(text, "sg-")


def _vpc_id(text: str, prefix: str) -> str:
    if len(text) > 32 or not re.fullmatch(prefix + r"[0-9a-zA-Z-]+", text):
        msg = f"must be an ID such as '{prefix}0123456789abcdef0'"
        raise ValueError(msg)
    return text


def _filter(text: str) -> str:
    if len(text) > 63 or not text.startswith("$"):
        msg = "must be a JSONPath that begins with '$', of at most 63 characters"
        raise ValueError(msg)
    return text


def _mime_type(text: str) -> str:
    if not re.fullmatch(r"[^\s/]+/\S[^\n]{0,200}", text):
        msg = "must be a MIME type such as 'text/csv'"
        raise ValueError(msg)
    return text


def _entity_name(text: str) -> str:
    if len(text) > 120 or not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", text):
        msg = "must be 1 to 120 letters, digits and hyphens, no hyphen at either end"
        raise ValueError(msg)
    return text


def _lambda_arn(text: str) -> str:
    if not re.fullmatch(
        r"arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\d{12}:function:[^\s]{1,1900}", text
    ):
        msg = "must be a Lambda function's ARN, 'arn:aws:lambda:us-east-1:123456789012:function:…'"
        raise ValueError(msg)
    return text


def _training_plan(text: str) -> str:
    pattern = r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:\d{12}:training-plan/[^\s]+"
    if not 50 <= len(text) <= 2048 or not re.fullmatch(pattern, text):
        msg = (
            "must be a training plan's ARN, "
            "such as 'arn:aws:sagemaker:us-east-1:123456789012:training-plan/my-plan'"
        )
        raise ValueError(msg)
    return text


def _line(text: str) -> str:
    if "\n" in text:
        msg = "must be one line"
        raise ValueError(msg)
    return text


def _text_map(entries: dict[str, str]) -> dict[str, str]:
    for name, value in entries.items():
        if not re.fullmatch(r".{1,256}", name) or not re.fullmatch(r".{0,256}", value):
            msg = (
                f"has {name[:80]!r}: names of 1 to 256 and values of up to 256 characters, one line"
            )
            raise ValueError(msg)
    return entries


def _exact(values: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """A task's template keeps numbers as JSON does, in double precision."""
    for value in _numbers(values):
        if not math.isfinite(value):
            msg = f"holds {value!r}, which JSON cannot write; give it as a str"
            raise ValueError(msg)
        if isinstance(value, int) and int(float(value)) != value:
            msg = f"holds {value}, which has more digits than Flyte keeps; give it as a str"
            raise ValueError(msg)
    return values


def _numbers(value: JsonValue) -> Iterator[int | float]:
    if isinstance(value, (int, float)):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _numbers(item)


def _upper(text: object) -> object:
    return text.upper() if isinstance(text, str) else text


# Strict numbers: "2" and 2.5 are mistakes worth a sentence, and True is no count.
Boolean = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1)]
HostCount = Annotated[int, Field(strict=True, ge=1, le=100)]
VolumeGigabytes = Annotated[int, Field(strict=True, ge=1, le=16_384)]

Framework = Annotated[str, BeforeValidator(_framework)]
Algorithm = Annotated[str, BeforeValidator(_algorithm)]
S3Uri = Annotated[str, AfterValidator(_s3_uri)]
RoleArn = Annotated[str, AfterValidator(_role_arn)]
KmsKey = Annotated[str, AfterValidator(_kms_key)]
ImageUri = Annotated[str, AfterValidator(_image)]
PythonVersion = Annotated[str, AfterValidator(_python)]
Subnets = Annotated[tuple[Annotated[str, AfterValidator(_subnet)], ...], Field(max_length=16)]
SecurityGroups = Annotated[
    tuple[Annotated[str, AfterValidator(_security_group)], ...], Field(max_length=5)
]
JsonPath = Annotated[str, AfterValidator(_filter)]
MimeType = Annotated[str, AfterValidator(_mime_type)]
Compression = Annotated[Literal["GZIP", "NONE"], BeforeValidator(_upper)]
EntityName = Annotated[str, AfterValidator(_entity_name)]
LambdaArn = Annotated[str, AfterValidator(_lambda_arn)]
TrainingPlanArn = Annotated[str, AfterValidator(_training_plan)]
Line = Annotated[str, AfterValidator(_line)]
TextMap = Annotated[dict[str, str], Field(max_length=20), AfterValidator(_text_map)]
LongTextMap = Annotated[dict[str, str], Field(max_length=100), AfterValidator(_text_map)]
JsonMap = Annotated[dict[str, JsonValue], AfterValidator(_exact)]
