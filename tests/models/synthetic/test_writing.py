"""Synthetic checkpoints: upstream loads them, they hold exactly upstream's tensors, and they babble audibly."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from models import Kind
from models.architecture.encoding import read_codec_encoder, read_speaker_encoder
from models.architecture.speaking import read_architecture
from models.architecture.tensors import (
    codec_decoder_tensors,
    codec_encoder_tensors,
    speaker_encoder_tensors,
    talker_tensors,
)
from models.catalog.shapes import SHAPES, SPECIAL_CODES, TINY, SyntheticShape
from models.checkpoint.checkpoint import open_checkpoint
from models.synthetic.configuration import model_config, speech_tokenizer_config
from models.synthetic.vocabulary import build_vocabulary
from models.synthetic.weights import random_tensor
from models.synthetic.writing import write_checkpoint
from models.upstream import import_upstream

KINDS: tuple[Kind, ...] = get_args(Kind)

# Dimensions that are multiples of nothing, no projection between talker and predictor, fewer code groups, other rates.
ODD = replace(
    TINY,
    size="odd",
    talker=replace(
        TINY.talker, hidden=90, intermediate=154, heads=3, kv_heads=1, head_dim=22, vocabulary=64 + SPECIAL_CODES
    ),
    predictor=replace(
        TINY.predictor, layers=1, hidden=90, intermediate=70, heads=5, kv_heads=5, head_dim=10, vocabulary=64
    ),
    codec=replace(
        TINY.codec,
        codebook_size=64,
        code_groups=5,
        window=7,
        latent=44,
        codebook_dim=36,
        decoder=72,
        upsample_rates=(4, 3),
        upsampling_ratios=(5,),
    ),
    codec_encoder=replace(TINY.codec_encoder, codebook_size=64, quantizers=9, code_groups=5, residual_layers=2),
    speaker_encoder=replace(TINY.speaker_encoder, embedding=90, res2net_scale=4),
    text_hidden=46,
)


@cache
def upstream(directory: Path) -> Any:
    torch.set_num_threads(1)
    return import_upstream().Qwen3TTSModel.from_pretrained(str(directory), dtype=torch.float32)


def shapes_of(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def write_configs(directory: Path, shape: SyntheticShape, kind: Kind) -> None:
    (directory / "speech_tokenizer").mkdir()
    config = model_config(shape, kind, build_vocabulary(shape.text_tokens))
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "speech_tokenizer" / "config.json").write_text(json.dumps(speech_tokenizer_config(shape)))


@pytest.mark.parametrize("shape", [*SHAPES.values(), ODD], ids=lambda shape: shape.size)
@pytest.mark.parametrize("kind", ["base", "custom_voice"])
def test_inventory_is_upstreams(tmp_path: Path, shape: SyntheticShape, kind: Kind) -> None:
    write_configs(tmp_path, shape, kind)
    models = import_upstream("qwen_tts.core.models.modeling_qwen3_tts")
    codecs = import_upstream("qwen_tts.core.tokenizer_12hz.modeling_qwen3_tts_tokenizer_v2")
    config = models.Qwen3TTSConfig(**json.loads((tmp_path / "config.json").read_text()))
    codec_config = codecs.Qwen3TTSTokenizerV2Config(
        **json.loads((tmp_path / "speech_tokenizer" / "config.json").read_text())
    )
    with torch.device("meta"):
        model, codec = models.Qwen3TTSForConditionalGeneration(config), codecs.Qwen3TTSTokenizerV2Model(codec_config)
    architecture = read_architecture(tmp_path)
    encoder = speaker_encoder_tensors(read_speaker_encoder(tmp_path)) if kind == "base" else {}
    assert talker_tensors(architecture) | encoder == shapes_of(model)
    decoder = codec_decoder_tensors(architecture.codec)
    assert decoder | codec_encoder_tensors(read_codec_encoder(tmp_path)) == shapes_of(codec)


@pytest.mark.parametrize("kind", KINDS)
def test_upstream_loads_every_tensor(tiny_checkpoint: Callable[[Kind], Path], kind: Kind) -> None:
    directory = tiny_checkpoint(kind)
    model = upstream(directory).model
    checkpoint = open_checkpoint(directory)
    for module, tensors in ((model, checkpoint.model), (model.speech_tokenizer.model, checkpoint.speech_tokenizer)):
        loaded = module.state_dict()
        assert set(loaded) == set(tensors.names)
        for name, tensor in loaded.items():
            assert torch.equal(tensor, tensors.tensor(name).float()), name


@pytest.mark.parametrize("kind", KINDS)
def test_tiny_is_small_and_complete(tiny_checkpoint: Callable[[Kind], Path], kind: Kind) -> None:
    directory = tiny_checkpoint(kind)
    files = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    assert files == {
        "config.json",
        "generation_config.json",
        "tokenizer_config.json",
        "preprocessor_config.json",
        "vocab.json",
        "merges.txt",
        "model.safetensors",
        "speech_tokenizer/config.json",
        "speech_tokenizer/configuration.json",
        "speech_tokenizer/preprocessor_config.json",
        "speech_tokenizer/model.safetensors",
    }
    assert sum((directory / name).stat().st_size for name in files) < 30e6


def test_tables_of_speakers_belong_to_custom_voice(tiny_checkpoint: Callable[[Kind], Path]) -> None:
    custom = read_architecture(tiny_checkpoint("custom_voice"))
    assert len(custom.speakers) == 9
    assert custom.dialects == {"eric": "sichuan_dialect", "dylan": "beijing_dialect"}
    assert set(custom.dialects.values()) <= set(custom.languages)
    assert all(512 <= token < custom.talker.vocabulary for token in (custom.speakers | custom.languages).values())
    base = read_architecture(tiny_checkpoint("base"))
    assert base.speakers == {}
    assert base.spoken_languages == custom.spoken_languages
    assert len(base.spoken_languages) == 11


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [TINY, ODD], ids=lambda shape: shape.size)
def test_codes_are_audible_and_not_clipped(tmp_path: Path, shape: SyntheticShape, seed: int) -> None:
    write_checkpoint(tmp_path, shape, "voice_design", seed)
    codecs = import_upstream("qwen_tts.core.tokenizer_12hz.modeling_qwen3_tts_tokenizer_v2")
    config = json.loads((tmp_path / "speech_tokenizer" / "config.json").read_text())["decoder_config"]
    decoder = codecs.Qwen3TTSTokenizerV2Decoder(codecs.Qwen3TTSTokenizerV2DecoderConfig(**config)).eval()
    tensors = open_checkpoint(tmp_path).speech_tokenizer
    names = [name for name in tensors.names if name.startswith("decoder.")]
    decoder.load_state_dict({name.removeprefix("decoder."): tensors.tensor(name) for name in names})
    codes = torch.from_numpy(np.random.default_rng(seed).integers(0, shape.codec.codebook_size, (60, 5)))
    codes = codes.T[None].repeat(1, 4, 1)[:, : shape.codec.code_groups]
    with torch.inference_mode():
        samples = decoder(codes)[0, 0]
    assert 0.1 < samples.abs().max() < 1.0
    assert samples.std() > 0.01


def babble(directory: Path, seed: int, greedy: bool) -> torch.Tensor:
    """Codes of upstream's voice design: int64 [frames, groups]."""
    wrapper = upstream(directory)
    torch.manual_seed(seed)
    with torch.inference_mode():
        codes, _ = wrapper.model.generate(
            input_ids=wrapper._tokenize_texts([wrapper._build_assistant_text(f"Say sentence number {seed}, please.")]),
            instruct_ids=wrapper._tokenize_texts([wrapper._build_instruct_text("A calm voice")]),
            languages=["english"],
            max_new_tokens=200,
            do_sample=not greedy,
            subtalker_dosample=not greedy,
        )
    return codes[0]


def test_sampled_speech_lasts_some_seconds_and_ends(tiny_checkpoint: Callable[[Kind], Path]) -> None:
    frames = sorted(len(babble(tiny_checkpoint("voice_design"), seed, greedy=False)) for seed in range(6))
    assert frames[3] > 12.5  # a second
    assert frames[0] < 199  # the talker ends speech by itself


def test_greedy_speech_does_not_collapse(tiny_checkpoint: Callable[[Kind], Path]) -> None:
    codes = babble(tiny_checkpoint("voice_design"), 0, greedy=True)[:40]
    assert len(codes) > 5
    for group in codes.T:
        assert len(group.unique()) > len(codes) / 3


def test_weights_depend_on_name_and_seed_alone() -> None:
    def make(name: str, seed: int) -> torch.Tensor:
        return random_tensor(name, (16, 8), seed, torch.float32)

    assert torch.equal(make("a.weight", 1), make("a.weight", 1))
    assert not torch.equal(make("a.weight", 1), make("b.weight", 1))
    assert not torch.equal(make("a.weight", 1), make("a.weight", 2))


def test_command_writes_a_checkpoint(tmp_path: Path) -> None:
    arguments = ["--size", "tiny", "--kind", "custom_voice", "--out", str(tmp_path / "out"), "--seed", "3"]
    command = [sys.executable, "-m", "models.synthetic", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "MB in" in result.stdout
    checkpoint = open_checkpoint(tmp_path / "out")
    checkpoint.check(needs_encoder=True)
    assert checkpoint.architecture.kind == "custom_voice"
