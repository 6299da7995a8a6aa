"""What a service counts and measures, for Prometheus.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

STAGES = ("read", "queue", "decode", "predict", "total")
disable_created_metrics()  # they would double the series
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one service.

    Every label has few values, all of them the service's own: nothing that a client sends becomes one.

    Parameters
    ----------
    reasons : iterable of str
        Why requests may be refused.

    Attributes
    ----------
    active : Gauge
        Requests that are being read or answered.
    queue : Gauge
        Rows that wait for a thread.
    rows : Counter
        By ``result``: "good" or "bad".
    """

    def __init__(self, reasons: Iterable[str]):
        self._registry = CollectorRegistry()
        of = {"registry": self._registry, "namespace": "featx"}
        self._requests = Counter("requests", "Requests that were answered", ["route", "status"], **of)
        self._refusals = Counter("refusals", "Requests that were refused", ["reason"], **of)
        self._reloads = Counter("reloads", "Orders to take a replaced bundle", ["result"], **of)
        self._seconds = Histogram(
            "seconds",
            "Of predictions: read a request; a row waits for a thread; decode its image; predict; all of a request",
            ["stage"],
            buckets=_BUCKETS,
            **of,
        )
        self._model = Info("model", "The model that serves", **of)
        self.rows = Counter("rows", "Rows that were predicted or embedded", ["result"], **of)
        self.active = Gauge("active_requests", "Requests that are being read or answered", **of)
        self.queue = Gauge("queue_length", "Rows that wait for a thread", **of)
        ProcessCollector(registry=self._registry)
        # So that each is there from the start, at 0.
        self._stages = {stage: self._seconds.labels(stage) for stage in STAGES}
        for reason in reasons:
            self._refusals.labels(reason)
        for result in ("good", "bad"):
            self.rows.labels(result)
        for result in ("taken", "unchanged", "refused"):
            self._reloads.labels(result)

    def observe(self, stage: str, seconds: float) -> None:
        """Add the duration of one of `STAGES`."""
        self._stages[stage].observe(seconds)

    def count_request(self, route: str, status: int, refused: str) -> None:
        """Count an answer: `route` is one of the service's own or "unknown"; `refused` is a reason or ""."""
        self._requests.labels(route, str(status)).inc()
        if refused:
            self._refusals.labels(refused).inc()

    def count_reload(self, result: str) -> None:
        """Count a reload: "taken", "unchanged" or "refused"."""
        self._reloads.labels(result).inc()

    def show_model(self, name: str, digest: str) -> None:
        """Say which model serves from now on."""
        self._model.info({"name": name, "digest": digest})

    def write(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics, and their content type: OpenMetrics or plain, as the header ``Accept`` wants it."""
        encode, kind = choose_encoder(accept)
        return encode(self._registry), kind
