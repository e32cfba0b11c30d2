"""Crashes, full disks and rivals: the library holds whole voices or none."""

import contextlib
import errno
import fcntl
import multiprocessing
import os
import resource
import shutil
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from models import Samples, VoicePrompt
from tests.voices.helpers import FakeEncoder, assert_same_prompt
from voices import VoiceExistsError, VoiceLibrary, VoiceNotFoundError, VoiceStorageError, durable

KEY = "0b6-1234abcd"
TEXT = "The river runs quietly."
STEPS = ((os, "mkdir"), (os, "fsync"), (os, "rename"), (os, "replace"), (os, "rmdir"), (os, "unlink"))
CRASHED = 77
Action = Callable[[], object]


def _missing(*_: object) -> VoicePrompt:
    pytest.fail("its conditioning is missing")


def in_child(action: Action) -> int:
    """Run `action` in a forked process, without any clean-up at its end; its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def crashing(action: Action, step: int, after: bool) -> Action:
    """`action`, in a process that dies just before or just after its `step`-th change to the disk."""

    def run() -> None:
        taken = 0

        def wrap(original: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object, **options: object) -> object:
                nonlocal taken
                taken += 1
                if taken == step and not after:
                    os._exit(CRASHED)
                result = original(*arguments, **options)
                if taken == step:
                    os._exit(CRASHED)
                return result

            return call

        for module, name in STEPS:
            setattr(module, name, wrap(getattr(module, name)))
        action()

    return run


def crash_everywhere(action: Action, check: Callable[[], object]) -> int:
    """Crash `action` at each of its steps in turn, check after each; the number of steps."""
    step = 1
    while True:
        statuses = set()
        for after in (False, True):
            statuses.add(in_child(crashing(action, step, after)))
            check()
        if statuses == {0}:
            return step - 1
        assert statuses <= {CRASHED, 0}
        step += 1


def leftovers(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if path.name.startswith((".stage", ".trash"))]


def visible(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if not path.name.startswith(".")]


def test_a_crash_while_creating(tmp_path: Path, clip: bytes) -> None:
    library = VoiceLibrary(tmp_path)
    seen: list[bool] = []

    def check() -> None:
        found = [voice for voice in VoiceLibrary(tmp_path).list() if not voice.preset]
        assert VoiceLibrary(tmp_path).broken() == ()
        seen.append(bool(found))
        for voice in found:
            assert voice.prompt(KEY, _missing).is_icl
            voice.reference_audio()
            library.delete(voice.id)
        VoiceLibrary(tmp_path)
        assert leftovers(tmp_path) == []

    steps = crash_everywhere(lambda: library.create_cloned("Anna", clip, TEXT, FakeEncoder(), KEY), check)
    assert steps >= 9  # two folders made, three files and two folders flushed, the rename, the parent flushed
    assert set(seen) == {True, False}


def test_a_crash_while_deleting(tmp_path: Path, clip: bytes) -> None:
    library = VoiceLibrary(tmp_path)
    library.create_cloned("Anna", clip, TEXT, FakeEncoder(), KEY)
    seen: list[bool] = []

    def check() -> None:
        found = [voice for voice in VoiceLibrary(tmp_path).list() if not voice.preset]
        seen.append(bool(found))
        assert VoiceLibrary(tmp_path).broken() == ()
        assert leftovers(tmp_path) == []
        for voice in found:
            assert voice.prompt(KEY, _missing).is_icl
        if not found:
            library.create_cloned("Anna", clip, TEXT, FakeEncoder(), KEY)

    assert crash_everywhere(lambda: library.delete("Anna"), check) >= 4
    assert set(seen) == {True, False}


def test_a_crash_while_storing_conditioning(tmp_path: Path) -> None:
    voice = VoiceLibrary(tmp_path).get("narrator_cloned")
    expected = FakeEncoder()(*voice.reference_audio(), voice.reference.text if voice.reference else None)

    def check() -> None:
        stored = VoiceLibrary(tmp_path).get("narrator_cloned").stored_prompt(KEY)
        if stored is not None:
            assert_same_prompt(stored, expected)
        shutil.rmtree(tmp_path / ".presets", ignore_errors=True)
        VoiceLibrary(tmp_path)
        assert leftovers(tmp_path) == []

    assert crash_everywhere(lambda: voice.prompt(KEY, FakeEncoder()), check) >= 4


def test_everything_is_flushed_before_it_is_published(
    tmp_path: Path, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, rename = os.fsync, os.rename

    def spy_fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        parts = ["stage" if part.startswith(".stage-") else part for part in path.relative_to(tmp_path).parts]
        events.append("/".join(parts) or "library")
        fsync(descriptor)

    def spy_rename(source: Path, target: Path) -> None:
        events.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "rename", spy_rename)
    VoiceLibrary(tmp_path).create_cloned("Anna", clip, TEXT, FakeEncoder(), KEY)
    assert events[-2:] == ["rename", "library"]
    flushed = {
        event.rsplit("/", 1)[-1] if event.endswith(".safetensors") is False else "prompt" for event in events[:-2]
    }
    assert flushed == {"voice.json", "reference.flac", "prompt", "conditioning", "stage"}


def test_what_nobody_writes_any_more_is_swept_at_once(tmp_path: Path) -> None:
    (tmp_path / ".stage-1").mkdir()
    (tmp_path / ".trash-1").mkdir()
    assert VoiceLibrary(tmp_path).broken() == ()
    assert leftovers(tmp_path) == []


def test_a_full_disk_while_creating(tmp_path: Path, clip: bytes) -> None:
    """A limit on the size of files stands for the disk: the write fails in the kernel, halfway through the clip."""
    library = VoiceLibrary(tmp_path)
    kept = library.create_designed("Berta", "A voice")

    def create() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        with pytest.raises(VoiceStorageError, match="could not be written"):
            library.create_cloned("Anna", clip, TEXT, FakeEncoder(), KEY)

    assert in_child(create) == 0
    assert visible(tmp_path) == ["berta"]
    assert leftovers(tmp_path) == []
    assert library.get("berta") == kept
    library.create_cloned("Anna", clip, TEXT, FakeEncoder(), KEY)


def test_a_full_disk_while_storing_conditioning(tmp_path: Path) -> None:
    """The voice speaks; only the time to make the conditioning is lost."""
    voice = VoiceLibrary(tmp_path).get("narrator_cloned")

    def speak() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        assert voice.prompt(KEY, FakeEncoder()).is_icl

    assert in_child(speak) == 0
    assert leftovers(tmp_path) == []
    assert voice.stored_prompt(KEY) is None


def test_a_refusal_at_the_last_step(library: VoiceLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.os, "rename", refuse)
    with pytest.raises(VoiceStorageError, match="No space left on device"):
        library.create_designed("Anna", "A voice")
    assert visible(tmp_path / "voices") == leftovers(tmp_path / "voices") == []


def rival(directory: Path, clip: bytes, barrier: Barrier, name: str) -> None:
    """Create a voice at the same moment as the others; the exit status says what came of it."""

    def encode(samples: Samples, sample_rate: int, text: str | None) -> VoicePrompt:
        barrier.wait(20)  # all have found the name free
        return FakeEncoder()(samples, sample_rate, text)

    try:
        VoiceLibrary(directory).create_cloned(name, clip, f"I am {os.getpid()}", encode, KEY)
    except VoiceExistsError:
        sys.exit(3)


@pytest.mark.parametrize("rivals", [2, 4])
def test_of_rivals_one_wins(tmp_path: Path, clip: bytes, rivals: int) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(rivals)
    names = ["Anna", "ANNA", "anna", " Anna "]
    processes = [context.Process(target=rival, args=(tmp_path, clip, barrier, names[index])) for index in range(rivals)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert sorted(process.exitcode for process in processes if process.exitcode is not None) == [0] + [3] * (rivals - 1)
    voice = VoiceLibrary(tmp_path).get("anna")
    winner = next(process for process in processes if process.exitcode == 0)
    prompt = voice.prompt(KEY, _missing)
    assert prompt.reference_text == f"I am {winner.pid}"
    assert visible(tmp_path) == ["anna"]
    assert leftovers(tmp_path) == []


@pytest.fixture
def stuck_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A thread that has written a voice and not published it yet, until the event is set."""
    library = VoiceLibrary(tmp_path)
    writing, go_on = threading.Event(), threading.Event()
    write = durable._write_tree  # pyright: ignore[reportPrivateUsage]

    def write_slowly(root: Path, files: Mapping[str, bytes]) -> None:
        write(root, files)
        writing.set()
        assert go_on.wait(20)

    monkeypatch.setattr(durable, "_write_tree", write_slowly)
    writer = threading.Thread(target=lambda: library.create_designed("Anna", "A voice"))
    writer.start()
    assert writing.wait(20)
    yield go_on
    go_on.set()
    writer.join(20)
    assert VoiceLibrary(tmp_path).get("anna").description == "A voice"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("age", [1e9, 0.0, -1e9])
def test_whoever_still_writes_is_not_swept_away_whatever_the_clock_says(
    tmp_path: Path, stuck_writer: threading.Event, age: float
) -> None:
    """Beside it lies what a crash left: as old, and swept as soon as nobody writes."""
    (tmp_path / ".stage-of-a-crash").mkdir()
    then = time.time() - age
    for name in leftovers(tmp_path):
        os.utime(tmp_path / name, (then, then))
    VoiceLibrary(tmp_path)
    assert len(leftovers(tmp_path)) == 2
    stuck_writer.set()


def test_the_lock_is_one_that_other_hosts_see(
    tmp_path: Path, stuck_writer: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS keeps locks on the server for files that are open for writing, and not for directories."""
    locked: list[tuple[bool, int, int]] = []
    lock = fcntl.flock

    def spy(descriptor: int, kind: int) -> None:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        locked.append((is_file, fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE, kind))
        lock(descriptor, kind)

    monkeypatch.setattr(durable.fcntl, "flock", spy)
    durable.sweep(tmp_path)
    assert locked == [(True, os.O_RDWR, fcntl.LOCK_EX | fcntl.LOCK_NB)]
    stuck_writer.set()


def fail_to_flush(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """The disk refuses to flush the entries of `directory`."""
    flush = os.fsync

    def refuse(descriptor: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")) == directory:
            raise OSError(5, "Input/output error")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)


def test_a_flush_that_fails_after_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is reported as not made is not there, and what is reported as not deleted is: both can be tried again."""
    library = VoiceLibrary(tmp_path)
    with monkeypatch.context() as broken:
        fail_to_flush(broken, tmp_path)
        for _ in range(2):
            with pytest.raises(VoiceStorageError, match="could not be written"):
                library.create_designed("Anna", "A voice")
            assert visible(tmp_path) == leftovers(tmp_path) == []
    made = library.create_designed("Anna", "A voice")
    with monkeypatch.context() as broken:
        fail_to_flush(broken, tmp_path)
        with pytest.raises(VoiceStorageError, match="could not be deleted"):
            library.delete("Anna")
        assert library.get("Anna") == made
        assert leftovers(tmp_path) == []
    library.delete("Anna")
    assert visible(tmp_path) == leftovers(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_library_that_cannot_be_written_to_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    VoiceLibrary(tmp_path).create_designed("Anna", "A voice")
    real = os.open

    def refuse(path: Path, flags: int, *rest: int, **options: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(number, os.strerror(number))
        return real(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", refuse)
    library = VoiceLibrary(tmp_path)
    assert library.get("Anna").description == "A voice"
    with pytest.raises(VoiceStorageError):
        library.create_designed("Berta", "A voice")


def test_a_reader_meets_whole_voices_only(tmp_path: Path) -> None:
    """One process creates and deletes without pause; every look sees the voice whole or not at all."""

    def churn() -> None:
        library = VoiceLibrary(tmp_path)
        for _ in range(150):
            library.create_designed("Anna", "A voice")
            library.delete("Anna")

    child = os.fork()
    if child == 0:
        try:
            churn()
        finally:
            os._exit(0)
    library = VoiceLibrary(tmp_path)
    looks = 0
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        assert library.broken() == ()
        with contextlib.suppress(VoiceNotFoundError):
            assert library.get("anna").description == "A voice"
        looks += 1
    assert looks > 10
