"""cheroot as the HTTP server of the embedded AWS, on a loopback address."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol, cast

from cheroot.wsgi import Gateway_10, Server

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_logger = logging.getLogger(__name__)

DROP = "cdao.drop"
"""Key of the WSGI environment: a function that ends the client's connection."""

_THREADS = 16
_BACKLOG = 128
# boto3 keeps its connections and does not expect the server to close them while it waits for a job.
_IDLE_SECONDS = 300
_KEPT_CONNECTIONS = 500


def loopback_address(host: str) -> str:
    """The loopback address that `host` stands for.

    Raises:
        ValueError: it is another one: the embedded AWS has no authentication.
    """
    # A name would make S3 clients put the bucket into the host name.
    address = "127.0.0.1" if host == "localhost" else host
    try:
        is_loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        msg = (
            f"host must be a loopback address such as 127.0.0.1, not {host!r}: "
            "the embedded SageMaker has no authentication"
        )
        raise ValueError(msg)
    return address


class _Bound(Protocol):
    """What of cheroot's server has no type: host and port, and two more for IPv6."""

    bind_addr: tuple[str, int]


class _Connection(Protocol):
    socket: socket.socket


class _Request(Protocol):
    """What of cheroot's request has no type."""

    conn: _Connection
    close_connection: bool


class _Server(Server):
    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: tuple[str, int]) -> socket.socket:
        """Bind; cheroot would leave the socket open where the port is taken."""
        try:
            socket_.bind(bind_addr)
        except OSError:
            socket_.close()
            raise
        return socket_


class _Gateway(Gateway_10):
    def get_environ(self) -> WSGIEnvironment:
        """WSGI's own, and how to end the client's connection without an answer."""
        environ = cast("WSGIEnvironment", super().get_environ())  # pyright: ignore[reportUnknownMemberType] # cheroot types nothing of it
        environ[DROP] = self._drop
        return environ

    def _drop(self) -> None:
        request = cast("_Request", self.req)
        request.close_connection = True
        with contextlib.suppress(OSError):  # the client was quicker
            request.conn.socket.shutdown(socket.SHUT_RDWR)


class HttpServer:
    """An HTTP server that is bound at once, and serves in daemon threads.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = _Server(
            (host, port),
            _starting,
            numthreads=_THREADS,
            request_queue_size=_BACKLOG,
            timeout=_IDLE_SECONDS,
            shutdown_timeout=1,
            server_name="cdao-local",
        )
        self._server.gateway = _Gateway
        self._server.keep_alive_conn_limit = _KEPT_CONNECTIONS
        self._server.error_log = _log
        self._application = threading.Event()
        bound: Future[tuple[str, int]] = Future()
        threading.Thread(
            target=self._run, args=(bound,), name="cdao-local-http", daemon=True
        ).start()
        self._address = bound.result()

    @property
    def url(self) -> str:
        """The server's URL, without a slash at its end."""
        host, port = self._address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def serve(self, application: WSGIApplication) -> None:
        """Answer requests from now on, in a thread."""
        self._server.wsgi_app = application
        self._application.set()

    def stop(self) -> None:
        """Stop serving; requests under way have a second to end."""
        # cheroot looks twice a second whether it is to stop, and at each connection.
        self._application.set()
        waker = threading.Timer(0.01, self._touch)
        with contextlib.suppress(RuntimeError):  # no new thread at the interpreter's end: wait
            waker.start()
        self._server.stop()
        if waker.ident is not None:
            waker.join()

    def _run(self, bound: Future[tuple[str, int]]) -> None:
        # In this thread, so that cheroot's workers inherit that it is a daemon: a program that
        # forgets to close the server ends all the same.
        try:
            self._server.prepare()
        except OSError as error:
            bound.set_exception(error)
            return
        host, port = cast("_Bound", self._server).bind_addr[:2]
        bound.set_result((host, port))
        self._application.wait()
        self._server.serve()

    def _touch(self) -> None:
        try:
            socket.create_connection(self._address, timeout=1).close()
        except OSError:
            _logger.debug("the HTTP server had stopped by itself")


def _starting(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("503 Service Unavailable", [("Content-Length", "0"), ("Retry-After", "1")])
    return []


def _log(msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
    _logger.log(level, "%s", msg, exc_info=traceback)
