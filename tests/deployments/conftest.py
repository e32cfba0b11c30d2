from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.replica import memory_limit
from models import MemoryReport
from tests.deployments.helpers import App, make_config


@pytest.fixture(autouse=True, scope="module")
def _unlimited_memory() -> Iterator[None]:
    """A model server limits the memory of its process, which here is that of all tests."""

    def do_nothing(budget_bytes: int, report: MemoryReport) -> None:
        assert budget_bytes > report.weights

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory_limit, "enforce", do_nothing)
        yield


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    made = App(make_config(tmp_path / "voices"))
    yield made
    made.close()
