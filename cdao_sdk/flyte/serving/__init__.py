"""The connector's gRPC service: what stands around the connectors in ``cdao connector serve``."""
