"""How the models and the machine are doing."""

import asyncio
import time
from importlib.metadata import PackageNotFoundError, version

from deployments.config import EMBEDDED_NOTICE, AppConfig, ModelConfig
from deployments.keys import KeyRing
from deployments.model_server import ModelReport
from deployments.node import read_node
from deployments.router import Router
from deployments.schemas import HealthBody, ModelState, ModelStatus, NodeStatus, StatusBody
from models import OverloadedError, SpeechError

REPORT_TIMEOUT_S = 2.0
BUSY_S = 30.0  # a model that answered so lately and does not now is busy, not gone


class StatusService:
    """Asks every model that runs, briefly: nobody waits here, and no cold model wakes for it."""

    def __init__(self, config: AppConfig, router: Router, keys: KeyRing) -> None:
        self._config = config
        self._router = router
        self._keys = keys
        self._started = time.monotonic()
        self._last: dict[str, tuple[float, ModelReport]] = {}

    async def status(self) -> StatusBody:
        """GET /api/v1/status."""
        models = await asyncio.gather(*(self._model_status(model) for model in self._router.models))
        return StatusBody(
            version=_version(),
            uptime_s=round(time.monotonic() - self._started, 1),
            weights=self._config.weights,
            notice=EMBEDDED_NOTICE if self._config.weights_source == "embedded" else None,
            warnings=[] if self._keys.trouble is None else [self._keys.trouble],
            node=_node_status(),
            models=list(models),
        )

    async def health(self) -> HealthBody:
        """GET /health; `ok` when at least one model can take work."""
        models = await asyncio.gather(*(self._model_status(model) for model in self._router.models))
        states: dict[str, ModelState] = {model.id: model.state for model in models}
        takes_work = any(state in ("ready", "cold") for state in states.values())  # a cold model wakes for a request
        return HealthBody(status="ok" if takes_work else "loading", models=states)

    async def _model_status(self, model: ModelConfig) -> ModelStatus:
        presence = await self._router.clients[model.id].presence()
        base = ModelStatus(
            id=model.id,
            kind=model.kind,
            checkpoint=model.checkpoint,
            precision=model.precision,
            weights=self._config.weights_source,
            state="loading" if presence == "running" else presence,
            budget_bytes=self._config.budget_bytes(model),
        )
        report = await self._report(model) if presence == "running" else None
        if report is None:
            return base
        return base.model_copy(update=_loaded(report))

    async def _report(self, model: ModelConfig) -> ModelReport | None:
        try:
            async with asyncio.timeout(REPORT_TIMEOUT_S):
                report = await self._router.clients[model.id].report()
        except (TimeoutError, OverloadedError):
            seen, report = self._last.get(model.id, (float("-inf"), None))
            return report if time.monotonic() - seen < BUSY_S else None
        except SpeechError:
            return None
        self._last[model.id] = (time.monotonic(), report)
        return report


def _loaded(report: ModelReport) -> dict[str, object]:
    """What is only known of a model that is loaded."""
    state: ModelState = "ready" if report.healthy else "failed"
    return {
        "state": state,
        "resident_bytes": report.resident_bytes,
        "peak_bytes": report.peak_bytes,
        "load_seconds": round(report.info.load_seconds, 3),
        "backend": report.info.backend,
        "instructions": report.info.instructions,
        "slots": report.info.slots,
        "slots_used": report.status.slots_used,
        "queue": report.status.waiting,
        "queue_batch": report.status.waiting_batch,
        "queued_audio_seconds": round(report.status.queued_audio_seconds, 2),
        "rejected": report.status.rejected,
        "preempted": report.status.preempted,
        "rtf": report.status.real_time_factor,
        "requests": report.status.requests,
        "failures": report.status.failures,
        "outcomes": dict(report.status.outcomes),
        "audio_seconds": report.status.audio_seconds,
    }


def _version() -> str:
    try:
        return version("qwen3-tts-cpu")
    except PackageNotFoundError:
        return "not installed"  # run from a source tree


def _node_status() -> NodeStatus:
    node = read_node()
    return NodeStatus(
        memory_bytes=node.memory_bytes, memory_available_bytes=node.memory_available_bytes, cores=node.cores
    )
