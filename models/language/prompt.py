"""From a layout to what the talker is fed: prefill embeddings and trailing text.

The layout is upstream's: [description] role, codec tags and speaker beside text padding, then either the reference
clip (ICL) or the text. Text is given at once, or all but its beginning trails: one token a frame after prefill.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from models.architecture import Architecture
from models.language.code_predictor import CodePredictor
from models.language.talker import Talker
from models.text import Layout


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a sequence starts from. Rows float32."""

    prefill: Tensor  # [positions, hidden]
    trailing: Tensor  # [frames, hidden]: added to the inputs of the frames that follow
    padding: Tensor  # [hidden]: added once the trailing text is used up
    shared: int  # leading positions that depend on voice and language only

    def shared_key(self) -> bytes:
        """Names the content of the shared positions."""
        return hashlib.blake2b(self.prefill[: self.shared].numpy().tobytes(), digest_size=16).digest()

    def text_at(self, frame: int) -> Tensor:
        """What joins the codes of frame `frame` (from 0): float32 [hidden]."""
        return self.trailing[frame] if frame < len(self.trailing) else self.padding


class PromptBuilder:
    """Embeds layouts for one model."""

    def __init__(self, architecture: Architecture, talker: Talker, predictor: CodePredictor) -> None:
        self._tokens = architecture.tokens
        self._talker = talker
        self._predictor = predictor
        text = architecture.text
        special = talker.embed_text([text.tts_bos, text.tts_eos, text.tts_pad])
        self._begin, self._end, self._padding = special.split(1)  # of speech, as text: each [1, hidden]

    def touch(self, layout: Layout) -> None:
        """Read what `build` will look up: the text embedding is mapped, and a disk may be slow. From any thread."""
        self._talker.touch_text(layout.text_ids)

    def build(self, layout: Layout) -> Prompt:
        """Embeddings, as many as the layout is long."""
        opening = self._opening(layout)
        if layout.voice is not None and layout.voice.reference_codes is not None:
            prompt = self._icl(opening, layout, torch.from_numpy(layout.voice.reference_codes))
        else:
            prompt = self._at_once(opening, layout) if layout.at_once else self._trailing(opening, layout)
        assert len(prompt.prefill) == len(layout)
        return prompt

    def _codec(self, *ids: int) -> Tensor:
        return self._talker.embed_codes(torch.tensor(ids))

    def _speaker(self, layout: Layout) -> list[Tensor]:
        if layout.voice is not None:
            return [torch.from_numpy(layout.voice.speaker_embedding)[None].float()]
        return [] if layout.speaker is None else [self._codec(layout.speaker)]

    def _opening(self, layout: Layout) -> Tensor:
        """Description, role, tags and speaker: all that comes before the text. [positions, hidden]."""
        codec = torch.cat([self._codec(*layout.tags), *self._speaker(layout), self._codec(self._tokens.pad)])
        beside = torch.cat([self._padding.expand(len(codec) - 1, -1), self._begin])
        described = [self._talker.embed_text(layout.description)] if layout.description else []
        return torch.cat([*described, self._talker.embed_text(layout.role), codec + beside])

    def _spoken(self, layout: Layout) -> Tensor:
        return torch.cat([self._talker.embed_text(layout.text), self._end])

    def _at_once(self, opening: Tensor, layout: Layout) -> Prompt:
        spoken = self._spoken(layout) + self._codec(self._tokens.pad)
        prefill = torch.cat([opening, spoken, self._padding + self._codec(self._tokens.bos)])
        return Prompt(prefill, self._padding, self._padding[0], len(opening))

    def _trailing(self, opening: Tensor, layout: Layout) -> Prompt:
        spoken = self._spoken(layout)
        prefill = torch.cat([opening, spoken[:1] + self._codec(self._tokens.bos)])
        return Prompt(prefill, spoken[1:], self._padding[0], len(opening))

    def _icl(self, opening: Tensor, layout: Layout, codes: Tensor) -> Prompt:
        # Embedded apart, so that the clip's rows are the same to the last bit whatever text follows.
        spoken = torch.cat([self._talker.embed_text(layout.reference), self._spoken(layout)])
        clip = self._talker.embed_codes(codes[:, 0]) + self._predictor.embed(codes[:, 1:])
        clip = torch.cat([self._codec(self._tokens.bos), clip])  # [1 + frames, hidden]
        padding = self._padding
        if layout.at_once:
            prefill = torch.cat([opening, spoken + self._codec(self._tokens.pad), clip + padding])
            return Prompt(prefill, padding, padding[0], len(opening) + len(layout.reference))
        beside = torch.cat([spoken[: len(clip)], padding.expand(max(0, len(clip) - len(spoken)), -1)])
        trailing = spoken[len(clip) :] if len(spoken) > len(clip) else padding
        # The last position is never reused: the first code is drawn from its state.
        shared = len(opening) + min(len(layout.reference), len(clip) - 1)
        return Prompt(torch.cat([opening, beside + clip]), trailing, padding[0], shared)
