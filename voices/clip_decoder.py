"""Clips of strangers, decoded in a process of their own: its memory and its crash cost one clip."""

import contextlib
import logging
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from voices.decoder_process import READY, SAMPLES, read_message, write_message
from voices.errors import ReferenceAudioError
from voices.reference_audio import SAMPLE_RATE, ReferenceAudio

DECODE_S = 60.0  # for one clip, whatever keeps it
IDLE_S = 60.0  # then the process goes; the next clip waits a sixth of a second for another
ENDING_S = 5.0

_log = logging.getLogger(__name__)
_COMMAND = (sys.executable, "-m", "voices.decoder_process")
_PACKAGES = Path(__file__).parent.parent


class ClipDecoder:
    """One process, started for the first clip and gone when none comes for a while. Clips wait for each other."""

    def __init__(self, idle_s: float = IDLE_S, decode_s: float = DECODE_S) -> None:
        self._idle_s = idle_s
        self._decode_s = decode_s
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._leaving = threading.Timer(0.0, self.close)

    def read(self, clip: bytes, field: str = "reference_audio") -> ReferenceAudio:
        """As `read_reference_audio`. Blocks; raises RuntimeError where the process cannot even be started."""
        with self._turn:
            self._leaving.cancel()
            process = self._running()
            answer = self._answer(process, clip)
            if answer is None:
                raise ReferenceAudioError(field, self._why_it_died(process))
            self._leave_later()
        if answer[:1] != SAMPLES:
            raise ReferenceAudioError(field, answer[1:].decode())
        return ReferenceAudio(np.frombuffer(answer, "<f4", offset=1).astype(np.float32), SAMPLE_RATE)

    @property
    def process_id(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """End the process after the clip it has, if any. The next clip starts another."""
        with self._turn:
            if self._process is not None:
                self._end(self._process)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._end(self._process)  # somebody else killed it while it was idle
        if self._process is None:
            self._process = subprocess.Popen(
                _COMMAND,
                cwd=_PACKAGES,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # decoders print what they think of a damaged clip
                start_new_session=True,  # Ctrl-C is for the server, which finishes what it has
            )
            assert self._process.stdout is not None
            if self._process.stdout.read(len(READY)) != READY:
                raise RuntimeError(f"the process that decodes clips ended at its start: {self._end(self._process)}")
        return self._process

    def _answer(self, process: subprocess.Popen[bytes], clip: bytes) -> bytes | None:
        """None when the process died over it."""
        assert process.stdin is not None
        assert process.stdout is not None
        alarm = threading.Timer(self._decode_s, process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            write_message(process.stdin, clip)
            return read_message(process.stdout)
        except BrokenPipeError:
            return None
        finally:
            alarm.cancel()

    def _why_it_died(self, process: subprocess.Popen[bytes]) -> str:
        status = self._end(process)
        _log.warning("a clip ended the process that decoded it: status %d", status)
        if status in (-signal.SIGXCPU, -signal.SIGKILL):
            return "undecodable: it takes longer to decode than a clip may"
        return "undecodable: the decoder broke down over it"

    def _leave_later(self) -> None:
        self._leaving = threading.Timer(self._idle_s, self.close)
        self._leaving.daemon = True
        self._leaving.start()

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        """Its exit status."""
        self._process = None
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()  # at which it ends, unless it has
        process.stdout.close()
        try:
            return process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
