"""A scheduled batch -> tensors -> codes and samples. Takes no decisions."""

import hashlib
from collections.abc import Sequence as Many
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.architecture import Architecture
from models.code_predictor import CodePredictor
from models.codec import Codec, Primer
from models.prefix_cache import PrefixCache
from models.prompt import Prompt, PromptBuilder
from models.sampling import CodeZeroRules, SamplingRows, sample
from models.seeds import uniform_numbers
from models.sequence import Sequence
from models.talker import Talker
from models.types import Samples


@dataclass(frozen=True, slots=True)
class FrameStep:
    """What one frame step made, a row a sequence."""

    next_codes: list[int]  # code 0 of the following frame, or end of speech
    broken: list[bool]  # NaN or infinity came up: the frame means nothing


class Runner:
    """All tensors of one model. Everything is called from the engine thread."""

    def __init__(
        self,
        architecture: Architecture,
        builder: PromptBuilder,
        talker: Talker,
        predictor: CodePredictor,
        codec: Codec,
        prefixes: PrefixCache,
        slots: int,
        prefill_rows: int,
    ) -> None:
        self._builder = builder
        self._talker = talker
        self._predictor = predictor
        self._codec = codec
        self._prefixes = prefixes
        self._primer = Primer(codec, architecture.codec, prefill_rows)
        self._rules = CodeZeroRules(architecture)
        self._groups = architecture.code_groups
        self._hidden = torch.zeros(slots, architecture.talker.hidden)  # talker state before the next frame
        self._opening = torch.zeros_like(self._hidden)  # the same, right after prefill
        self._seen = torch.zeros(slots, architecture.talker.vocabulary, dtype=torch.bool)  # codes 0 drawn

    def start(self, sequence: Sequence) -> None:
        """Build the prompt and take over what is known of it, and what a sequence that had a slot before left."""
        if sequence.prompt is None:
            sequence.prompt = self._builder.build(sequence.request)
        sequence.prefilled = sequence.primed = 0
        known = self._prefixes.get(sequence.prompt.shared_key())
        if known is not None:
            keys, values = known
            sequence.prefilled = self._talker.stack.cache.restore(sequence.slot, (keys, values))
        if sequence.codec_past is not None:
            self._restore_codec(sequence, sequence.codec_past)
        elif sequence.wants_audio:
            self._codec.clear(sequence.slot)

    def park(self, sequence: Sequence) -> None:
        """Keep what cannot be had again from a sequence's codes, so that another may use its slot."""
        if sequence.decoded:
            sequence.codec_past = self._codec.snapshot(sequence.slot)

    def _restore_codec(self, sequence: Sequence, past: tuple[Tensor, ...]) -> None:
        reference = sequence.reference_codes
        sequence.primed = 0 if reference is None else len(reference)
        self._codec.restore(sequence.slot, past, sequence.primed + sequence.decoded)
        sequence.codec_past = None

    def prefill(self, sequence: Sequence, rows: int) -> bool:
        """Move a prompt, and the frames that were drawn before the sequence lost its slot, on by one piece of at most
        so many positions; whether that is complete."""
        if self._prime(sequence):
            return False
        prompt = sequence.prompt
        assert prompt is not None
        if sequence.prefilled < len(prompt.prefill):
            self._prefill_prompt(sequence, prompt, rows)
        else:
            self._replay(sequence, prompt, rows)
        if sequence.prefilled < len(prompt.prefill) + sequence.frames:
            return False
        if sequence.frames == 0:
            self.reopen(sequence)
        return True

    def _prefill_prompt(self, sequence: Sequence, prompt: Prompt, rows: int) -> None:
        """Pieces end where the shared part ends, cached or not: the same arithmetic whoever came before."""
        start = sequence.prefilled
        limit = prompt.shared if start < prompt.shared else len(prompt.prefill)
        end = min(start + rows, limit)
        hidden = self._talker.forward(
            prompt.prefill[start:end], [sequence.slot] * (end - start), list(range(start, end))
        )
        sequence.prefilled = end
        if end == prompt.shared:
            self._prefixes.put(prompt.shared_key(), self._talker.stack.cache.snapshot(sequence.slot, end))
        if end == len(prompt.prefill):
            self._opening[sequence.slot] = hidden[-1]

    def _replay(self, sequence: Sequence, prompt: Prompt, rows: int) -> None:
        """Talker steps of frames that are known already; what they leave is what drawing them left."""
        slot, start = sequence.slot, sequence.prefilled
        first_frame = start - len(prompt.prefill)
        pieces = rows if self._talker.stack.piecewise else 1
        codes = torch.tensor(sequence.codes[first_frame : first_frame + pieces])
        end = start + len(codes)
        texts = torch.stack([prompt.text_at(first_frame + row) for row in range(len(codes))])
        embedded = self._talker.embed_codes(codes[:, 0]) + self._predictor.embed(codes[:, 1:])
        hidden = self._talker.forward(embedded + texts, [slot] * len(codes), list(range(start, end)))
        sequence.prefilled = end
        self._hidden[slot] = hidden[-1]
        self._seen[slot] = False
        self._seen[slot, [frame[0] for frame in sequence.codes]] = True

    def reopen(self, sequence: Sequence) -> None:
        """Stand right after prefill and draw the first code 0: also where another attempt starts."""
        slot = sequence.slot
        self._hidden[slot] = self._opening[slot]
        self._seen[slot] = False
        sequence.next_code = self._draw_first_codes([sequence], self._hidden[[slot]])[0]

    def forget_prefixes(self) -> None:
        """Give back what is kept for voices; it is computed again when it is needed."""
        self._prefixes.clear()

    def rewind_codec(self, sequence: Sequence) -> None:
        """Forget the audio of an attempt; the reference clip is gone through again."""
        self._codec.clear(sequence.slot)
        sequence.primed = 0
        while self._prime(sequence):
            pass

    def _prime(self, sequence: Sequence) -> bool:
        """Move the codec decoder past one piece of the reference clip; whether that was a step's work. Taking over what
        is known is not: a prompt then moves on in the same step."""
        codes = sequence.reference_codes
        if codes is None or not sequence.wants_audio or sequence.primed == len(codes):
            return False
        key = hashlib.blake2b(codes.tobytes(), digest_size=16).digest()
        known = self._prefixes.get(key) if sequence.primed == 0 else None
        if known is not None:
            self._codec.restore(sequence.slot, known, len(codes))
            sequence.primed = len(codes)
            return False
        sequence.primed = self._primer.advance(sequence.slot, codes, sequence.primed)
        if sequence.primed == len(codes):
            self._prefixes.put(key, self._codec.snapshot(sequence.slot))
        return True

    def frame_step(self, batch: Many[Sequence]) -> FrameStep:
        """One frame of every sequence: codes 1.. of this frame, talker step, code 0 of the next.

        Nothing has happened where it raises: the same sequences, or some of them, can take the step again.
        """
        frames = [sequence.frames for sequence in batch]
        try:
            return self._frame_step(batch)
        except BaseException:
            for sequence, count in zip(batch, frames, strict=True):
                del sequence.codes[count:]
            raise

    def _frame_step(self, batch: Many[Sequence]) -> FrameStep:
        slots = [sequence.slot for sequence in batch]
        first_codes = torch.tensor([sequence.next_code for sequence in batch])
        self._seen[slots, first_codes] = True
        first = self._talker.embed_codes(first_codes)
        uniforms = self._uniforms(batch, range(1, self._groups))
        rows = SamplingRows.predictor([sequence.sampling for sequence in batch])
        codes, embedded = self._predictor.predict(self._hidden[slots], first, uniforms, rows)
        for sequence, row in zip(batch, torch.cat((first_codes[:, None], codes), dim=1).tolist(), strict=True):
            sequence.codes.append(row)
        hidden = self._talker.forward(
            first + embedded + self._texts(batch), slots, [sequence.position for sequence in batch]
        )
        broken = (self._predictor.failed | ~torch.isfinite(hidden).all(dim=1)).tolist()
        step = FrameStep(self._draw_first_codes(batch, hidden), broken)
        self._hidden[slots] = hidden
        return step

    def _texts(self, batch: Many[Sequence]) -> Tensor:
        """The trailing text that joins each sequence's newest frame: [rows, hidden]."""
        return torch.stack([s.prompt.text_at(s.frames - 1) for s in batch if s.prompt is not None])

    def _uniforms(self, batch: Many[Sequence], codebooks: range) -> Tensor:
        seeds = [sequence.seed for sequence in batch]
        frames = [sequence.frames for sequence in batch]
        return torch.from_numpy(uniform_numbers(seeds, frames, codebooks, self._groups))

    def _draw_first_codes(self, batch: Many[Sequence], hidden: Tensor) -> list[int]:
        """Code 0 of each sequence's next frame, from the talker's states [rows, hidden]."""
        slots = [sequence.slot for sequence in batch]
        logits = self._rules.apply(
            self._talker.logits(hidden),
            self._seen[slots],
            torch.tensor([sequence.sampling.repetition_penalty for sequence in batch]),
            torch.tensor([sequence.frames for sequence in batch]),
        )
        rows = SamplingRows.talker([sequence.sampling for sequence in batch])
        uniforms = self._uniforms(batch, range(1))[:, 0]
        return sample(torch.nan_to_num(logits, nan=0.0), uniforms, rows).tolist()

    def speak(self, batch: Many[Sequence], frames: int) -> list[Samples]:
        """The next `frames` frames of every sequence as samples: float32 [frames * samples a frame] each."""
        codes = [sequence.codes[sequence.decoded : sequence.decoded + frames] for sequence in batch]
        slots = [sequence.slot for sequence in batch]
        samples = self._codec.decode(slots, torch.tensor(np.asarray(codes, dtype=np.int64)))
        return [row.numpy() for row in samples]

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values reserved for the slots."""
        return self._talker.stack.cache.nbytes

    @property
    def untouched_bytes(self) -> int:
        """Bytes of these that no sequence has used yet."""
        return self._talker.stack.cache.untouched_bytes

    @property
    def codec_bytes(self) -> int:
        """Bytes of codec state reserved for the slots."""
        return self._codec.state_bytes

    @property
    def prefix_bytes(self) -> int:
        """Bytes of state kept for voices."""
        return self._prefixes.nbytes

    @property
    def workspace_bytes(self) -> int:
        """Bytes of the small state a slot."""
        return self._hidden.nbytes + self._opening.nbytes + self._seen.nbytes
