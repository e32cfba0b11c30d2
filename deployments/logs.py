"""Logs as lines of JSON: one object a line, one line an event, one file a process.

What is logged are names, numbers and ids, never a key and never what somebody asked to be spoken.
"""

import fcntl
import json
import logging
import os
import sys
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from deployments.errors import is_answer

FIELDS = (
    "request_id", "engine_id", "model", "method", "route", "status", "outcome", "error", "ttfa_s", "rtf", "audio_s",
    "queue_s", "duration_s", "frames",
)  # fmt: skip
OURS = ("deployments", "voices", "models")
RAYS = "ray.serve"
FILE_BYTES = 10 * 2**20
FILES = 4  # of a process: the newest and what was in it before


class JsonLines(logging.Formatter):
    """A record as an object of ts, level, logger, message, those of FIELDS that it has, and exception."""

    def __init__(self, model: str | None = None) -> None:
        """`model`: the one that is logged about where a record does not say."""
        super().__init__()
        self._model = model

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if self._model is not None:
            line["model"] = self._model
        line |= {name: _short(vars(record)[name]) for name in FIELDS if name in vars(record)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class SharedFile(RotatingFileHandler):
    """A log file that two processes may write, as a replica and the one that takes its place do for a while.

    Whoever writes or rotates holds a lock on the file that has the name, so lines stay whole and no generation is
    renamed twice.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            held = self._hold()
        except OSError:
            self.handleError(record)
            return
        try:
            super().emit(record)
        finally:
            fcntl.flock(held, fcntl.LOCK_UN)
            os.close(held)

    def _hold(self) -> int:
        """Lock the file, opened anew where another process rotated it; the lock outlives a rotation of ours, which
        closes the stream."""
        while True:
            self.stream = self.stream or self._open()
            held = os.dup(self.stream.fileno())
            fcntl.flock(held, fcntl.LOCK_EX)
            if _is_same_file(held, self.baseFilename):
                return held
            os.close(held)
            self.stream.close()
            self.stream = None


def _is_same_file(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def configure(directory: Path, process: str, model: str | None = None) -> None:
    """Log to `directory`/`process`.jsonl, and warnings to standard error too, which is in Ray's own log.

    A directory that cannot be written costs the file and not the process.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setLevel(logging.WARNING)
    trouble: OSError | None = None
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / f"{process}.jsonl"
        handlers.append(SharedFile(path, maxBytes=FILE_BYTES, backupCount=FILES - 1, encoding="utf-8"))
    except OSError as error:
        trouble = error
    for handler in handlers:
        handler.setFormatter(JsonLines(model))
    for name in OURS:
        logger = logging.getLogger(name)
        for old in logger.handlers:
            old.close()
        logger.setLevel(logging.INFO)
        logger.handlers = handlers
        logger.propagate = False
    logging.getLogger(RAYS).addFilter(_is_no_answer)
    if trouble is not None:
        logging.getLogger(__name__).warning("no log file: %s", trouble)


def _is_no_answer(record: logging.LogRecord) -> bool:
    """Ray logs whatever a replica raises, with its traceback. What is raised on purpose, such as that too much is
    waiting, is an answer, and a line in the log of the ingress."""
    return not (record.exc_info and record.exc_info[1] is not None and is_answer(record.exc_info[1]))


def _short(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value
