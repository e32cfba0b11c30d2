"""The trained codec in the published format: `python -m training.codec_files`."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from models.safetensors_writer import SafetensorsWriter
from models.synthetic import configuration
from models.synthetic.shapes import TINY
from training.codec_shape import DECODER, ENCODER
from training.decoder_network import DecoderNetwork
from training.encoder_network import EncoderNetwork
from training.quantizer import Quantizer
from training.work import SEED, Work, work_of, work_parser


def _trained(network: DecoderNetwork | EncoderNetwork, path: Path) -> dict[str, Tensor]:
    """The network's tensors as last trained, or untrained when it has not been."""
    if path.exists():
        network.load_state_dict(torch.load(path, weights_only=True)["network"])
    return network.published()


def write_codec(directory: Path, tensors: dict[str, Tensor]) -> None:
    """speech_tokenizer/: three configuration files and float32 weights."""
    directory.mkdir(parents=True, exist_ok=True)
    shape = replace(TINY, codec=DECODER, codec_encoder=ENCODER)
    files = {
        "config.json": configuration.speech_tokenizer_config(shape),
        "configuration.json": configuration.SPEECH_CONFIGURATION,
        "preprocessor_config.json": configuration.SPEECH_PREPROCESSOR_CONFIG,
    }
    for name, content in files.items():
        (directory / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    path = directory / "model.safetensors"
    fresh = path.with_suffix(".new")
    with SafetensorsWriter(fresh, 100 + sum(len(name) + 120 for name in tensors)) as file:
        for name in sorted(tensors):
            file.add(name, tensors[name])
    fresh.replace(path)


def export(work: Work) -> None:
    """Write what the checkpoints hold."""
    quantizer = Quantizer.load(work.quantizer)
    tensors = _trained(DecoderNetwork(DECODER, quantizer, SEED), work.checkpoints / "decoder.pt")
    tensors |= _trained(EncoderNetwork(ENCODER, quantizer, SEED), work.checkpoints / "encoder.pt")
    write_codec(work.speech_tokenizer, tensors)


if __name__ == "__main__":
    export(work_of(work_parser(__doc__ or "").parse_args()))
