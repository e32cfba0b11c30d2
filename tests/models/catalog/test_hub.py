"""The hub path against a stand-in of its HTTP interface. The hub's library reads its settings from the environment
when it is imported, so every download runs in a process of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from models import Kind
from models.catalog.shapes import TINY
from models.synthetic.writing import write_checkpoint
from tests.models.catalog.hub_stand_in import HubStandIn, HubState

REPOSITORY = "Qwen/Qwen3-TTS-12Hz-0.6B-Base"
ROOT = Path(__file__).resolve().parents[3]
OPEN = """
import sys
from models.checkpoint import open_checkpoint
from models.errors import WeightsUnavailableError
try:
    checkpoint = open_checkpoint(sys.argv[1])
except WeightsUnavailableError as error:
    sys.exit(f"unavailable: {error}")
checkpoint.check(needs_encoder=True)
print(checkpoint.source, checkpoint.architecture.kind, checkpoint.path)
"""


@pytest.fixture
def hub(tiny_checkpoint: Callable[[Kind], Path], tmp_path: Path) -> Iterator[HubStandIn]:
    directory = tmp_path / "published"
    shutil.copytree(tiny_checkpoint("base"), directory)
    (directory / "README.md").write_text("not needed")
    with HubStandIn(HubState(REPOSITORY, directory)) as stand_in:
        yield stand_in


def open_from(address: str, home: Path, spec: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", OPEN, spec]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_downloads_needed_files_into_the_ordinary_cache_with_progress(hub: HubStandIn, tmp_path: Path) -> None:
    result = open_from(hub.address, tmp_path / "home", f"hub:{REPOSITORY}")
    assert result.returncode == 0, result.stderr
    source, kind, path = result.stdout.split()
    assert (source, kind) == ("hub", "base")
    assert Path(path).is_relative_to(tmp_path / "home" / "hub" / "models--Qwen--Qwen3-TTS-12Hz-0.6B-Base")
    assert "README.md" not in hub.state.requested
    assert "model.safetensors" in hub.state.requested
    assert "100%" in result.stderr  # the progress bar


def test_second_start_fetches_nothing_and_needs_no_network(hub: HubStandIn, tmp_path: Path) -> None:
    assert open_from(hub.address, tmp_path / "home", f"hub:{REPOSITORY}").returncode == 0
    hub.state.requested.clear()
    assert open_from(hub.address, tmp_path / "home", f"hub:{REPOSITORY}@main").returncode == 0
    assert hub.state.requested == []
    offline = open_from("http://127.0.0.1:9", tmp_path / "home", f"hub:{REPOSITORY}")
    assert offline.returncode == 0, offline.stderr


def test_broken_download_is_continued(hub: HubStandIn, tmp_path: Path) -> None:
    chunk = 10 * 1024**2  # the library keeps what it has in pieces of this size
    write_checkpoint(hub.state.directory, replace(TINY, text_vocabulary=2 * chunk // (2 * TINY.text_hidden)), "base")
    hub.state.break_after = chunk + 1_000_000
    broken = open_from(hub.address, tmp_path / "home", f"hub:{REPOSITORY}")
    assert broken.returncode != 0
    assert "the download failed" in broken.stderr
    hub.state.break_after = None
    hub.state.ranges.clear()
    continued = open_from(hub.address, tmp_path / "home", f"hub:{REPOSITORY}")
    assert continued.returncode == 0, continued.stderr
    assert hub.state.ranges == [f"bytes={chunk}-"]


def test_missing_repository_says_so(hub: HubStandIn, tmp_path: Path) -> None:
    result = open_from(hub.address, tmp_path / "home", "hub:Qwen/No-Such-Model")
    assert result.returncode != 0
    assert "unavailable: hub:Qwen/No-Such-Model: the hub has no such repository" in result.stderr


@pytest.mark.parametrize("name", [REPOSITORY, "not a name at all"])
def test_without_network_the_error_names_the_ways_out(tmp_path: Path, name: str) -> None:
    result = open_from("http://127.0.0.1:9", tmp_path / "home", f"hub:{name}")
    assert result.returncode != 0
    for way_out in ("embedded", "folder", "HF_ENDPOINT", "HTTPS_PROXY"):
        assert way_out in result.stderr.partition("unavailable:")[2]
