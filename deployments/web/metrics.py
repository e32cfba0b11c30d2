"""What Prometheus reads: how requests went, as the ingress saw them, and how the models are doing, as they report.

No label takes values that clients choose.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from deployments.speech import RequestRecord
from deployments.web.schemas import ModelState, ModelStatus, StatusBody

CONTENT_TYPE = CONTENT_TYPE_LATEST
PREFIX = "qwen3_tts"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_FIRST_AUDIO = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60)
_REAL_TIME_FACTORS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 2, 3, 5, 10)
_STATES: tuple[ModelState, ...] = ModelState.__args__
# Fields of ModelStatus: name of the metric, what it says.
_GAUGES = {
    "slots": ("slots", "Utterances that can be computed together"),
    "slots_used": ("slots_used", "Utterances that are being computed"),
    "queue": ("waiting", "Utterances that wait for a slot"),
    "queue_batch": ("waiting_batch", "Of those, the batch class's"),
    "queued_audio_seconds": ("queued_audio_seconds", "Audio still to be made, as expected"),
    "resident_bytes": ("resident_bytes", "Memory that the model's replica has resident"),
    "peak_bytes": ("peak_resident_bytes", "The most memory that the replica ever had resident"),
    "budget_bytes": ("budget_bytes", "Memory that the replica may take"),
    "load_seconds": ("load_seconds", "What loading the model took"),
    "rtf": ("measured_real_time_factor", "Time at work over audio made, since the replica started"),
}
_COUNTERS = {
    "rejected": ("rejected", "Requests that were not let in: too much work before them"),
    "preempted": ("preempted", "Times that batch work gave up its slot"),
    "audio_seconds": ("audio_seconds", "Audio that was made"),
}


class Metrics:
    """Of one ingress."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()

        def histogram(name: str, what: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
            return Histogram(f"{PREFIX}_{name}", what, labels, buckets=buckets, registry=registry)

        def counter(name: str, what: str, labels: Sequence[str]) -> Counter:
            return Counter(f"{PREFIX}_{name}", what, labels, registry=registry)

        self._requests = counter("http_requests", "HTTP requests by route", ["route", "method", "status"])
        self._duration = histogram("http_request_seconds", "Whole HTTP requests", ["route"], _SECONDS)
        self._speeches = counter("speeches", "Requests for speech by how they ended", ["model", "outcome"])
        self._first_audio = histogram(
            "time_to_first_audio_seconds", "Request received to first audio byte, streams only", ["model"], _FIRST_AUDIO
        )
        self._rtf = histogram(
            "real_time_factor", "Wall time over audio time of a request", ["model"], _REAL_TIME_FACTORS
        )
        self._queue = histogram("queue_wait_seconds", "Submission to admission in the engine", ["model"], _SECONDS)

    def request_ended(self, route: str, method: str, status: int, record: RequestRecord) -> None:
        """Count a request."""
        self._requests.labels(route, method, str(status)).inc()
        self._duration.labels(route).observe(record.elapsed_s)
        if record.model is None:
            return
        self._speeches.labels(record.model, record.outcome).inc()
        for histogram, value in (
            (self._first_audio, record.ttfa_s),
            (self._rtf, record.rtf),
            (self._queue, record.queue_s),
        ):
            if value is not None:
                histogram.labels(record.model).observe(value)

    def exposition(self, status: StatusBody) -> bytes:
        """Everything, in Prometheus' text form."""
        return generate_latest(_Families(chain(self._registry.collect(), _families(status))))


class _Families(CollectorRegistry):
    """What `generate_latest` takes: something that can be collected."""

    def __init__(self, families: Iterable[Metric]) -> None:
        super().__init__()
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _families(status: StatusBody) -> Iterator[Metric]:
    yield InfoMetricFamily(PREFIX, "What is running", {"version": status.version, "weights": status.weights})
    node = status.node
    yield GaugeMetricFamily(f"{PREFIX}_uptime_seconds", "Since the ingress started", status.uptime_s)
    yield GaugeMetricFamily(f"{PREFIX}_node_memory_bytes", "Memory of the machine", node.memory_bytes)
    yield GaugeMetricFamily(f"{PREFIX}_node_memory_available_bytes", "Memory that is free", node.memory_available_bytes)
    for field, (name, what) in _GAUGES.items():
        yield _of_models(GaugeMetricFamily(f"{PREFIX}_{name}", what, labels=["model"]), status.models, field)
    for field, (name, what) in _COUNTERS.items():
        yield _of_models(CounterMetricFamily(f"{PREFIX}_{name}", what, labels=["model"]), status.models, field)
    ended = CounterMetricFamily(
        f"{PREFIX}_utterances", "Utterances by how the engine ended them", labels=["model", "outcome"]
    )
    for model in status.models:
        for outcome, count in (model.outcomes or {}).items():
            ended.add_metric([model.id, outcome], count)
    yield ended
    states = GaugeMetricFamily(f"{PREFIX}_model_state", "1 for the state a model is in", labels=["model", "state"])
    for model in status.models:
        for state in _STATES:
            states.add_metric([model.id, state], float(model.state == state))
    yield states


def _of_models(family: GaugeMetricFamily | CounterMetricFamily, models: Iterable[ModelStatus], field: str) -> Metric:
    for model in models:
        value = getattr(model, field)
        if value is not None:
            family.add_metric([model.id], value)
    return family
