"""FlyteAdmin's errors, as gRPC status codes."""

from __future__ import annotations

from typing import NoReturn

import grpc

Code = grpc.StatusCode


class Refused(Exception):
    """A call is answered with this status."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def invalid(message: str) -> NoReturn:
    raise Refused(Code.INVALID_ARGUMENT, message)


def missing(kind: str, identifier: object) -> NoReturn:
    said = str(identifier).replace("\n", " ")
    raise Refused(Code.NOT_FOUND, f"missing entity of type {kind} with identifier {said}")


def exists(message: str) -> NoReturn:
    raise Refused(Code.ALREADY_EXISTS, message)
