"""Errors that the embedded AWS answers with.

AwsError               code, message and HTTP status of one refused call
├── S3Error            worded by the table of S3's errors
│   ├── NoSuchBucket
│   ├── NoSuchKey
│   └── PreconditionFailed
└── ValidationFailed   SageMaker's ValidationException
"""

from __future__ import annotations

# Source: "Error responses" of the Amazon S3 API reference, November 2026.
_S3_ERRORS: dict[str, tuple[int, str]] = {
    "BadDigest": (400, "The Content-MD5 or checksum you specified did not match what we received."),
    "BucketAlreadyOwnedByYou": (
        409,
        "Your previous request to create the named bucket succeeded and you already own it.",
    ),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty"),
    "EntityTooSmall": (
        400,
        "Your proposed upload is smaller than the minimum allowed object size.",
    ),
    "IncompleteBody": (
        400,
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
    ),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidPart": (
        400,
        (
            "One or more of the specified parts could not be found. The part may not have been "
            "uploaded, or the specified entity tag may not match the part's entity tag."
        ),
    ),
    "InvalidPartOrder": (
        400,
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
    ),
    "InvalidRange": (416, "The requested range is not satisfiable"),
    "InvalidRequest": (400, "This request is not valid for this operation."),
    "InvalidURI": (400, "Couldn't parse the specified URI."),
    "KeyTooLongError": (400, "Your key is too long"),
    "MalformedXML": (
        400,
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size"),
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchUpload": (
        404,
        (
            "The specified upload does not exist. The upload ID may be invalid, or the upload may "
            "have been aborted or completed."
        ),
    ),
    "NotImplemented": (501, "The embedded S3 does not offer this operation."),
    "PreconditionFailed": (412, "At least one of the pre-conditions you specified did not hold"),
}


class AwsError(Exception):
    """A call refused as AWS refuses it: the front of each service words it in its own protocol."""

    def __init__(
        self, *, code: str, message: str, status: int = 400, details: dict[str, str] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.details = details or {}


class S3Error(AwsError):
    """A call that S3 refuses; `details` are further elements of the error document."""

    def __init__(self, *, code: str, **details: str) -> None:
        status, message = _S3_ERRORS[code]
        super().__init__(code=code, message=message, status=status, details=details)


class NoSuchBucket(S3Error):
    """No bucket has this name."""

    def __init__(self, bucket: str) -> None:
        super().__init__(code="NoSuchBucket", BucketName=bucket)


class NoSuchKey(S3Error):
    """The bucket holds no object with this key."""

    def __init__(self, key: str) -> None:
        super().__init__(code="NoSuchKey", Key=key)


class PreconditionFailed(S3Error):
    """A condition (`If-Match`, `If-None-Match`, …) does not hold for the object."""

    def __init__(self, *, condition: str) -> None:
        super().__init__(code="PreconditionFailed", Condition=condition)


class ValidationFailed(AwsError):
    """A SageMaker request that breaks the API's rules."""

    def __init__(self, message: str) -> None:
        super().__init__(code="ValidationException", message=message)
