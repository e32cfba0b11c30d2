"""Opening checkpoints: sources, strictness about tensors, damage of every kind."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models import Kind, SamplingSettings
from models.checkpoint.checkpoint import open_checkpoint
from models.errors import CheckpointError
from models.storage.tensor_file import TensorFile, open_tensors


@pytest.fixture
def directory(tiny_checkpoint: Callable[[Kind], Path], tmp_path: Path) -> Path:
    """A Base checkpoint to be damaged."""
    copy = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint("base"), copy)
    return copy


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_tensors(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_folder(directory: Path) -> None:
    checkpoint = open_checkpoint(str(directory))
    checkpoint.check(needs_encoder=True)
    assert checkpoint.source == "folder"
    assert checkpoint.architecture.size == "tiny"
    assert checkpoint.generation_defaults == SamplingSettings()


def test_tensors_are_views_of_the_file(directory: Path) -> None:
    tensors = open_checkpoint(directory).model
    expected = load_file(directory / "model.safetensors")
    assert set(tensors.names) == set(expected)
    for name, tensor in expected.items():
        assert tensors.dtype(name) == tensor.dtype == torch.bfloat16
        assert tensors.shape(name) == tuple(tensor.shape)
        assert torch.equal(tensors.tensor(name), tensor)
    name = "talker.codec_head.weight"
    assert tensors.tensor(name).data_ptr() == tensors.tensor(name).data_ptr()


def test_a_tensor_outlives_its_file_object(directory: Path) -> None:
    tensor = TensorFile([directory / "model.safetensors"]).tensor("talker.codec_head.weight")
    assert torch.equal(tensor, load_file(directory / "model.safetensors")["talker.codec_head.weight"])


def test_shards_are_one_file(directory: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[:50], "model-00002-of-00002.safetensors": names[50:]}
    for shard, members in shards.items():
        save_file({name: tensors[name] for name in members}, directory / shard)
    (directory / "model.safetensors").unlink()
    index = {"weight_map": {name: shard for shard, members in shards.items() for name in members}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    checkpoint = open_checkpoint(directory)
    checkpoint.check()
    assert torch.equal(checkpoint.model.tensor(names[-1]), tensors[names[-1]])


@pytest.mark.parametrize("weight_map", [{}, {"a": "../elsewhere.safetensors"}, {"a": 3}, [], None])
def test_bad_shard_index_is_named(directory: Path, weight_map: object) -> None:
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json"):
        open_tensors(directory)


NAME = "talker.model.layers.1.mlp.up_proj.weight"
SPEAKER = "speaker_encoder.fc.weight"
CODEC = "decoder.pre_conv.conv.bias"
CODEC_ENCODER = "encoder.downsample.conv.weight"


@pytest.mark.parametrize(("file", "name"), [("model.safetensors", NAME), ("speech_tokenizer/model.safetensors", CODEC)])
def test_missing_tensor_is_named(directory: Path, file: str, name: str) -> None:
    edit_tensors(directory / file, lambda tensors: tensors.__delitem__(name))
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        open_checkpoint(directory).check()


@pytest.mark.parametrize(
    ("file", "name"), [("model.safetensors", SPEAKER), ("speech_tokenizer/model.safetensors", CODEC_ENCODER)]
)
def test_encoders_may_be_missing_when_only_speaking(directory: Path, file: str, name: str) -> None:
    edit_tensors(directory / file, lambda tensors: tensors.__delitem__(name))
    checkpoint = open_checkpoint(directory)
    checkpoint.check(needs_encoder=False)
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        checkpoint.check(needs_encoder=True)


@pytest.mark.parametrize("name", [NAME, SPEAKER])
def test_misshapen_tensor_is_named(directory: Path, name: str) -> None:
    def transpose(tensors: dict[str, torch.Tensor]) -> None:
        tensors[name] = tensors[name].transpose(0, 1).contiguous()

    edit_tensors(directory / "model.safetensors", transpose)
    with pytest.raises(CheckpointError, match=f"{name} has shape"):
        open_checkpoint(directory).check()


def test_extra_tensor_is_named(directory: Path) -> None:
    def add(tensors: dict[str, torch.Tensor]) -> None:
        tensors["talker.model.layers.2.mlp.up_proj.weight"] = torch.zeros(3)

    edit_tensors(directory / "model.safetensors", add)
    with pytest.raises(CheckpointError, match=r"unexpected tensor talker\.model\.layers\.2\.mlp\.up_proj\.weight"):
        open_checkpoint(directory).check()


def test_speaker_encoder_belongs_to_base_alone(directory: Path) -> None:
    edit_json(directory / "config.json", tts_model_type="voice_design")
    with pytest.raises(CheckpointError, match=r"unexpected tensor speaker_encoder\."):
        open_checkpoint(directory).check()


@pytest.mark.parametrize("size", [0, 4, 8, 1000, 100_000, -1])
@pytest.mark.parametrize("file", ["model.safetensors", "speech_tokenizer/model.safetensors"])
def test_truncated_tensors_are_named(directory: Path, file: str, size: int) -> None:
    data = (directory / file).read_bytes()
    (directory / file).write_bytes(data[:size])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        open_checkpoint(directory).check()


def header_only(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + bytes(64)


@pytest.mark.parametrize(
    "data",
    [
        header_only(b"not json"),
        header_only(b"[1, 2]"),
        header_only(b'{"a": 3}'),
        header_only(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}'),
        header_only(b'{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}'),
        header_only(b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}}'),
        header_only(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}'),
        header_only(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [64, 68]}}'),
        header_only(b'{"a": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 4]}}'),
        (2**63).to_bytes(8, "little") + b"{}",
    ],
)
def test_damaged_header_is_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        open_tensors(tmp_path)


@pytest.mark.parametrize(
    "file", ["config.json", "generation_config.json", "model.safetensors", "speech_tokenizer/config.json"]
)
def test_missing_file_is_named(directory: Path, file: str) -> None:
    (directory / file).unlink()
    with pytest.raises(CheckpointError, match=f"{file} is missing"):
        open_checkpoint(directory).check()


@pytest.mark.parametrize("content", ["", "{", "[]", "\udcff"])
def test_config_that_is_no_json_object_is_named(directory: Path, content: str) -> None:
    (directory / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        open_checkpoint(directory)


def test_generation_defaults_come_from_the_checkpoint(directory: Path) -> None:
    path = directory / "generation_config.json"
    edit_json(path, temperature=0.7, top_k=20, subtalker_dosample=False, repetition_penalty=1)
    defaults = open_checkpoint(directory).generation_defaults
    assert defaults == SamplingSettings(temperature=0.7, top_k=20, repetition_penalty=1.0, predictor_temperature=0.0)
    edit_json(path, top_p=7)
    with pytest.raises(CheckpointError, match=r"generation_config\.json.*top_p"):
        open_checkpoint(directory)


@pytest.mark.parametrize("spec", ["/nowhere/at/all", "embedded:singer", "embedded:", "Qwen/Qwen3-TTS-12Hz-0.6B-Base"])
def test_unknown_specification_is_an_error(spec: str) -> None:
    with pytest.raises(CheckpointError):
        open_checkpoint(spec)


def test_embedded_is_made_once_and_kept(cache_in_temporary_directory: Path) -> None:
    first = open_checkpoint("embedded:custom_voice")
    first.check(needs_encoder=True)
    assert first.source == "embedded"
    assert first.path.is_relative_to(cache_in_temporary_directory)
    changed = (first.path / "model.safetensors").stat().st_mtime_ns
    again = open_checkpoint("embedded:custom_voice")
    assert (again.path / "model.safetensors").stat().st_mtime_ns == changed


def test_embedded_that_cannot_be_written_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("QWEN3_TTS_CACHE", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match="QWEN3_TTS_CACHE"):
        open_checkpoint("embedded:base")


def test_two_processes_may_start_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QWEN3_TTS_CACHE", str(tmp_path))
    code = "from models.checkpoint.checkpoint import open_checkpoint; open_checkpoint('embedded:base').check(True)"
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(3)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    assert [path.name[:5] for path in (tmp_path / "embedded").iterdir()] == ["base-"]


def test_opening_to_speak_imports_neither_transformers_nor_upstream(directory: Path) -> None:
    code = (
        "import sys; from models.checkpoint import open_checkpoint; c = open_checkpoint(sys.argv[1]); c.check();"
        "c.text_tokenizer.encode('a'); print({name.split('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", code, str(directory)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    for module in ("transformers", "qwen_tts", "bitsandbytes", "ray", "huggingface_hub"):
        assert f"'{module}'" not in result.stdout
