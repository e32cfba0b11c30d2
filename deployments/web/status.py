"""How the models and the machine are doing."""

import asyncio
import time
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from deployments.config import EMBEDDED_NOTICE, AppConfig, ModelConfig
from deployments.contract import ModelReport, Presence
from deployments.fleet import SharedAnswer
from deployments.keys import KeyRing
from deployments.machine import read_node
from deployments.speech import Router
from deployments.web.schemas import HealthBody, ModelState, ModelStatus, NodeStatus, StatusBody
from models import OverloadedError, SpeechError

REPORT_TIMEOUT_S = 2.0
PRESENCE_TIMEOUT_S = 1.0
HEALTH_AGE_S = 1.0  # probes need no key: they are told what is known, if it is no older
BUSY_S = 30.0  # a model that answered so lately and does not now is busy, not gone


class StatusService:
    """Asks every model that runs, briefly and once at a time: nobody waits here, and no cold model wakes for it."""

    def __init__(self, config: AppConfig, router: Router, keys: KeyRing) -> None:
        self._config = config
        self._router = router
        self._keys = keys
        self._started = time.monotonic()
        self._last: dict[str, tuple[float, ModelReport]] = {}
        self._statuses = {model.id: SharedAnswer(partial(self._look_at, model)) for model in router.models}

    async def status(self) -> StatusBody:
        """GET /api/v1/status."""
        models = await self._models(max_age_s=0.0)
        return StatusBody(
            version=_version(),
            uptime_s=round(time.monotonic() - self._started, 1),
            weights=self._config.weights,
            notice=EMBEDDED_NOTICE if self._config.weights_source == "embedded" else None,
            warnings=[] if self._keys.trouble is None else [self._keys.trouble],
            node=_node_status(),
            models=models,
        )

    async def health(self) -> HealthBody:
        """GET /health; `ok` when at least one model can take work."""
        models = await self._models(HEALTH_AGE_S)
        states: dict[str, ModelState] = {model.id: model.state for model in models}
        takes_work = any(state in ("ready", "cold") for state in states.values())  # a cold model wakes for a request
        return HealthBody(status="ok" if takes_work else "loading", models=states)

    async def _models(self, max_age_s: float) -> list[ModelStatus]:
        return await asyncio.gather(*(status.get(max_age_s) for status in self._statuses.values()))

    async def _look_at(self, model: ModelConfig) -> ModelStatus:
        report = await self._report(model)
        if report is not None:
            return self._base(model, "ready" if report.healthy else "failed").model_copy(update=_loaded(report))
        presence = await self._presence(model)
        return self._base(model, "loading" if presence == "running" else presence)

    def _base(self, model: ModelConfig, state: ModelState) -> ModelStatus:
        return ModelStatus(
            id=model.id,
            kind=model.kind,
            checkpoint=model.checkpoint,
            precision=model.precision,
            weights=self._config.weights_source,
            state=state,
            budget_bytes=self._config.budget_bytes(model),
        )

    async def _presence(self, model: ModelConfig) -> Presence:
        """Of a model that gives no report. Where Serve's controller is gone, one is about to come."""
        try:
            async with asyncio.timeout(PRESENCE_TIMEOUT_S):
                return await self._router.clients[model.id].presence()
        except (TimeoutError, SpeechError):
            return "loading"

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
    return {
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
