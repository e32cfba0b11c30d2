"""Opening a checkpoint: from the cache (embedded), the hub or a folder, to architecture, text tokenizer and tensors.

Nothing is ever substituted: what cannot be had is an error that says so.
"""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Literal

from models.architecture import (
    Architecture,
    ConfigSection,
    Inventory,
    codec_decoder_tensors,
    codec_encoder_tensors,
    read_architecture,
    read_codec_encoder,
    read_config,
    read_speaker_encoder,
    speaker_encoder_tensors,
    talker_tensors,
)
from models.checkpoint.embedded import embedded_checkpoint
from models.errors import CheckpointError, InvalidRequestError
from models.request import SamplingSettings
from models.storage import TensorFile, content_digest, open_tensors
from models.text import TextTokenizer

Source = Literal["embedded", "hub", "folder"]


def _compare(tensors: TensorFile, expected: Inventory, allowed: Inventory) -> None:
    """Raises CheckpointError for a tensor that is missing, misshapen or neither expected nor allowed."""
    where = tensors.paths[0]
    for name, shape in expected.items():
        if tensors.shape(name) != shape:
            raise CheckpointError(f"{where}: tensor {name} has shape {tensors.shape(name)}, expected {shape}")
    for name in tensors.names:
        if name not in expected and name not in allowed:
            raise CheckpointError(f"{where}: unexpected tensor {name}")


def _generation_defaults(config: ConfigSection) -> SamplingSettings:
    def number(key: str, default: float) -> float:
        return config.get(key, float) if key in config.values else default

    published = SamplingSettings()
    greedy = config.values.get("do_sample") is False
    predictor_greedy = config.values.get("subtalker_dosample") is False
    try:
        return SamplingSettings(
            temperature=0.0 if greedy else number("temperature", published.temperature),
            top_k=int(number("top_k", published.top_k)),
            top_p=number("top_p", published.top_p),
            repetition_penalty=number("repetition_penalty", published.repetition_penalty),
            predictor_temperature=(
                0.0 if predictor_greedy else number("subtalker_temperature", published.predictor_temperature)
            ),
            predictor_top_k=int(number("subtalker_top_k", published.predictor_top_k)),
            predictor_top_p=number("subtalker_top_p", published.predictor_top_p),
        )
    except InvalidRequestError as error:
        raise CheckpointError(f"{config.where}: {error}") from None


class Checkpoint:
    """One checkpoint directory in the published format. Tensors are mapped when first asked for."""

    def __init__(self, path: Path, source: Source) -> None:
        """Raises CheckpointError when config files are missing or describe something unsupported."""
        self.path = path
        self.source: Source = source
        self.architecture: Architecture = read_architecture(path)
        self.generation_defaults: SamplingSettings = _generation_defaults(read_config(path / "generation_config.json"))

    @cached_property
    def text_tokenizer(self) -> TextTokenizer:
        return TextTokenizer.load(self.path)

    @cached_property
    def model(self) -> TensorFile:
        """Talker, code predictor and, in a Base checkpoint, speaker encoder."""
        return open_tensors(self.path, held=self.source == "embedded")

    @cached_property
    def speech_tokenizer(self) -> TensorFile:
        """Codec decoder and codec encoder."""
        return open_tensors(self.path / "speech_tokenizer", held=self.source == "embedded")

    @cached_property
    def fingerprint(self) -> str:
        """Digest of all weights: another one means other voices and other packed weights."""
        digests = [content_digest(path) for path in (*self.model.paths, *self.speech_tokenizer.paths)]
        return hashlib.sha256("".join(digests).encode()).hexdigest()[:32]

    def overwritten(self) -> Path | None:
        """A file of weights that was written to since it was mapped."""
        return self.model.overwritten() or self.speech_tokenizer.overwritten()

    def check(self, needs_encoder: bool = False) -> None:
        """Compare the tensors with what the architecture asks for, both ways.

        Without `needs_encoder` the parts that turn audio into a voice may be missing, but not misshapen.
        Raises CheckpointError that names the tensor.
        """
        codec_encoder = codec_encoder_tensors(read_codec_encoder(self.path))
        speaker_encoder: Inventory = {}
        if self.architecture.kind == "base":
            speaker_encoder = speaker_encoder_tensors(read_speaker_encoder(self.path))
        parts = (
            (self.model, talker_tensors(self.architecture), speaker_encoder),
            (self.speech_tokenizer, codec_decoder_tensors(self.architecture.codec), codec_encoder),
        )
        for tensors, speaking, encoding in parts:
            present = {name: shape for name, shape in encoding.items() if needs_encoder or name in tensors}
            _compare(tensors, speaking | present, encoding)


def open_checkpoint(spec: str | Path) -> Checkpoint:
    """Open a folder, "embedded:base" (or custom_voice, voice_design) or "hub:Qwen/...[@revision]".

    Raises CheckpointError for a checkpoint that is missing or unsupported, WeightsUnavailableError when the hub
    cannot be reached.
    """
    if isinstance(spec, str) and spec.startswith("embedded:"):
        return Checkpoint(embedded_checkpoint(spec.removeprefix("embedded:")), "embedded")
    if isinstance(spec, str) and spec.startswith("hub:"):
        from models.catalog import download

        return Checkpoint(download(spec.removeprefix("hub:")), "hub")
    path = Path(spec).expanduser()
    if not path.is_dir():
        raise CheckpointError(f"{path} is not a directory; a checkpoint is a folder, embedded:KIND or hub:NAME")
    return Checkpoint(path, "folder")
