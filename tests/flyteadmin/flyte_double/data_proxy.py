"""DataProxyService: signed URLs for uploads and downloads, and flyte:// references."""

# ruff: noqa: N802, ARG002 # gRPC's names and arguments

from __future__ import annotations

import base64
import re
import secrets
import time
from typing import Any

import grpc
from flyteidl.core import identifier_pb2, literals_pb2
from flyteidl.service import dataproxy_pb2
from flyteidl.service.dataproxy_pb2_grpc import DataProxyServiceServicer

from flyte_double.blobs import Blobs
from flyte_double.database import Database, node_key
from flyte_double.refusals import Code, Refused, exists, invalid

_SECONDS = 3600.0
_REFERENCE = re.compile(
    r"flyte://v1/([\w-]+)/([\w-]+)/([\w-]+)/([\w-]+)(?:/(\d+))?/([iod])(?:/([\w-]+))?"
)


class DataProxy(DataProxyServiceServicer):
    """Signs URLs of the blob store."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database, self._blobs = database, blobs

    def CreateUploadLocation(self, request: Any, context: grpc.ServicerContext) -> Any:
        if not request.project or not request.domain:
            invalid("project and domain are required parameters")
        if not request.content_md5 and not request.filename_root:
            invalid("content_md5 or filename_root is a required parameter")
        md5 = request.content_md5
        root = request.filename_root or base64.b32encode(md5).decode()
        name = request.filename or secrets.token_hex(10)
        uri = self._blobs.uri(request.project, request.domain, root, name)
        if request.filename and request.filename_root:
            there = self._blobs.etag(uri)
            if there is not None and there != md5.hex():
                exists(
                    f"file already exists at location [{uri}], specify a matching hash if you"
                    " wish to rewrite"
                )
        seconds = request.expires_in.ToTimedelta().total_seconds() or _SECONDS
        if seconds > _SECONDS:
            invalid(f"expiresIn [{seconds}s] cannot exceed max allowed expiration [1h0m0s]")
        digest = base64.b64encode(md5).decode()
        # v1.16.8 says the length of the digest, not of the file.
        headers = {"Content-MD5": digest, "Content-Length": str(len(digest))} if md5 else {}
        said = {"ContentMD5": digest} if md5 else {}
        if md5 and request.add_content_md5_metadata:
            headers["x-amz-meta-flyteContentMD5"] = digest
        response = dataproxy_pb2.CreateUploadLocationResponse(
            signed_url=self._blobs.signed(uri, "put_object", seconds, **said),
            native_url=uri,
            headers=headers,
        )
        response.expires_at.FromSeconds(int(time.time() + seconds))
        return response

    def CreateDownloadLocation(self, request: Any, context: grpc.ServicerContext) -> Any:
        signed = self._blobs.signed(request.native_url, "get_object", _SECONDS)
        return dataproxy_pb2.CreateDownloadLocationResponse(signed_url=signed)

    def CreateDownloadLink(self, request: Any, context: grpc.ServicerContext) -> Any:
        deck = self._database.node(request.node_execution_id).proto.closure.deck_uri
        if not deck or self._blobs.etag(deck) is None:
            raise Refused(Code.NOT_FOUND, "no deckUrl found for request")
        urls = dataproxy_pb2.PreSignedURLs(
            signed_url=[self._blobs.signed(deck, "get_object", _SECONDS)]
        )
        return dataproxy_pb2.CreateDownloadLinkResponse(
            signed_url=urls.signed_url, pre_signed_urls=urls
        )

    def GetData(self, request: Any, context: grpc.ServicerContext) -> Any:
        parts = _REFERENCE.fullmatch(request.flyte_url)
        if parts is None:
            invalid(f"failed to parse artifact url Error: failed to parse [{request.flyte_url}]")
        project, domain, name, node, attempt, kind, literal = parts.groups()
        execution = identifier_pb2.WorkflowExecutionIdentifier(
            project=project, domain=domain, name=name
        )
        node_id = identifier_pb2.NodeExecutionIdentifier(execution_id=execution, node_id=node)
        if kind == "d":
            link = self.CreateDownloadLink(
                dataproxy_pb2.CreateDownloadLinkRequest(node_execution_id=node_id), context
            )
            return dataproxy_pb2.GetDataResponse(pre_signed_urls=link.pre_signed_urls)
        proto: Any = self._database.node(node_id).proto
        if attempt is not None:
            key = node_key(node_id)
            for found, row in self._database.task_executions.items():
                if found[: len(key)] == key and found[-1] == int(attempt):
                    proto = row.proto
        uri = proto.input_uri if kind == "i" else proto.closure.output_uri
        values = self._blobs.read(uri, literals_pb2.LiteralMap())
        if literal is None:
            return dataproxy_pb2.GetDataResponse(literal_map=values)
        if literal not in values.literals:
            invalid(f"name [{literal}] not found in node execution [{node}]")
        return dataproxy_pb2.GetDataResponse(literal=values.literals[literal])
