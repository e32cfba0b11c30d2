"""What an engine says of itself: what was loaded, and what it takes."""

from models.engine.options import EngineOptions
from models.engine.prefix_cache import PrefixCache
from models.engine_api import EngineInfo, MemoryReport
from models.loading import Model


def describe(model: Model, options: EngineOptions) -> EngineInfo:
    """What was loaded, and for what."""
    architecture, checkpoint = model.architecture, model.checkpoint
    return EngineInfo(
        kind=architecture.kind,
        size=architecture.size,
        precision=model.precision,
        backend=model.backend,
        instructions=model.instructions,
        weights=checkpoint.source,
        sample_rate=architecture.sample_rate,
        samples_per_frame=architecture.samples_per_frame,
        speaker_embedding_size=architecture.talker.hidden,
        languages=architecture.spoken_languages,
        speakers=tuple(architecture.speakers),
        slots=options.slots,
        max_frames=options.max_frames,
        load_seconds=model.load_seconds,
        fingerprint=checkpoint.fingerprint,
        generation_defaults=checkpoint.generation_defaults,
    )


def memory_report(model: Model, prefixes: PrefixCache) -> MemoryReport:
    """Bytes by purpose."""
    cache = model.talker.stack.cache
    return MemoryReport(
        weights=model.weight_bytes,
        mapped=model.mapped_bytes,
        caches=cache.nbytes,
        untouched=cache.untouched_bytes,
        codec_state=model.codec.state_bytes,
        prefixes=prefixes.nbytes,
    )
