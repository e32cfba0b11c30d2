"""What a training leaves becomes two checkpoints in the published format, which upstream speaks with too."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import Sampling, SynthesisRequest, VoicePrompt, load_engine
from models.architecture.precision import PRECISIONS
from models.architecture.speaking import read_architecture
from models.catalog.shipped_voice import SPEAKING_KINDS, SpeakingKind, is_shipped
from models.checkpoint.checkpoint import open_checkpoint
from models.checkpoint.embedded import filled, lay_out_voice
from models.loading.native_weights import supports_native
from models.synthetic.writing import write_checkpoint
from tests.parity.upstream_reference import Upstream
from training.codec_shape import CODES
from training.export import cropped, hastened, write_voice
from training.place import PHASES
from training.quantizer import CODEBOOK
from training.shape import voice_shape
from training.vocabulary import sound_vocabulary
from training.voice_network import VoiceNetwork

VOICES = 3


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What would be shipped, of weights that learnt nothing."""
    root = tmp_path_factory.mktemp("voice")
    vocabulary = sound_vocabulary()
    shape = voice_shape(vocabulary, CODES, CODEBOOK)
    write_checkpoint(root / "random", shape, "base")
    torch.manual_seed(0)
    network = VoiceNetwork(read_architecture(root / "random"), shape.speaker_encoder, VOICES, 64)
    with torch.no_grad():
        network.network.head.weight.mul_(30)  # so that the most likely codes differ from each other
    write_voice(root / "voice", network, shape, vocabulary, root / "random" / "speech_tokenizer")
    return root / "voice"


@pytest.fixture(scope="module", params=SPEAKING_KINDS)
def directory(request: pytest.FixtureRequest, voice: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind: SpeakingKind = request.param
    made = tmp_path_factory.mktemp("laid-out") / kind
    lay_out_voice(voice, made, kind)
    return made


def test_it_is_shipped_only_when_its_weights_are_there(voice: Path, tmp_path: Path) -> None:
    assert is_shipped("base", voice)
    assert not is_shipped("custom_voice", voice)
    assert not is_shipped("base", tmp_path)


def test_every_tensor_of_the_published_format_is_there(directory: Path) -> None:
    open_checkpoint(directory).check(needs_encoder=True)


def test_the_native_kernels_have_its_shapes(directory: Path) -> None:
    architecture = read_architecture(directory)
    assert all(supports_native(architecture, precision) for precision in PRECISIONS)


def test_upstream_says_the_same(directory: Path) -> None:
    request = SynthesisRequest("Good morning.", description="A deep voice.", text_at_once=False)
    if directory.name == "base":
        hidden = read_architecture(directory).talker.hidden
        request = SynthesisRequest("Good morning.", voice=VoicePrompt(np.ones(hidden, dtype=np.float32)))
    engine = load_engine(directory, "fp32", threads=1, slots=1, runaway=None)
    try:
        codes = engine.generate_codes(replace(request, sampling=Sampling.greedy(), max_frames=20))
    finally:
        engine.close()
    np.testing.assert_array_equal(codes, Upstream(directory).codes(request, 20))
    assert len(np.unique(codes[:, 0])) > 1, "a constant would prove little"


def test_it_says_which_modes_it_was_not_trained_for(directory: Path) -> None:
    architecture = read_architecture(directory)
    assert (architecture.text_at_once, architecture.in_context) == (False, False)


def test_places_are_read_one_part_later(tmp_path: Path) -> None:
    shape = voice_shape(sound_vocabulary(), CODES, CODEBOOK)
    write_checkpoint(tmp_path, shape, "base")
    network = VoiceNetwork(read_architecture(tmp_path), shape.speaker_encoder, VOICES, 64)
    before = network.network.group_embeddings.detach().clone()
    hastened(network)
    after = network.network.group_embeddings.detach()
    assert torch.equal(after[-1, : PHASES - 1], before[-1, 1:PHASES])
    assert torch.equal(after[-1, PHASES - 1 :], before[-1, PHASES - 1 :])
    assert torch.equal(after[:-1], before[:-1])


@pytest.mark.parametrize("shape", [(3, 4), (5,), (2, 3, 4)])
def test_zeros_at_the_ends_are_not_shipped(shape: tuple[int, ...]) -> None:
    tensor = torch.zeros([size + 2 for size in shape])
    tensor[tuple(slice(size) for size in shape)] = 1
    small = cropped(tensor)
    assert small.shape == shape
    assert torch.equal(filled(small, tensor.shape), tensor)
    assert cropped(torch.zeros(4, 5)).shape == (1, 1)
