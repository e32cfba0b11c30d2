"""The folder that all steps of a training work in."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from models.storage import cache_directory

SAMPLE_RATE = 24000
SAMPLES_PER_FRAME = 1920
SEED = 20


@dataclass(frozen=True, slots=True)
class Work:
    """Paths of what one step leaves for the next."""

    directory: Path

    @property
    def sources(self) -> Path:
        """Texts and word lists as downloaded."""
        return self.directory / "sources"

    @property
    def audio(self) -> Path:
        """int16 samples of all utterances, one after the other."""
        return self.directory / "audio.int16"

    @property
    def manifest(self) -> Path:
        """One line of JSON per utterance."""
        return self.directory / "manifest.jsonl"

    @property
    def quantizer(self) -> Path:
        """Projections and codebooks."""
        return self.directory / "quantizer.safetensors"

    @property
    def codes(self) -> Path:
        """int16 [frames, groups] of all utterances laid along their texts, one after the other."""
        return self.directory / "codes.npy"

    @property
    def letters(self) -> Path:
        """float32 [frames]: how much of its text each frame's utterance has said by then, in letters."""
        return self.directory / "letters.npy"

    @property
    def code_offsets(self) -> Path:
        """int64 [utterances + 1]: the frame at which the codes of each begin."""
        return self.directory / "code_offsets.npy"

    @property
    def checkpoints(self) -> Path:
        """What a training continues from when it was interrupted."""
        return self.directory / "checkpoints"

    @property
    def speech_tokenizer(self) -> Path:
        """The finished codec in the published format."""
        return self.directory / "speech_tokenizer"


def work_parser(description: str) -> argparse.ArgumentParser:
    """A command line that knows where to work."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--work", type=Path, default=cache_directory() / "training", help="folder of the training")
    return parser


def work_of(arguments: argparse.Namespace) -> Work:
    """The folder named on the command line, made if it is not there."""
    work = Work(arguments.work)
    work.checkpoints.mkdir(parents=True, exist_ok=True)
    return work
