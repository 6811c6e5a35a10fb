"""How often AWS's APIs are called: a token bucket for each operation of an account and region.

A rate that AWS throttles is halved, and rises again step by step while calls pass (AIMD): the
connectors and notebooks that share an account find their shares without knowing of each other.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

from cdao_sdk.aws.metrics import aws_metrics
from cdao_sdk.catalog.api_rates import RATES, Rate
from cdao_sdk.errors import ResourcesUnavailable
from cdao_sdk.setting_types import account_of_role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cdao_sdk.aws.session import AwsTarget

__all__ = ["CLIENT_RATE_LIMIT", "Rates", "came_too_late", "shared_rates"]

CLIENT_RATE_LIMIT = "ClientRateLimit"
"""Our own code for a call that was not sent, for its turn would have come too late."""

_LEAST_SHARE = 1 / 16  # of the configured rate: what throttling leaves
_RISE = 0.02  # of the configured rate, for each call that passed
_A_MOMENT = 1e-6  # seconds that are rounding, and no wait
_HOLD_SECONDS = 1.0  # calls that were under way together are throttled together, once


def came_too_late(error: BaseException) -> bool:
    """Whether a call was not sent, for its turn had not come: it may be sent later."""
    return isinstance(error, ResourcesUnavailable) and error.code == CLIENT_RATE_LIMIT


class _Bucket:
    """One operation's: the time at which the next request would be exactly on time.

    (Generic cell rate algorithm.) Unlike a limiter with waiters it knows each wait beforehand,
    serves several event loops, and its rate can change.
    """

    def __init__(self, limit: Rate) -> None:
        self.limit = limit
        self.per_second = limit.per_second
        self._on_time = float("-inf")
        self._lowered = float("-inf")

    def take(self, now: float, at_most_seconds: float) -> tuple[bool, float]:
        """Whether a turn was taken, and the seconds until it comes."""
        on_time = max(self._on_time, now)
        wait = on_time - self._tolerance - now
        if wait < _A_MOMENT:
            wait = 0.0
        if wait > at_most_seconds + _A_MOMENT:
            return False, wait
        self._on_time = on_time + 1 / self.per_second
        return True, wait

    def lower(self, now: float) -> None:
        if now - self._lowered < _HOLD_SECONDS:
            return
        self._lowered = now
        least = self.limit.per_second * _LEAST_SHARE
        self.per_second = max(least, self.per_second / 2)
        # AWS's bucket is empty: nothing is left of the burst either.
        self._on_time = max(self._on_time, now + self._tolerance + 1 / self.per_second)

    def rise(self) -> bool:
        most = self.limit.per_second
        if self.per_second >= most:
            return False
        self.per_second = min(most, self.per_second + most * _RISE)
        return True

    @property
    def _tolerance(self) -> float:
        share = self.per_second / self.limit.per_second
        return (max(1.0, self.limit.burst * share) - 1) / self.per_second


class Rates:
    """The rates of one account and region; for all threads and loops.

    Args:
        account: The account's number, for the metrics; empty if it is not known.
        region: Its region.
        defaults: The rates by operation; an operation that has none is not limited.
        clock: Seconds, for tests.
        sleep: Waits, for tests.
    """

    def __init__(
        self,
        account: str = "",
        region: str = "",
        *,
        defaults: Mapping[str, Rate] = RATES,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._account, self._region = account, region
        self._defaults = defaults
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._given: Mapping[str, float | None] = {}
        self._buckets: dict[str, _Bucket] = {}

    def configure(self, api_rates: Mapping[str, float | None]) -> None:
        """Set rates by operation; 0 and None stand for no limit.

        Operations that are not named have their default again.
        """
        with self._lock:
            if api_rates == self._given:
                return
            before, self._given = self._given, dict(api_rates)
            for operation in {*before, *api_rates}:
                is_same = operation in before and operation in api_rates
                if not (is_same and before[operation] == api_rates[operation]):
                    self._buckets.pop(operation, None)

    def allowed(self, operation: str) -> float | None:
        """Requests a second that are allowed now; None: no limit."""
        with self._lock:
            bucket = self._bucket(operation)
            return bucket.per_second if bucket else None

    async def acquire(self, operation: str, *, at_most_seconds: float = 60.0) -> None:
        """Wait for an operation's turn.

        Args:
            operation: The API's name of it.
            at_most_seconds: A longer wait is refused at once.

        Raises:
            ResourcesUnavailable: The turn would come too late; its code is ``ClientRateLimit``.
        """
        with self._lock:
            bucket = self._bucket(operation)
            if bucket is None:
                return
            taken, wait = bucket.take(self._clock(), at_most_seconds)
            rate = bucket.per_second
        if not taken:
            msg = (
                f"{operation} was not sent: {rate:.2g} a second are allowed, and the next turn is"
                f" in {wait:.1f} s, later than {at_most_seconds:g} s. The setting api_rates"
                " changes the rate."
            )
            raise ResourcesUnavailable(msg, code=CLIENT_RATE_LIMIT)
        if wait > 0:
            await self._sleep(wait)

    def throttled(self, operation: str) -> None:
        """Take note that AWS throttled a call: half the rate."""
        with self._lock:
            if bucket := self._bucket(operation):
                bucket.lower(self._clock())
                self._show(operation, bucket)

    def passed(self, operation: str) -> None:
        """Take note that AWS took a call: a rate that was lowered rises."""
        with self._lock:
            if (bucket := self._bucket(operation)) and bucket.rise():
                self._show(operation, bucket)

    def _bucket(self, operation: str) -> _Bucket | None:
        if (known := self._buckets.get(operation)) is not None:
            return known
        limit = self._defaults.get(operation)
        if operation in self._given:
            given = self._given[operation]
            # The same share of it at once as by default.
            usual = RATES.get(operation)
            seconds = usual.burst / usual.per_second if usual else 1.0
            limit = Rate(given, max(1, round(given * seconds))) if given else None
        if limit is None:
            return None
        bucket = self._buckets[operation] = _Bucket(limit)
        self._show(operation, bucket)
        return bucket

    def _show(self, operation: str, bucket: _Bucket) -> None:
        gauge = aws_metrics().rate.labels(self._account, self._region, operation)
        gauge.set(bucket.per_second)


_shared: dict[tuple[str | None, str, str], Rates] = {}
_shared_lock = threading.Lock()


def shared_rates(target: AwsTarget) -> Rates:
    """The rates of a target's account and region: the same object for all its roles.

    The embedded SageMaker has no limits but those that are set.
    """
    account = account_of_role(target.role_arn) if target.role_arn else ""
    key = (target.endpoint_url, target.region, account or target.access_key_id or "")
    with _shared_lock:
        if key not in _shared:
            defaults: Mapping[str, Rate] = {} if target.is_embedded else RATES
            _shared[key] = Rates(account, target.region, defaults=defaults)
        return _shared[key]
