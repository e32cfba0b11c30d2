"""A planned piece of work -> tensors -> what came of it. Takes no decisions, and changes no sequence.

Keys and values stand at places of their own, so a prompt or a frame that raised can be done again. The codec's past
cannot be taken back: where a call of it raised, it is gone through anew.
"""

import hashlib
from collections.abc import Sequence as Many

import numpy as np
import torch
from torch import Tensor

from models.codec import Primer
from models.engine.plan import Decode, Decoded, Drawn, FrameStep, Outcome, Plan, Prefill, Prefilled
from models.engine.prefix_cache import PrefixCache
from models.engine.sequence import Sequence, Standing
from models.language import CodeZeroRules, Prompt, PromptBuilder, SamplingRows, sample
from models.loading import Model
from models.request import Codes
from models.seeds import uniform_numbers


class Runner:
    """All tensors of one model. Everything is called from the engine thread."""

    def __init__(self, model: Model, builder: PromptBuilder, prefixes: PrefixCache, prefill_rows: int) -> None:
        architecture = model.architecture
        self._builder = builder
        self._talker = model.talker
        self._predictor = model.predictor
        self._codec = model.codec
        self._prefixes = prefixes
        self._primer = Primer(model.codec, architecture.codec, prefill_rows)
        self._rules = CodeZeroRules(architecture)
        self._groups = architecture.code_groups
        self._nothing_seen = torch.zeros(architecture.talker.vocabulary, dtype=torch.bool)

    def run(self, plan: Plan) -> Many[Outcome]:
        """Do a piece of work."""
        match plan:
            case Prefill(sequence, rows):
                return (self.prefill(sequence, rows),)
            case FrameStep(batch):
                return self.frame_step(batch)
            case Decode(batch, frames):
                return self.decode(batch, frames)

    def prefill(self, sequence: Sequence, rows: int) -> Prefilled:
        """Move a prompt, and the frames that were drawn before the sequence lost its slot, on by one piece of at most
        so many positions."""
        prompt = self._builder.build(sequence.layout) if sequence.prompt is None else sequence.prompt
        positions = self._known(sequence.slot, prompt) if sequence.prefilled is None else sequence.prefilled
        primed, worked = self._prime(sequence)
        if worked:
            return Prefilled(sequence, prompt, positions, primed, None, None)
        opening = sequence.opening
        if positions < len(prompt.prefill):
            positions, opening = self._prefill_prompt(sequence.slot, prompt, positions, rows)
        elif positions < len(prompt.prefill) + sequence.frames:
            positions = self._replay(sequence, prompt, positions, rows)
        done = positions >= len(prompt.prefill) + sequence.frames
        standing = self._standing(sequence, opening) if done else None
        return Prefilled(sequence, prompt, positions, primed, opening, standing)

    def _known(self, slot: int, prompt: Prompt) -> int:
        """Positions of a prompt that need not be computed again."""
        known = self._prefixes.get(prompt.shared_key())
        if known is None:
            return 0
        keys, values = known
        return self._talker.stack.cache.restore(slot, (keys, values))

    def _prefill_prompt(self, slot: int, prompt: Prompt, start: int, rows: int) -> tuple[int, Tensor | None]:
        """Where the piece ends, and the talker's state there if that is the end of the prompt. Pieces end where the
        shared part ends, cached or not: the same arithmetic whoever came before."""
        limit = prompt.shared if start < prompt.shared else len(prompt.prefill)
        end = min(start + rows, limit)
        hidden = self._talker.forward(prompt.prefill[start:end], [slot] * (end - start), list(range(start, end)))
        if end == prompt.shared:
            self._prefixes.put(prompt.shared_key(), self._talker.stack.cache.snapshot(slot, end))
        return end, hidden[-1] if end == len(prompt.prefill) else None

    def _replay(self, sequence: Sequence, prompt: Prompt, start: int, rows: int) -> int:
        """Talker steps of frames that are known already, whose keys and values went with the slot; where they end."""
        first_frame = start - len(prompt.prefill)
        pieces = rows if self._talker.stack.piecewise else 1
        codes = torch.tensor(sequence.codes[first_frame : first_frame + pieces])
        end = start + len(codes)
        texts = torch.stack([prompt.text_at(first_frame + row) for row in range(len(codes))])
        embedded = self._talker.embed_codes(codes[:, 0]) + self._predictor.embed(codes[:, 1:])
        self._talker.forward(embedded + texts, [sequence.slot] * len(codes), list(range(start, end)))
        return end

    def _standing(self, sequence: Sequence, opening: Tensor | None) -> Standing:
        """In front of the first frame, or where the sequence stood when it lost its slot."""
        if sequence.standing is not None:
            return sequence.standing
        assert opening is not None
        seen = self._nothing_seen
        logits = self._talker.logits(opening[None])  # where these are not finite, nor are those of the frame step
        return Standing(opening, seen, self._draw_first_codes([sequence], logits, seen[None], [0])[0])

    def forget_prefixes(self) -> None:
        """Give back what is kept for voices; it is computed again when it is needed."""
        self._prefixes.clear()

    def _prime(self, sequence: Sequence) -> tuple[int | None, bool]:
        """Move the codec decoder, by one piece, to behind what is not to be heard now: the reference clip, and what was
        heard before the sequence lost its slot. Where it stands then, and whether that was a step's work: taking over
        what is known is not, and a prompt then moves on in the same step."""
        if not sequence.wants_audio:
            return None, False
        slot, clip = sequence.slot, sequence.reference_codes
        clip_frames = 0 if clip is None else len(clip)
        primed = self._begin_codec(slot, clip) if sequence.primed is None else sequence.primed
        if clip is not None and primed < clip_frames:
            return self._prime_clip(slot, clip, primed), True
        if primed < clip_frames + sequence.decoded:
            heard = np.asarray(sequence.codes[: sequence.decoded], dtype=np.int64)
            return clip_frames + self._primer.advance(slot, heard, primed - clip_frames), True
        return primed, False

    def _begin_codec(self, slot: int, clip: Codes | None) -> int:
        """Forget a slot's past, or put in its place what is known of a clip; frames behind which it stands."""
        known = None if clip is None else self._prefixes.get(_clip_key(clip))
        if clip is None or known is None:
            self._codec.clear(slot)
            return 0
        self._codec.restore(slot, known, len(clip))
        return len(clip)

    def _prime_clip(self, slot: int, clip: Codes, start: int) -> int:
        end = self._primer.advance(slot, clip, start)
        if end == len(clip):
            self._prefixes.put(_clip_key(clip), self._codec.snapshot(slot))
        return end

    def frame_step(self, batch: Many[Sequence]) -> list[Drawn]:
        """One frame of every sequence: codes 1.. of this frame, talker step, code 0 of the next."""
        before = [sequence.standing for sequence in batch if sequence.standing is not None]
        first_codes = torch.tensor([standing.next_code for standing in before])
        first = self._talker.embed_codes(first_codes)
        frames = [sequence.frames for sequence in batch]
        uniforms = _uniforms(batch, frames, range(1, self._groups), self._groups)
        rows = SamplingRows.predictor([sequence.sampling for sequence in batch])
        codes, embedded = self._predictor.predict(torch.stack([s.hidden for s in before]), first, uniforms, rows)
        hidden = self._talker_step(batch, first + embedded)
        logits = self._talker.logits(hidden)
        finite = (~self._predictor.failed & _finite(hidden) & _finite(logits)).tolist()
        seen = torch.stack([standing.seen for standing in before])
        seen[torch.arange(len(batch)), first_codes] = True
        next_codes = self._draw_first_codes(batch, logits, seen, [count + 1 for count in frames])
        drawn = torch.cat((first_codes[:, None], codes), dim=1).tolist()
        return [
            Drawn(sequence, drawn[row], Standing(hidden[row], seen[row], next_codes[row]), finite[row])
            for row, sequence in enumerate(batch)
        ]

    def _talker_step(self, batch: Many[Sequence], embedded: Tensor) -> Tensor:
        """Talker's states behind the frames whose codes are `embedded`, beside their trailing text: [rows, hidden]."""
        prompts = [sequence.prompt for sequence in batch if sequence.prompt is not None]
        frames = [sequence.frames for sequence in batch]
        texts = torch.stack([prompt.text_at(frame) for prompt, frame in zip(prompts, frames, strict=True)])
        positions = [len(prompt.prefill) + frame for prompt, frame in zip(prompts, frames, strict=True)]
        return self._talker.forward(embedded + texts, [sequence.slot for sequence in batch], positions)

    def _draw_first_codes(self, batch: Many[Sequence], logits: Tensor, seen: Tensor, frames: Many[int]) -> list[int]:
        """Code 0 of frame `frames` of each sequence, from the talker's logits [rows, codec vocabulary]."""
        ruled = self._rules.apply(
            torch.nan_to_num(logits, nan=0.0),
            seen,
            torch.tensor([sequence.sampling.repetition_penalty for sequence in batch]),
            torch.tensor(frames),
        )
        rows = SamplingRows.talker([sequence.sampling for sequence in batch])
        uniforms = _uniforms(batch, frames, range(1), self._groups)[:, 0]
        return sample(ruled, uniforms, rows).tolist()

    def decode(self, batch: Many[Sequence], frames: int) -> list[Decoded]:
        """The next `frames` frames of every sequence as samples."""
        codes = torch.tensor([sequence.codes[sequence.decoded : sequence.decoded + frames] for sequence in batch])
        samples = self._codec.decode([sequence.slot for sequence in batch], codes)
        finite = _finite(samples).tolist()
        return [Decoded(sequence, frames, samples[row].numpy(), finite[row]) for row, sequence in enumerate(batch)]


def _uniforms(batch: Many[Sequence], frames: Many[int], codebooks: range, groups: int) -> Tensor:
    """The numbers from which codes of a frame of each sequence are drawn: float64 [rows, codebooks]."""
    return torch.from_numpy(uniform_numbers([sequence.seed for sequence in batch], frames, codebooks, groups))


def _finite(rows: Tensor) -> Tensor:
    """Whether NaN and infinity are absent: bool [rows]."""
    return torch.isfinite(rows).all(dim=1)


def _clip_key(clip: Codes) -> bytes:
    """Names the content of a reference clip."""
    return hashlib.blake2b(clip.tobytes(), digest_size=16).digest()
