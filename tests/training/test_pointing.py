"""Fresh weights look at the token that a place names, and at its neighbours."""

from pathlib import Path

import numpy as np
import torch

from models.architecture.speaking import read_architecture
from models.synthetic.writing import write_checkpoint
from training.codec_shape import CODES
from training.layout import LayoutMaker, Utterance, collate
from training.network import Layer, Network, attention
from training.place import PLACES, place_codes
from training.pointing import point
from training.quantizer import CODEBOOK
from training.shape import voice_shape
from training.vocabulary import sound_tokenizer, sound_vocabulary

TEXT = "The river runs quietly past the old stone bridge."
PACE = 1.7  # frames a token
OFFSETS = (0, 1, 2, -1)  # of the four heads


@torch.no_grad()
def test_each_head_looks_at_its_token(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, voice_shape(sound_vocabulary(), CODES, CODEBOOK), "base")
    architecture = read_architecture(tmp_path)
    torch.manual_seed(1)
    network = Network(architecture, 128)
    point(network)
    text, role = (sound_tokenizer().encode(one) for one in (TEXT, "<|im_start|>assistant\n"))
    frames = round(PACE * len(text))
    positions = np.arange(frames) / PACE
    sound = np.random.default_rng(1).integers(0, CODEBOOK, (frames, CODES - PLACES))
    codes = np.concatenate((sound, place_codes(positions, [1] * len(text), CODEBOOK)), axis=1)
    rows = LayoutMaker(architecture).rows(Utterance(text, codes, role))
    batch = collate([rows], architecture, len(rows.text), np.random.default_rng(0))
    inputs = network.inputs(batch, torch.zeros(1, architecture.talker.hidden))
    layer = network.talker.layers[0]
    assert isinstance(layer, Layer)
    query, key, _ = layer.heads(inputs, *network.talker.angles[:, : len(rows.text)])
    looks = attention(query, key, network.talker.hidden[: len(rows.text), : len(rows.text)])[0]
    for frame in range(3, frames):
        place = int(positions[frame])
        for head, offset in enumerate(OFFSETS):
            if 0 <= place + offset <= frame:
                assert looks[head, rows.first + frame].argmax() == rows.first + place + offset
                assert looks[head, rows.first + frame].max() > 0.8
