"""One synthetic checkpoint directory: every file of the published format."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from models.architecture import (
    Inventory,
    codec_decoder_tensors,
    codec_encoder_tensors,
    read_architecture,
    speaker_encoder_tensors,
    talker_tensors,
)
from models.catalog import SHAPES, SyntheticShape
from models.request import Kind
from models.storage import SafetensorsWriter
from models.synthetic import configuration
from models.synthetic.loudness import audible
from models.synthetic.vocabulary import Vocabulary, build_vocabulary
from models.synthetic.weights import random_tensor


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_text_tokenizer(directory: Path, vocabulary: Vocabulary) -> None:
    """The three files of a text tokenizer."""
    _write_json(directory / "tokenizer_config.json", configuration.tokenizer_config(vocabulary))
    (directory / "vocab.json").write_text(json.dumps(vocabulary.ids, ensure_ascii=False), encoding="utf-8")
    merges = "".join(f"{first} {second}\n" for first, second in vocabulary.merges)
    (directory / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")


def _write_tensors(path: Path, names: Iterable[str], source: Callable[[str], Tensor]) -> None:
    ordered = sorted(names)
    with SafetensorsWriter(path, 100 + sum(len(name) + 120 for name in ordered)) as file:
        for name in ordered:
            file.add(name, source(name))


def _source(inventory: Inventory, seed: int, dtype: torch.dtype) -> Callable[[str], Tensor]:
    return lambda name: random_tensor(name, inventory[name], seed, dtype)


def _without_end(source: Callable[[str], Tensor], end_of_speech: int) -> Callable[[str], Tensor]:
    """The same, with a logit of zero for the end of speech: far below the largest of the codes'."""

    def tensor(name: str) -> Tensor:
        made = source(name)
        if name == "talker.codec_head.weight":
            made[end_of_speech] = 0
        return made

    return tensor


def write_configuration(directory: Path, shape: SyntheticShape, kind: Kind, vocabulary: Vocabulary) -> None:
    """Every file of a checkpoint but its tensors."""
    speech = directory / "speech_tokenizer"
    speech.mkdir(parents=True, exist_ok=True)
    write_text_tokenizer(directory, vocabulary)
    _write_json(directory / "config.json", configuration.model_config(shape, kind, vocabulary))
    _write_json(directory / "generation_config.json", configuration.GENERATION_CONFIG)
    _write_json(directory / "preprocessor_config.json", configuration.PREPROCESSOR_CONFIG)
    _write_json(speech / "config.json", configuration.speech_tokenizer_config(shape))
    _write_json(speech / "configuration.json", configuration.SPEECH_CONFIGURATION)
    _write_json(speech / "preprocessor_config.json", configuration.SPEECH_PREPROCESSOR_CONFIG)


def write_checkpoint(
    directory: str | Path, size: str | SyntheticShape, kind: Kind, seed: int = 0, endless: bool = False
) -> None:
    """Write a checkpoint with random weights in the published format.

    `size` is "tiny", "0.6b", "1.7b" or a shape of one's own. The weights are a function of names, shapes and seed.
    `endless` weights never end speech by themselves: what is measured on them is as long as it is asked to be.
    """
    shape = SHAPES[size] if isinstance(size, str) else size
    directory = Path(directory)
    speech = directory / "speech_tokenizer"
    write_configuration(directory, shape, kind, build_vocabulary(shape.text_tokens))
    architecture = read_architecture(directory)
    model = talker_tensors(architecture)
    if kind == "base":
        model |= speaker_encoder_tensors(shape.speaker_encoder)
    codec = codec_encoder_tensors(shape.codec_encoder) | codec_decoder_tensors(shape.codec)
    speaking = _source(model, seed, torch.bfloat16)
    silent = _without_end(speaking, architecture.tokens.eos) if endless else speaking
    _write_tensors(directory / "model.safetensors", model, silent)
    source = _source(codec, seed, torch.float32)
    loud = audible(shape.codec, source)
    _write_tensors(speech / "model.safetensors", codec, lambda name: loud[name] if name in loud else source(name))
