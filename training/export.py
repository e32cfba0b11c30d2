"""The trained weights as the package ships them: `python -m training.export`.

One network serves both kinds. models/checkpoint/embedded.py lays out their two directories in the published format on
first use; `--published DIR` writes them there and ships nothing.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.architecture import Architecture, read_architecture
from models.catalog import DESIGN_CONFIG, SHIPPED_VOICE, SPEAKING_KINDS, SyntheticShape
from models.checkpoint import lay_out_voice
from models.storage import SafetensorsWriter, TensorFile
from models.synthetic import Vocabulary, write_configuration
from training.material import open_material
from training.place import PHASES
from training.train import make_network
from training.voice_network import VoiceNetwork
from training.work import Work, work_of, work_parser

# Chosen on sentences that are not trained on.
GENERATION: dict[str, Any] = {
    "do_sample": True,
    "temperature": 0.3,
    "top_k": 50,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "subtalker_dosample": True,
    "subtalker_temperature": 0.3,
    "subtalker_top_k": 50,
    "subtalker_top_p": 1.0,
    "max_new_tokens": 1024,
}
# Modes it is not trained for, named as upstream's parameters.
MODES = {"non_streaming_mode": False, "x_vector_only_mode": True}
_PART_OF_ROWS = ("talker.model.codec_embedding.weight", "talker.codec_head.weight")  # some ids are never used


def _write_half(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Floating point numbers in bfloat16, everything else as it is."""
    with SafetensorsWriter(path, 100 + sum(len(name) + 120 for name in tensors)) as file:
        for name in sorted(tensors):
            tensor = cropped(tensors[name].detach())
            file.add(name, tensor.bfloat16() if tensor.is_floating_point() else tensor)


def cropped(tensor: Tensor) -> Tensor:
    """Without the zeros at the ends of its dimensions, of which one element always stays: the layout fills them up."""
    places = tensor.nonzero()
    ends = (places.max(dim=0).values + 1).tolist() if len(places) else [1] * tensor.dim()
    return tensor[tuple(slice(end) for end in ends)].contiguous()


def _used_rows(tensors: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """Without the codec vocabulary's last ids, which nothing uses: the layout fills them up with zeros."""
    rows = 1 + max(*asdict(architecture.tokens).values(), *architecture.languages.values())
    return {name: tensor[:rows] if name in _PART_OF_ROWS else tensor for name, tensor in tensors.items()}


@torch.no_grad()
def hastened(network: VoiceNetwork) -> None:
    """Let places be read one part of a token further on than they are said. Sampled coldly, places are the most likely
    ones and not the mean ones, which are further on: speech was 9 % longer than the teacher's, so it is 2 %. The parts
    are the last code of a frame, which the code predictor is never fed, so nothing else changes."""
    parts = network.network.group_embeddings[-1]
    parts[: PHASES - 1] = parts[1:PHASES].clone()


def write_voice(
    target: Path, network: VoiceNetwork, shape: SyntheticShape, vocabulary: Vocabulary, speech_tokenizer: Path
) -> None:
    """What `lay_out_voice` reads: network, vocabulary, and a codec in the published format."""
    with tempfile.TemporaryDirectory() as scratch:
        for kind in SPEAKING_KINDS:
            write_configuration(Path(scratch) / kind, shape, kind, vocabulary)
            config = Path(scratch) / kind / "config.json"
            config.write_text(json.dumps(json.loads(config.read_text()) | MODES, indent=2) + "\n", encoding="utf-8")
        shutil.copytree(Path(scratch) / "base", target, dirs_exist_ok=True)
        shutil.copy(Path(scratch) / "voice_design" / "config.json", target / DESIGN_CONFIG)
    (target / "generation_config.json").write_text(json.dumps(GENERATION, indent=2) + "\n", encoding="utf-8")
    speech = target / "speech_tokenizer"
    shutil.copytree(speech_tokenizer, speech, dirs_exist_ok=True)
    codec = TensorFile([speech_tokenizer / "model.safetensors"])
    _write_half(speech / "model.safetensors", {name: codec.tensor(name) for name in codec.names})
    _write_half(target / "model.safetensors", _used_rows(network.published(), read_architecture(target)))


def export(work: Work, weights: Path, target: Path) -> None:
    """Write everything that is shipped but the card."""
    material = open_material(work)
    network = make_network(material)
    network.load_state_dict(torch.load(weights))
    hastened(network)
    write_voice(target, network, material.shape, material.vocabulary, work.speech_tokenizer)


def main() -> None:
    """The command line."""
    parser = work_parser("Write the weights that are shipped")
    parser.add_argument("--weights", type=Path, help="default: what the training and `training.hearing` left")
    parser.add_argument("--published", type=Path, help="write both kinds in the published format here instead")
    arguments = parser.parse_args()
    work = work_of(arguments)
    weights = arguments.weights or work.checkpoints / "talker-heard.pt"
    if arguments.published is None:
        export(work, weights, SHIPPED_VOICE)
        size = sum(path.stat().st_size for path in SHIPPED_VOICE.rglob("*") if path.is_file())
        sys.stdout.write(f"{SHIPPED_VOICE}: {size / 1e6:.1f} MB\n")
        return
    with tempfile.TemporaryDirectory() as scratch:
        export(work, weights, Path(scratch))
        for kind in SPEAKING_KINDS:
            lay_out_voice(Path(scratch), arguments.published / kind, kind)


if __name__ == "__main__":
    main()
