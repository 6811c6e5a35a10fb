"""Addresses that a server listens on, and why one cannot be had."""

from __future__ import annotations

import errno
import ipaddress
import socket

__all__ = ["bind_problem", "joined", "why_not_bound"]

_REASONS = {
    errno.EADDRINUSE: "another process listens there",
    errno.EACCES: "this user may not; ports below 1024 need a privilege",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


def joined(host: str, port: int) -> str:
    """``host:port``, with the brackets that IPv6 needs.

    Example:
        >>> joined("::1", 8000)
        '[::1]:8000'
    """
    try:
        is_v6 = ipaddress.ip_address(host).version == 6
    except ValueError:
        is_v6 = False
    return f"[{host}]:{port}" if is_v6 else f"{host}:{port}"


def why_not_bound(host: str, port: int, error: OSError, option: str) -> str:
    """A sentence that says why, and which option gives another address."""
    reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
    return f"Cannot listen on {joined(host, port)}: {reason}. Give another port by {option}."


def bind_problem(host: str, port: int) -> OSError | None:
    """What the system says to listening there; gRPC keeps that to itself."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        return error
    return None
