"""Training sees exactly what speaking does: the same rows, the same hidden states, the same logits."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from models import Kind, Sampling, SamplingSettings, SynthesisRequest, VoicePrompt
from models.checkpoint.checkpoint import Checkpoint, open_checkpoint
from models.engine.options import EngineOptions
from models.language.decoder_stack import KeyValueCache
from models.language.prompt import PromptBuilder
from models.language.sampling import SamplingRows
from models.loading.language_model import LanguageModel, load_language_model
from models.synthetic.writing import write_checkpoint
from models.text.layout import LayoutBuilder
from training.layout import LayoutMaker, Rows, Utterance, collate
from training.network import Network

_TEXT = "Two doors, then a long corridor."
_FRAMES = 9


@pytest.fixture(scope="module", params=("base", "voice_design"))
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    kind: Kind = request.param
    directory = tmp_path_factory.mktemp(kind)
    write_checkpoint(directory, "tiny", kind, seed=3)
    return open_checkpoint(directory)


@pytest.fixture(scope="module")
def language_model(checkpoint: Checkpoint) -> Iterator[LanguageModel]:
    with torch.inference_mode():
        yield load_language_model(checkpoint, "fp32", EngineOptions(backend="torch", slots=1, max_positions=256))


def _network(checkpoint: Checkpoint) -> Network:
    network = Network(checkpoint.architecture, 256)
    with torch.no_grad():
        for name, tensor in network.published():
            tensor.copy_(checkpoint.model.tensor(name).float())
    return network


def _codes(checkpoint: Checkpoint) -> np.ndarray:
    groups, codebook = checkpoint.architecture.code_groups, checkpoint.architecture.predictor.vocabulary
    return np.random.default_rng(5).integers(0, codebook, (_FRAMES, groups))


def _cases(checkpoint: Checkpoint) -> list[tuple[SynthesisRequest, Utterance]]:
    """Requests, and the same as training examples, in every way the kind is prompted."""
    encode, codes = checkpoint.text_tokenizer.encode, _codes(checkpoint)
    role, text = encode("<|im_start|>assistant\n"), encode(_TEXT)
    english = checkpoint.architecture.languages["english"]
    speaker = np.random.default_rng(6).normal(size=checkpoint.architecture.talker.hidden).astype(np.float32)
    cases: list[tuple[SynthesisRequest, Utterance]] = []
    for language in (None, english):
        name = "english" if language else "auto"
        if checkpoint.architecture.kind == "voice_design":
            request = SynthesisRequest(_TEXT, name, description="A deep voice.", text_at_once=False)
            said = encode("<|im_start|>user\nA deep voice.<|im_end|>\n")
            cases.append((request, Utterance(text, codes, role, said, language=language)))
        else:
            request = SynthesisRequest(_TEXT, name, VoicePrompt(speaker), text_at_once=False)
            cases.append((request, Utterance(text, codes, role, (), True, language)))
    return cases


def _trained(checkpoint: Checkpoint, network: Network, request: SynthesisRequest, rows: Rows) -> torch.Tensor:
    """The talker's inputs as training makes them: [positions, hidden]."""
    batch = collate([rows], checkpoint.architecture, len(rows.text) + 3, np.random.default_rng(0))
    embedding = torch.zeros(1, checkpoint.architecture.talker.hidden)
    if request.voice is not None:
        embedding = torch.from_numpy(request.voice.speaker_embedding)[None]
    return network.inputs(batch, embedding)[0, : len(rows.text)]


@torch.inference_mode()
def test_rows_are_the_prompts_and_hidden_states_the_engines(
    checkpoint: Checkpoint, language_model: LanguageModel
) -> None:
    network, maker = _network(checkpoint), LayoutMaker(checkpoint.architecture)
    talker, predictor = language_model.talker, language_model.predictor
    layouts = LayoutBuilder(checkpoint.architecture, checkpoint.text_tokenizer)
    prompts = PromptBuilder(checkpoint.architecture, talker, predictor)
    for request, example in _cases(checkpoint):
        prompt, rows = prompts.build(layouts.build(request)), maker.rows(example)
        codes = torch.from_numpy(np.asarray(example.codes))
        fed = [prompt.prefill]
        for frame in range(_FRAMES):
            row = talker.embed_codes(codes[frame, 0]) + predictor.embed(codes[frame : frame + 1, 1:])[0]
            fed.append((row + prompt.text_at(frame))[None])
        spoken = torch.cat(fed)
        trained = _trained(checkpoint, network, request, rows)
        assert torch.allclose(trained, spoken, atol=1e-5)
        assert isinstance(talker.stack.cache, KeyValueCache)
        positions = list(range(len(spoken)))
        expected = talker.forward(spoken, [0] * len(spoken), positions)
        found = network.talker(trained[None])[0]
        assert torch.allclose(found, expected, atol=2e-4)
        assert torch.allclose(network.head(found), talker.logits(expected), atol=2e-3)
        assert rows.first == len(prompt.prefill) - 1


@torch.inference_mode()
def test_the_predictor_is_taught_what_it_is_asked(checkpoint: Checkpoint, language_model: LanguageModel) -> None:
    """Codes that are the most likely ones when speaking are the most likely ones of the teacher-forced logits."""
    network = _network(checkpoint)
    hidden = torch.randn(4, checkpoint.architecture.talker.hidden, generator=torch.Generator().manual_seed(0))
    first = torch.tensor([1, 7, 30, 500])
    greedy = SamplingRows.predictor([Sampling.greedy().resolved(SamplingSettings())])
    for row, code in zip(hidden, first, strict=True):
        uniforms = torch.zeros(1, checkpoint.architecture.code_groups - 1, dtype=torch.float64)
        embedded = language_model.talker.embed_codes(code[None])
        codes, _ = language_model.predictor.predict(row[None], embedded, uniforms, greedy)
        logits = network.predictor_logits(row[None], torch.cat((code[None, None], codes), dim=1))
        assert logits.argmax(dim=-1)[:, 0].tolist() == codes[0].tolist()
