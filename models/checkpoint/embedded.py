"""The embedded checkpoints, so that everything starts without a download.

`base` and `voice_design` are one small network trained for the purpose (training/), where the package ships it in
models/catalog/embedded_voice; what is not shipped is tiny and random. They are laid out in the published format in
the cache on first use.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture import (
    Inventory,
    codec_decoder_tensors,
    codec_encoder_tensors,
    read_architecture,
    read_codec_encoder,
    read_speaker_encoder,
    speaker_encoder_tensors,
    talker_tensors,
)
from models.catalog import DESIGN_CONFIG, SHIPPED_VOICE, SpeakingKind, is_shipped
from models.errors import CheckpointError
from models.request import Kind
from models.storage import SafetensorsWriter, TensorFile, cache_directory

_SEED = 0


def _sources(kind: Kind) -> Iterator[Path]:
    """What a checkpoint is made from."""
    if is_shipped(kind):
        yield Path(__file__)
        yield from (path for path in sorted(SHIPPED_VOICE.rglob("*")) if path.is_file())
    else:
        for room in ("catalog", "synthetic"):
            yield from sorted((Path(__file__).parents[1] / room).glob("*.py"))


def _version(kind: Kind) -> str:
    """Another one whenever what it is made from is another."""
    digest = hashlib.sha256()
    for path in _sources(kind):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _name(kind: Kind) -> str:
    return f"{kind}-{_version(kind)}"


def current_names() -> set[str]:
    """The names in the cache of the embedded checkpoints of this version of the package."""
    return {_name(kind) for kind in get_args(Kind)}


def filled(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """With the zeros at the ends of its dimensions, which are not shipped."""
    missing = [size for now, size in zip(tensor.shape, shape, strict=True) for size in (size - now, 0)]
    return F.pad(tensor, missing[::-1])


def _rewrite(source: TensorFile, target: Path, shapes: Inventory, dtype: torch.dtype) -> None:
    """The tensors of `shapes`, whole and in another precision; floating point ones alone change theirs."""
    with SafetensorsWriter(target, 100 + sum(len(name) + 120 for name in shapes)) as file:
        for name, shape in shapes.items():
            tensor = filled(source.tensor(name), shape)
            file.add(name, tensor.to(dtype) if tensor.is_floating_point() else tensor)


def lay_out_voice(source: Path, directory: Path, kind: SpeakingKind) -> None:
    """The published layout of one kind in `directory`, from what `training.export` wrote to `source`."""
    speech = directory / "speech_tokenizer"
    shutil.copytree(source, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors"))
    if kind == "voice_design":
        shutil.copy(source / DESIGN_CONFIG, directory / "config.json")
    architecture = read_architecture(directory)
    model = talker_tensors(architecture)
    if kind == "base":
        model |= speaker_encoder_tensors(read_speaker_encoder(directory))
    codec = codec_decoder_tensors(architecture.codec) | codec_encoder_tensors(read_codec_encoder(directory))
    _rewrite(TensorFile([source / "model.safetensors"]), directory / "model.safetensors", model, torch.bfloat16)
    shipped = TensorFile([source / "speech_tokenizer" / "model.safetensors"])
    _rewrite(shipped, speech / "model.safetensors", codec, torch.float32)


def _write(directory: Path, kind: Kind) -> None:
    if is_shipped(kind):
        lay_out_voice(SHIPPED_VOICE, directory, kind)
        return
    from models.synthetic import write_checkpoint  # needed on the first start alone

    write_checkpoint(directory, "tiny", kind, _SEED)


def _make(directory: Path, kind: Kind) -> None:
    """Write the checkpoint beside its place and give it its name; whoever comes second finds it there."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        _write(temporary, kind)
        temporary.chmod(0o755)
        os.rename(temporary, directory)
    except OSError:
        if not directory.exists():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def embedded_checkpoint(kind: str) -> Path:
    """The directory of the embedded checkpoint of a kind. Raises CheckpointError."""
    if kind not in get_args(Kind):
        raise CheckpointError(f"embedded:{kind} is unknown: there is {', '.join(get_args(Kind))}")
    known = cast(Kind, kind)
    try:
        directory = cache_directory() / "embedded" / _name(known)
        if not directory.exists():
            _make(directory, known)
        os.utime(directory)  # when it was last wanted: see models.checkpoint.cache_contents
    except OSError as error:
        raise CheckpointError(f"embedded:{kind} cannot be made ({error}); QWEN3_TTS_CACHE names the place") from error
    return directory
