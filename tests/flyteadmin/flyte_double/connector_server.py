"""flytekit's own connector service, on a port and a loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import grpc
from flyteidl.service.agent_pb2_grpc import (
    add_AgentMetadataServiceServicer_to_server,
    add_AsyncAgentServiceServicer_to_server,
)


class ConnectorServer:
    """Serves whatever connectors are registered in this process.

    Args:
        close: Awaited in the service's loop when it has ended.
    """

    def __init__(self, close: Callable[[], Awaitable[None]] | None = None) -> None:
        self._close = close
        self.address = ""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="connector", daemon=True)

    def __enter__(self) -> ConnectorServer:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        from flytekit.extend.backend.connector_service import (
            AsyncConnectorService,
            ConnectorMetadataService,
        )

        self._stop = asyncio.Event()
        server = grpc.aio.server()
        add_AsyncAgentServiceServicer_to_server(AsyncConnectorService(), server)
        add_AgentMetadataServiceServicer_to_server(ConnectorMetadataService(), server)
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        self._ready.set()
        await self._stop.wait()
        await server.stop(0)
        if self._close is not None:
            await self._close()
