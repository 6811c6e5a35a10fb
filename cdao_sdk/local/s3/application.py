"""The embedded S3: each request to the call that answers it.

Path style only. What is not offered answers NotImplemented (501) and names itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdao_sdk.local.errors import AwsError, S3Error
from cdao_sdk.local.s3 import buckets, contents, listing, multipart
from cdao_sdk.local.s3.call import S3Call, new_request_id, path_of
from cdao_sdk.local.s3.documents import refusal
from cdao_sdk.local.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.wrappers import Request, Response

    from cdao_sdk.local.objects import ObjectStore

# (level, method, what of it is meant: a name of the query) → the call
_CALLS: dict[tuple[str, str, str], Callable[[S3Call], Response]] = {
    ("service", "GET", ""): buckets.list_buckets,
    ("bucket", "PUT", ""): buckets.create_bucket,
    ("bucket", "HEAD", ""): buckets.head_bucket,
    ("bucket", "DELETE", ""): buckets.delete_bucket,
    ("bucket", "GET", ""): listing.list_objects,
    ("bucket", "GET", "list-type"): listing.list_objects_v2,
    ("bucket", "GET", "location"): buckets.get_location,
    ("bucket", "GET", "versioning"): buckets.get_versioning,
    ("bucket", "GET", "uploads"): multipart.list_multipart_uploads,
    ("bucket", "POST", "delete"): buckets.delete_objects,
    ("object", "PUT", ""): contents.put_object,
    ("object", "GET", ""): contents.get_object,
    ("object", "HEAD", ""): contents.head_object,
    ("object", "DELETE", ""): contents.delete_object,
    ("object", "GET", "tagging"): contents.get_tagging,
    ("object", "PUT", "tagging"): contents.put_tagging,
    ("object", "DELETE", "tagging"): contents.delete_tagging,
    ("object", "POST", "uploads"): multipart.create_multipart_upload,
    ("object", "PUT", "uploadId"): multipart.upload_part,
    ("object", "POST", "uploadId"): multipart.complete_multipart_upload,
    ("object", "DELETE", "uploadId"): multipart.abort_multipart_upload,
    ("object", "GET", "uploadId"): multipart.list_parts,
}
# The calls whose functions are not called as the API calls them.
_NAMES = {
    "get_location": "GetBucketLocation",
    "get_versioning": "GetBucketVersioning",
    "get_tagging": "GetObjectTagging",
    "put_tagging": "PutObjectTagging",
    "delete_tagging": "DeleteObjectTagging",
}
_PARTS = {part for _, _, part in _CALLS if part}
# Parts of buckets and objects that S3 has and the embedded one has not: such a request must not be
# taken for one on the bucket or object itself.
_ABSENT_PARTS = {
    *("accelerate", "acl", "analytics", "attributes", "cors", "encryption", "intelligent-tiering"),
    *("inventory", "legal-hold", "lifecycle", "logging", "metrics", "notification", "object-lock"),
    *("ownershipControls", "policy", "policyStatus", "publicAccessBlock", "replication"),
    *("requestPayment", "restore", "retention", "select", "session", "torrent", "versions"),
    *("versionId", "website"),
}


class S3Application:
    """Answers S3 requests from an object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._uploads = Uploads(store)

    def __call__(self, request: Request, region: str) -> Response:
        """Answer one request, signed for `region`."""
        request_id = new_request_id()
        try:
            response = self._answer(request, region)
        except AwsError as error:
            response = refusal(error, resource=request.path, request_id=request_id)
        response.headers["x-amz-request-id"] = request_id
        return response

    def _answer(self, request: Request, region: str) -> Response:
        bucket, key = path_of(request)
        call = S3Call(
            request=request,
            bucket=bucket,
            key=key,
            region=region,
            store=self._store,
            uploads=self._uploads,
        )
        part = _part(request)
        answer = _CALLS.get((call.level, request.method, part))
        if answer is None:
            operation = f"{request.method} {call.level} {part}".strip()
            raise S3Error(code="NotImplemented", Operation=operation)
        return answer(call)


def operation_of(request: Request) -> str:
    """The API's name of a request's operation: `PutObject`, …; its method where it has none."""
    bucket, key = path_of(request)
    level = "object" if key else "bucket" if bucket else "service"
    call = _CALLS.get((level, request.method, _part(request)))
    if call is None:
        return request.method
    return _NAMES.get(call.__name__) or call.__name__.title().replace("_", "")


def _part(request: Request) -> str:
    names = set(request.args)
    # `null` is the version of every object in a bucket without versions.
    if request.args.get("versionId") == "null":
        names.remove("versionId")
    found = sorted(names & _ABSENT_PARTS) or sorted(names & _PARTS)
    return found[0] if found else ""
