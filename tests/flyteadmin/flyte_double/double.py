"""The double as a whole: gRPC servers in front, a Propeller behind."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from flyteidl.admin import execution_pb2, launch_plan_pb2, project_pb2, workflow_pb2
from flyteidl.core import literals_pb2
from flyteidl.service.admin_pb2_grpc import add_AdminServiceServicer_to_server
from flyteidl.service.auth_pb2_grpc import add_AuthMetadataServiceServicer_to_server
from flyteidl.service.dataproxy_pb2_grpc import add_DataProxyServiceServicer_to_server

from flyte_double.admin_service import AdminService
from flyte_double.blobs import Blobs
from flyte_double.catalog import Catalog
from flyte_double.compiler import key_of
from flyte_double.connector_plugin import ConnectorPlugin
from flyte_double.container_plugin import ContainerPlugin
from flyte_double.data_proxy import DataProxy
from flyte_double.database import Database, ExecutionKey, ExecutionRow, execution_key
from flyte_double.executions import Executions
from flyte_double.faults import ConnectorCall
from flyte_double.identity import AuthMetadata, Identity
from flyte_double.names import label_value
from flyte_double.propeller import Propeller, Settings
from flyte_double.refusals import Refused
from flyte_double.registry import DOMAINS, Registry
from flyte_double.state import Resource

_OPEN_TO_ALL = "/flyteidl.service.AuthMetadataService/"


class FlyteDouble:
    """An in-process Flyte backend.

    Args:
        store_url: S3 endpoint, Flyte's blob store.
        bucket: Its bucket; it has to be there.
        connector: ``host:port`` of a connector service; None: there is none.
        resync_seconds: Between two GetTask of one task (Flyte's default: 30).
        create_timeout: Deadline of CreateTask in seconds (Flyte: 10, older charts 3).
        rpc_timeout: Deadline of GetTask and DeleteTask.
        reeval_seconds: An execution is looked at again after so long, if nothing wakes it.
        keeps_map_state: Map tasks of connector tasks work; in v1.16.8 they do not.
        auth: Who may call; None: everybody.

    Attributes:
        endpoint: ``127.0.0.1:port`` of FlyteAdmin, insecure.
        calls: RPC name → how often it was called.
        connector_calls: The same of the calls that Propeller made.
        on_connector_call: Sees each of those before and after; may raise ``LostCall``.
    """

    def __init__(
        self,
        store_url: str,
        bucket: str,
        connector: str | None = None,
        *,
        resync_seconds: float = 0.05,
        create_timeout: float = 10.0,
        rpc_timeout: float = 10.0,
        reeval_seconds: float = 0.2,
        keeps_map_state: bool = False,
        auth: Identity | None = None,
    ) -> None:
        self.calls: Counter[str] = Counter()
        self.connector_calls: Counter[str] = Counter()
        self.on_connector_call: Callable[[ConnectorCall], Any] = _pass_on
        self.auth = auth
        self.blobs = Blobs(store_url, bucket)
        self.database = Database()
        self.resources: dict[ExecutionKey, Resource] = {}
        self.catalog = Catalog()
        self.errors: list[BaseException] = []
        timeouts = {"CreateTask": create_timeout, "ListAgents": rpc_timeout}
        timeouts |= {"GetTask": rpc_timeout, "DeleteTask": rpc_timeout}

        def plugin() -> ConnectorPlugin | None:
            if connector is None:
                return None
            return ConnectorPlugin(
                connector,
                self.blobs,
                resync_seconds,
                timeouts,
                self._tell,
                self.connector_calls,
            )

        self._settings = Settings(reeval_seconds, keeps_map_state, plugin, poll_seconds=10)
        self._containers = ContainerPlugin(self.blobs)
        self._lock = threading.Lock()
        for name in ("flytesnacks",):
            domains = [project_pb2.Domain(id=domain, name=domain) for domain in DOMAINS]
            project = project_pb2.Project(id=name, name=name, domains=domains)
            self.database.projects[name] = project
        registry = Registry(self.database)
        self._executions = Executions(
            self.database, registry, self.blobs, self._start_execution, self._abort_execution
        )
        self._server = grpc.server(
            ThreadPoolExecutor(8, "flyteadmin"), interceptors=[_Interceptor(self)]
        )
        service = AdminService(self.database, registry, self._executions, self.blobs)
        add_AdminServiceServicer_to_server(service, self._server)
        add_DataProxyServiceServicer_to_server(DataProxy(self.database, self.blobs), self._server)
        if auth is not None:
            add_AuthMetadataServiceServicer_to_server(AuthMetadata(auth), self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"127.0.0.1:{port}"
        self._propeller: Propeller | None = None

    # --- life ---

    def __enter__(self) -> FlyteDouble:
        self._propeller = self._new_propeller()
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0.2).wait()
        if self._propeller:
            self._propeller.kill()
        self._containers.close()
        if self.auth:
            self.auth.close()

    def restart_propeller(self) -> None:
        """Kill Propeller in the middle of whatever it does, and start it anew."""
        with self._lock:
            if self._propeller:
                self._propeller.kill()
            self._propeller = self._new_propeller()

    def _new_propeller(self) -> Propeller:
        return Propeller(
            self.database,
            self.blobs,
            self._containers,
            self.resources,
            self._settings,
            self.catalog,
            lambda: self._executions,
            self.errors,
        )

    # --- what tests look at ---

    @property
    def executions(self) -> list[execution_pb2.Execution]:
        """All executions, in the order of their creation."""
        with self.database.lock:
            return [row.proto for row in self.database.executions.values()]

    def config_file(self, folder: Path, **admin: object) -> Path:
        """Write a `config.yaml` for flytekit, pyflyte and flytectl."""
        lines = ["admin:", f"  endpoint: dns:///{self.endpoint}", "  insecure: true"]
        lines += [f"  {key}: {value}" for key, value in admin.items()]
        lines += ["storage:", "  type: minio", "  connection:", f"    endpoint: {self.blobs.url}"]
        lines += ["    auth-type: accesskey", "    access-key: local", "    secret-key: local"]
        path = folder / "config.yaml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def remote(
        self, project: str = "flytesnacks", domain: str = "development", **platform: Any
    ) -> Any:
        """A real FlyteRemote that speaks to this double; `platform`: of its PlatformConfig."""
        from flytekit.configuration import Config, DataConfig, PlatformConfig, S3Config
        from flytekit.remote import FlyteRemote

        store = S3Config(endpoint=self.blobs.url, access_key_id="local", secret_access_key="local")
        config = Config(
            platform=PlatformConfig(endpoint=self.endpoint, insecure=True, **platform),
            data_config=DataConfig(s3=store),
        )
        return FlyteRemote(config, project, domain)

    # --- between FlyteAdmin and Propeller ---

    def _tell(self, call: ConnectorCall) -> Any:
        return self.on_connector_call(call)  # the one that is set now

    def _start_execution(
        self,
        row: ExecutionRow,
        workflow: workflow_pb2.Workflow,
        plan: launch_plan_pb2.LaunchPlan,
    ) -> None:
        key = execution_key(row.proto.id)
        self.resources[key] = self._resource(row, workflow, plan)
        if self._propeller:
            self._propeller.add(key)

    def _abort_execution(self, row: ExecutionRow) -> None:
        key = execution_key(row.proto.id)
        self.resources[key].is_deleted = True
        if self._propeller:
            self._propeller.wake(key)

    def _resource(
        self,
        row: ExecutionRow,
        workflow: workflow_pb2.Workflow,
        plan: launch_plan_pb2.LaunchPlan,
    ) -> Resource:
        spec, closure = row.proto.spec, workflow.closure.compiled_workflow
        template, own = closure.primary.template, row.proto.id
        labels = {
            "execution-id": own.name,
            "project": own.project,
            "domain": own.domain,
            "shard-key": "1",
            "workflow-name": label_value(template.id.name),
            **(spec.labels.values or plan.spec.labels.values),
        }
        environment = {pair.key: pair.value for pair in (spec.envs.values or plan.spec.envs.values)}
        said = [spec, plan.spec]
        interruptible = [
            item.interruptible.value for item in said if item.HasField("interruptible")
        ]
        raw = [item.raw_output_data_config.output_location_prefix for item in said]
        runs_as = spec.security_context.run_as
        is_recovery = spec.metadata.mode == execution_pb2.ExecutionMetadata.RECOVERED
        return Resource(
            id=own,
            workflow_name=f"{own.project}:{own.domain}:{template.id.name}",
            template=template,
            sub_workflows={key_of(sub.template.id): sub.template for sub in closure.sub_workflows},
            tasks={key_of(task.template.id): task.template for task in closure.tasks},
            inputs=self.blobs.read(row.inputs_uri, literals_pb2.LiteralMap()),
            labels=labels,
            annotations=dict(spec.annotations.values or plan.spec.annotations.values),
            environment=environment,
            service_account=runs_as.k8s_service_account,
            identity=runs_as,
            interruptible=[*interruptible, template.metadata_defaults.interruptible][0],
            overwrite_cache=spec.overwrite_cache or plan.spec.overwrite_cache,
            raw_output_prefix=next(filter(None, raw), self.blobs.uri("data")).rstrip("/"),
            recovers=spec.metadata.reference_execution if is_recovery else None,
        )


def _pass_on(_: ConnectorCall) -> None:
    """Do nothing to a call."""


class _Interceptor(grpc.ServerInterceptor):
    """Counts calls, asks for tokens, and turns refusals into statuses."""

    def __init__(self, double: FlyteDouble) -> None:
        self._double = double

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        self._double.calls[details.method.rpartition("/")[2]] += 1
        handler = continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        auth = self._double.auth
        is_open = auth is None or details.method.startswith(_OPEN_TO_ALL)
        admitted = is_open or (auth is not None and auth.admits(details.invocation_metadata))

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            if not admitted:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "token parse error")
            try:
                return handler.unary_unary(request, context)
            except Refused as refused:
                context.abort(refused.code, refused.message)

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
