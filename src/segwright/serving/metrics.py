"""Metrics of a running server for Prometheus, which asks for them at /metrics."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import InfoMetricFamily
from prometheus_client.registry import Collector
from starlette.responses import Response

from segwright import __version__
from segwright.inference import Model
from segwright.serving.inference_pool import InferencePool
from segwright.serving.request_log import RequestRecord

Models = Callable[[], Mapping[str, Model]]
"""Gives the models in memory, by name."""

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_PIXELS: Final = (1e4, 1e5, 2.5e5, 5e5, 1e6, 2e6, 5e6, 1e7, 2e7, 5e7, 1e8)


class ServerMetrics:
    """Counts the requests of one server."""

    def __init__(self, pool: InferencePool, models: Models) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("segwright_requests", "By status, without probes", ["status"], registry=registry)
        self._seconds = Histogram(
            "segwright_request_seconds", "From headers to the end of the response", registry=registry, buckets=_SECONDS
        )
        self._stages = Histogram(
            "segwright_stage_seconds", "Of images, by stage", ["stage"], registry=registry, buckets=_SECONDS
        )
        self._pixels = Histogram("segwright_image_pixels", "Sizes of images", registry=registry, buckets=_PIXELS)
        in_flight = Gauge("segwright_requests_in_flight", "Received and not yet answered", registry=registry)
        in_flight.set_function(lambda: pool.in_flight)
        waiting = Gauge("segwright_requests_waiting", "Of these, those that no thread works at", registry=registry)
        # Threads that notice late that nobody waits for them are busy without a request.
        waiting.set_function(lambda: max(pool.in_flight - pool.busy_threads, 0))
        registry.register(_ModelInfo(models))
        ProcessCollector(registry=registry)  # memory, processor time, open files; on Linux only

    def observe(self, record: RequestRecord) -> None:
        """Count one request at its end."""
        if record.is_probe:
            return
        self._requests.labels(record.status).inc()
        if record.size:
            self._seconds.observe(record.seconds)
            self._pixels.observe(record.size[0] * record.size[1])
        for stage, seconds in dict(record.times.seconds).items():
            self._stages.labels(stage).observe(seconds)

    def response(self) -> Response:
        """All metrics in Prometheus's text format."""
        return Response(generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class _ModelInfo(Collector):
    """What is served, and how it is computed."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[InfoMetricFamily]:
        family = InfoMetricFamily("segwright_model", "A model in memory", labels=["model"])
        for name, model in self._models().items():
            network = model.description.network
            about = {
                "algorithm": network.algorithm,
                "backbone": network.backbone,
                "precision": model.runtime.precision,
                "device": str(model.runtime.device),
                "version": __version__,
            }
            family.add_metric([name], about)
        yield family
