"""The types of a job spec's fields, each with its rule and the sentence that explains it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue

from cdao_sdk.catalog.images import algorithms, frameworks, normal_python
from cdao_sdk.errors import did_you_mean

_BUCKET_AND_KEY = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/[^\s\x00-\x1f]*)?")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+")
_KMS_KEY = re.compile(r"[a-zA-Z0-9:/_-]{1,2048}")

# Spellings beyond case and punctuation, which do not count.
_FRAMEWORK_SPELLINGS = {"sklearn": "scikit-learn", "torch": "pytorch", "tf": "tensorflow"}
_ALGORITHM_SPELLINGS = {
    "deepar": "forecasting-deepar",
    "rcf": "randomcutforest",
    "factorizationmachine": "factorization-machines",
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
Hyperparameters = dict[str, JsonValue]
