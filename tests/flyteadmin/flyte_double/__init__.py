"""An in-process FlyteAdmin and FlytePropeller, small and true to v1.16.8 as read in their source.

Real clients (FlyteRemote, pyflyte) speak to it over gRPC; it drives a real connector service.
"""

from flyte_double.connector_server import ConnectorServer
from flyte_double.double import FlyteDouble
from flyte_double.faults import ConnectorCall, LostCall
from flyte_double.identity import Identity

__all__ = ["ConnectorCall", "ConnectorServer", "FlyteDouble", "Identity", "LostCall"]
