"""The trained codec in the published format: `python -m training.codec_files`."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from models.architecture import CodecEncoderDimensions, codec_encoder_tensors
from models.catalog import TINY
from models.storage import SafetensorsWriter
from models.synthetic import configuration
from training.codec_shape import DECODER, ENCODER
from training.decoder_network import DecoderNetwork
from training.quantizer import Quantizer
from training.work import SEED, Work, work_of, work_parser


def _nothing(shape: CodecEncoderDimensions) -> dict[str, Tensor]:
    """An encoder that hears nothing; the usage of its entries divides, so it is not zero."""
    return {
        name: (torch.ones if name.endswith("cluster_usage") else torch.zeros)(size)
        for name, size in codec_encoder_tensors(shape).items()
    }


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
    """Write what the checkpoint holds."""
    network = DecoderNetwork(DECODER, Quantizer.load(work.quantizer), SEED)
    state = torch.load(work.checkpoints / "decoder.pt", weights_only=True)
    network.load_state_dict(state["network"])
    write_codec(work.speech_tokenizer, network.published() | _nothing(ENCODER))


if __name__ == "__main__":
    export(work_of(work_parser(__doc__ or "").parse_args()))
