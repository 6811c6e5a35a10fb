"""The Flyte cluster that the settings name: one FlyteRemote, and calls to FlyteAdmin through it.

How to log in stands where flytekit looks for it, too: ``.flyte/config.yaml`` (or
``FLYTECTL_CONFIG``) and ``FLYTE_*`` in the environment. Endpoint, TLS, project and domain are ours.
"""

# flytekit and grpc ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import fsspec
import requests
from flytekit.clients.grpc_utils.deadline_interceptor import scoped_grpc_deadline
from flytekit.configuration import Config, DataConfig
from flytekit.core.context_manager import FlyteContextManager
from flytekit.exceptions.base import FlyteException
from flytekit.remote import FlyteRemote
from flytekit.remote.remote_fs import get_flyte_fs

from cdao_sdk.aws.session import embedded_target
from cdao_sdk.errors import ConfigurationError, ResourcesUnavailable, SubmissionError
from cdao_sdk.flyte.admin_errors import UNANSWERED, Place, as_ours
from cdao_sdk.flyte.cluster_target import target_of
from cdao_sdk.settings import flyte_config_file

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from flytekit import FlyteContext

    from cdao_sdk.flyte.cluster_target import ClusterTarget
    from cdao_sdk.settings import Settings

__all__ = ["Cluster", "cluster_for"]

_DEADLINE_SECONDS = 10.0
# A call that found nobody is made again so long; what takes longer is for the caller to decide.
_RETRY_SECONDS = 2.0
_FIRST_PAUSE_SECONDS = 0.2
# gRPC's own patience is 20 s for a connection and 120 s for a pause between two tries.
_CHANNEL_OPTIONS = [
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 300),
    ("grpc.dns_ares_query_timeout", 5_000),
]


class Cluster:
    """One FlyteAdmin, project and domain.

    Args:
        target: Which.
        config: How to log in, and where data lies: flytekit's own configuration.
    """

    def __init__(self, target: ClusterTarget, config: Config) -> None:
        self.target = target
        self._config = config
        self._place = Place(target.endpoint, insecure=target.insecure)
        self._lock = threading.Lock()
        self._remote: FlyteRemote | None = None

    def __repr__(self) -> str:
        # Not the configuration: it may hold a secret.
        return f"<Cluster {self.target.endpoint} {self.target.project}/{self.target.domain}>"

    @property
    def config(self) -> Config:
        """flytekit's configuration, our settings laid over it."""
        return self._config

    @property
    def remote(self) -> FlyteRemote:
        """flytekit's FlyteRemote; one for all threads."""
        with self._lock:
            if self._remote is None:
                self._remote = FlyteRemote(
                    self._config,
                    default_project=self.target.project,
                    default_domain=self.target.domain,
                    interactive_mode_enabled=False,  # cells travel as a module, never as a pickle
                    options=list(_CHANNEL_OPTIONS),
                )
            return self._remote

    @contextlib.contextmanager
    def files(self) -> Generator[FlyteContext]:
        """flytekit's context in which local files are uploaded to this cluster.

        fsspec knows one ``flyte://`` for the process: that of the FlyteRemote which came last.
        """
        with _uploading:
            fsspec.register_implementation("flyte", get_flyte_fs(remote=self.remote), clobber=True)
            with FlyteContextManager.with_context(self.remote.context.new_builder()) as context:
                yield context

    @property
    def console(self) -> str:
        """Where Flyte's console is."""
        return str(self.remote.generate_console_http_domain()).rstrip("/")

    def call(
        self,
        method: Callable[..., Any],
        request: object,
        *,
        deadline: float = _DEADLINE_SECONDS,
        retries: bool = True,
    ) -> Any:
        """Call FlyteAdmin.

        Args:
            method: A method of ``RawSynchronousFlyteClient``.
            request: Its request.
            deadline: Seconds that one try may take.
            retries: Whether a call that found nobody may be made again.

        Raises:
            ResourcesUnavailable: FlyteAdmin did not answer.
            CdaoError: It refused; the class says why.
        """
        return self.doing(
            lambda: method(self.remote.client, request), deadline=deadline, retries=retries
        )

    def doing(
        self,
        action: Callable[[], Any],
        *,
        deadline: float = _DEADLINE_SECONDS,
        retries: bool = True,
    ) -> Any:
        """Do something that calls FlyteAdmin, with errors as ours; see ``call``."""
        give_up = time.monotonic() + (_RETRY_SECONDS if retries else 0)
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                with scoped_grpc_deadline(deadline):
                    return action()
            except requests.RequestException as error:
                msg = f"An upload for {self._place} failed: {type(error).__name__}: {error}"
                raise ResourcesUnavailable(msg, code=UNANSWERED) from error
            except Exception as error:  # noqa: BLE001 # flytekit's, grpc's and the login's own
                ours = as_ours(error, self._place)
                if not self._may_retry(ours, give_up):
                    # A FlyteException may hold the request, so the inputs: not in the chain then.
                    raise ours from (None if isinstance(error, FlyteException) else error)
            time.sleep(pause)
            pause *= 2

    @staticmethod
    def _may_retry(error: Exception, give_up: float) -> bool:
        unanswered = isinstance(error, SubmissionError) and error.code == UNANSWERED
        return unanswered and time.monotonic() < give_up


_uploading = threading.RLock()
_clusters: list[tuple[ClusterTarget, Config, Cluster]] = []
_clusters_lock = threading.Lock()


def cluster_for(settings: Settings) -> Cluster:
    """The cluster that settings name; the same object for the same target and login.

    Raises:
        ConfigurationError: They name none, or flytekit's configuration cannot be read.
    """
    target = target_of(settings)
    config = _config(target, flyte_config_file(), settings)
    with _clusters_lock:
        for known, login, cluster in _clusters:
            if (known, login) == (target, config):
                return cluster
        cluster = Cluster(target, config)
        _clusters.append((target, config, cluster))
        return cluster


def _config(target: ClusterTarget, file: Path | None, settings: Settings) -> Config:
    try:
        config = Config.auto(str(file) if file else None)
    except Exception as error:  # flytekit's reader raises of any class
        msg = f"Flyte's configuration ({file or 'of flytekit'}) cannot be read: {error}"
        raise ConfigurationError(msg) from error
    platform = replace(
        config.platform,
        endpoint=target.endpoint,
        insecure=target.insecure,
        rpc_retries=0,  # flytekit's would repeat refusals, too, and without a pause
    )
    return config.with_params(platform=platform, data_config=_data_config(config, settings))


def _data_config(config: Config, settings: Settings) -> DataConfig:
    """Where outputs are read from: as flytekit has it, else the AWS endpoint of the settings."""
    if config.data_config.s3.endpoint or not settings.endpoint_url:
        return config.data_config
    target = embedded_target(settings.endpoint_url, settings.region_name)
    s3 = replace(
        config.data_config.s3,
        endpoint=target.endpoint_url,
        access_key_id=target.access_key_id,
        secret_access_key=target.secret_access_key,
    )
    return replace(config.data_config, s3=s3)
