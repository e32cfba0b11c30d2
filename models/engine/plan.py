"""A piece of work as the scheduler plans it, and what the runner made of it. Nothing is written down before it is
committed, so a piece that failed can be taken again."""

from collections.abc import Sequence as Many
from dataclasses import dataclass

from torch import Tensor

from models.engine.sequence import Sequence, Standing
from models.events import FinishReason
from models.language import Prompt
from models.request import Samples


@dataclass(frozen=True, slots=True, eq=False)
class Prefill:
    """Move one sequence on towards its next frame, by a piece of at most `rows` positions."""

    sequence: Sequence
    rows: int


@dataclass(frozen=True, slots=True, eq=False)
class FrameStep:
    """One frame for each of a batch."""

    batch: Many[Sequence]


@dataclass(frozen=True, slots=True, eq=False)
class Decode:
    """Turn the next frames of each of a batch into samples."""

    batch: Many[Sequence]
    frames: int  # of each


Plan = Prefill | FrameStep | Decode


@dataclass(frozen=True, slots=True, eq=False)
class Prefilled:
    """How far a sequence has come."""

    sequence: Sequence
    prompt: Prompt
    positions: int  # whose keys and values the slot holds
    primed: int | None  # frames behind which the slot's codec decoder stands
    opening: Tensor | None  # talker's state right after the prompt, [hidden], where the piece reached it
    standing: Standing | None  # where the next frame is drawn from, once everything has been gone through


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One frame of a sequence."""

    sequence: Sequence
    codes: list[int]  # of the frame
    standing: Standing  # in front of the next
    finite: bool  # NaN or infinity did not come up


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Samples of a sequence's next frames."""

    sequence: Sequence
    frames: int
    samples: Samples
    finite: bool


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """A sequence for which a piece could not be done."""

    sequence: Sequence
    reason: FinishReason
    error: str


@dataclass(frozen=True, slots=True, eq=False)
class Disturbed:
    """A sequence beside another one's fault, which may have moved its codec decoder on, or not."""

    sequence: Sequence


Outcome = Prefilled | Drawn | Decoded | Failed | Disturbed
