"""The trained weights as the package ships them: `python -m training.export`.

One network serves both kinds; models/embedded.py lays out their two directories in the published format on first use.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.embedded import SHIPPED, SPEAKING_KINDS
from models.safetensors_writer import SafetensorsWriter
from models.tensor_file import TensorFile
from training.material import configured, open_material
from training.train import make_network
from training.work import Work, work_of, work_parser

# Chosen on sentences that are not trained on: see docs/TRAINING.md.
GENERATION: dict[str, Any] = {
    "do_sample": True,
    "temperature": 0.6,
    "top_k": 50,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "subtalker_dosample": True,
    "subtalker_temperature": 0.6,
    "subtalker_top_k": 50,
    "subtalker_top_p": 1.0,
    "max_new_tokens": 1024,
}


def write_half(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Floating point numbers in bfloat16, everything else as it is."""
    with SafetensorsWriter(path, 100 + sum(len(name) + 120 for name in tensors)) as file:
        for name in sorted(tensors):
            tensor = tensors[name].detach()
            file.add(name, tensor.bfloat16() if tensor.is_floating_point() else tensor)


def export(work: Work, weights: Path, target: Path) -> int:
    """Write everything that is shipped but the card; returns the bytes."""
    material = open_material(work)
    network = make_network(material)
    network.load_state_dict(torch.load(weights))
    text, speech = target / "text", target / "speech_tokenizer"
    text.mkdir(parents=True, exist_ok=True)
    for kind in SPEAKING_KINDS:
        directory = configured(work, kind, material.shape, material.vocabulary)
        shutil.copy(directory / "config.json", target / f"config.{kind}.json")
        for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "preprocessor_config.json"):
            shutil.copy(directory / name, text)
    (text / "generation_config.json").write_text(json.dumps(GENERATION, indent=2) + "\n", encoding="utf-8")
    write_half(target / "model.safetensors", network.published())
    shutil.copytree(work.speech_tokenizer, speech, dirs_exist_ok=True)
    codec = TensorFile([work.speech_tokenizer / "model.safetensors"])
    write_half(speech / "model.safetensors", {name: codec.tensor(name) for name in codec.names})
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def main() -> None:
    """The command line."""
    parser = work_parser("Write the weights that are shipped")
    parser.add_argument("--weights", type=Path, help="averaged weights; default: the best ones of the training")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    arguments = parser.parse_args()
    work = work_of(arguments)
    size = export(work, arguments.weights or work.checkpoints / "talker-best.pt", arguments.out)
    print(f"{arguments.out}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
