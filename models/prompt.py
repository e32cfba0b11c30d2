"""From text and voice to what the talker is fed: prefill embeddings and trailing text.

The layout is upstream's: [description] role, codec tags and speaker beside text padding, then either the reference
clip (ICL) or the text. Text is given at once, or all but its beginning trails: one token a frame after prefill.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from models.architecture import Architecture
from models.code_predictor import CodePredictor
from models.errors import InvalidRequestError
from models.talker import Talker
from models.text_tokenizer import TextTokenizer
from models.types import SynthesisRequest, VoicePrompt

# Tokens of the chat template around a text, as the tokenizer splits them.
_ROLE = 3  # <|im_start|> assistant \n
_TEXT_TAIL = 5  # <|im_end|> \n <|im_start|> assistant \n
_REFERENCE_TAIL = 2  # <|im_end|> \n


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a sequence starts from. Rows float32."""

    prefill: Tensor  # [positions, hidden]
    trailing: Tensor  # [frames, hidden]: added to the inputs of the frames that follow
    padding: Tensor  # [hidden]: added once the trailing text is used up
    shared: int  # leading positions that depend on voice and language only
    text_tokens: int

    def shared_key(self) -> bytes:
        """Names the content of the shared positions."""
        return hashlib.blake2b(self.prefill[: self.shared].numpy().tobytes(), digest_size=16).digest()

    def text_at(self, frame: int) -> Tensor:
        """What joins the codes of frame `frame` (from 0): float32 [hidden]."""
        return self.trailing[frame] if frame < len(self.trailing) else self.padding


class PromptBuilder:
    """Builds prompts for one model; `check` says beforehand what it would refuse."""

    def __init__(
        self, architecture: Architecture, tokenizer: TextTokenizer, talker: Talker, predictor: CodePredictor
    ) -> None:
        self._architecture = architecture
        self._tokenizer = tokenizer
        self._talker = talker
        self._predictor = predictor

    def check(self, request: SynthesisRequest) -> None:
        """Raises InvalidRequestError when this model cannot speak the request."""
        architecture = self._architecture
        if request.language.lower() not in architecture.spoken_languages:
            listed = ", ".join(architecture.spoken_languages)
            raise InvalidRequestError("language", f"{request.language!r} is not one of {listed}")
        if architecture.kind == "base":
            if request.voice is None:
                raise InvalidRequestError("voice", "a Base model speaks with a cloned voice only")
            self._check_voice(request.voice)
        elif request.voice is not None:
            raise InvalidRequestError("voice", f"a {architecture.kind} model cannot speak with a cloned voice")
        if architecture.kind == "custom_voice":
            if request.speaker is None or request.speaker.lower() not in architecture.speakers:
                listed = ", ".join(architecture.speakers)
                raise InvalidRequestError("speaker", f"{request.speaker!r} is not one of {listed}")
            if request.description and architecture.size == "0b6":
                raise InvalidRequestError("description", "the 0.6B CustomVoice model takes no description")
        elif request.speaker is not None:
            raise InvalidRequestError("speaker", f"a {architecture.kind} model has no built-in speakers")

    def _check_voice(self, voice: VoicePrompt) -> None:
        hidden, size = self._architecture.talker.hidden, len(voice.speaker_embedding)
        if size != hidden:
            raise InvalidRequestError("voice", f"was made by another model: embedding of {size}, expected {hidden}")
        codes = voice.reference_codes
        if codes is None:
            return
        groups, codebook = self._architecture.code_groups, self._architecture.codec.codebook_size
        if codes.shape[1] != groups:
            raise InvalidRequestError("voice", f"was made by another model: {codes.shape[1]} code groups, not {groups}")
        if codes.min() < 0 or codes.max() >= codebook:
            raise InvalidRequestError("voice", f"holds reference codes outside 0 to {codebook - 1}")

    def measure(self, request: SynthesisRequest) -> tuple[int, int]:
        """Positions of the prompt and tokens of the text of a request that passed `check`; embeds nothing."""
        text = len(self._text_ids(request)) - _ROLE - _TEXT_TAIL
        positions = _ROLE + 4 + (request.language.lower() != "auto")
        positions += request.voice is not None or request.speaker is not None
        if request.description:
            positions += len(self._description_ids(request.description))
        at_once = self._is_at_once(request)
        if request.voice is None or request.voice.reference_codes is None:
            return positions + (text + 2 if at_once else 1), text
        clip = 1 + len(request.voice.reference_codes)
        return positions + clip + (len(self._reference_ids(request.voice)) + text + 1 if at_once else 0), text

    def build(self, request: SynthesisRequest) -> Prompt:
        """Embeddings for a request that passed `check`."""
        at_once = self._is_at_once(request)
        ids = self._text_ids(request)
        text = ids[_ROLE:-_TEXT_TAIL]
        opening = self._opening(request, ids[:_ROLE])
        if request.voice is not None and request.voice.is_icl:
            return self._icl(opening, request.voice, text, at_once)
        return self._at_once(opening, text) if at_once else self._trailing(opening, text)

    def _is_at_once(self, request: SynthesisRequest) -> bool:
        return self._architecture.text_at_once if request.text_at_once is None else request.text_at_once

    def _text_ids(self, request: SynthesisRequest) -> list[int]:
        return self._tokenizer.encode(f"<|im_start|>assistant\n{request.text}<|im_end|>\n<|im_start|>assistant\n")

    def _description_ids(self, description: str) -> list[int]:
        return self._tokenizer.encode(f"<|im_start|>user\n{description}<|im_end|>\n")

    def _reference_ids(self, voice: VoicePrompt) -> list[int]:
        ids = self._tokenizer.encode(f"<|im_start|>assistant\n{voice.reference_text}<|im_end|>\n")
        return ids[_ROLE:-_REFERENCE_TAIL]

    def _special(self) -> tuple[Tensor, Tensor, Tensor]:
        """Text embeddings of begin, end and padding of speech: three of [1, hidden]."""
        tokens = self._architecture.text
        begin, end, padding = self._talker.embed_text([tokens.tts_bos, tokens.tts_eos, tokens.tts_pad]).split(1)
        return begin, end, padding

    def _codec(self, *ids: int) -> Tensor:
        return self._talker.embed_codes(torch.tensor(ids))

    def _language_token(self, request: SynthesisRequest) -> int | None:
        """The codec token of the language spoken: a dialect's where the speaker has one and nothing else is asked."""
        language = request.language.lower()
        if request.speaker is not None and language in ("auto", "chinese"):
            dialect = self._architecture.dialects.get(request.speaker.lower())
            if dialect is not None:
                return self._architecture.languages[dialect]
        return None if language == "auto" else self._architecture.languages[language]

    def _speaker_embedding(self, request: SynthesisRequest) -> Tensor | None:
        if request.voice is not None:
            return torch.from_numpy(request.voice.speaker_embedding)[None].float()
        if request.speaker is not None:
            return self._codec(self._architecture.speakers[request.speaker.lower()])
        return None

    def _opening(self, request: SynthesisRequest, role: list[int]) -> Tensor:
        """Description, role, tags and speaker: all that comes before the text. [positions, hidden]."""
        tokens = self._architecture.tokens
        language = self._language_token(request)
        if language is None:
            tags = self._codec(tokens.nothink, tokens.think_bos, tokens.think_eos)
        else:
            tags = self._codec(tokens.think, tokens.think_bos, language, tokens.think_eos)
        speaker = self._speaker_embedding(request)
        codec = torch.cat([tags, *([] if speaker is None else [speaker]), self._codec(tokens.pad)])
        begin, _, padding = self._special()
        beside = torch.cat([padding.expand(len(codec) - 1, -1), begin])
        parts = [self._talker.embed_text(role), codec + beside]
        if request.description:
            parts.insert(0, self._talker.embed_text(self._description_ids(request.description)))
        return torch.cat(parts)

    def _at_once(self, opening: Tensor, text: list[int]) -> Prompt:
        tokens = self._architecture.tokens
        _, end, padding = self._special()
        spoken = torch.cat([self._talker.embed_text(text), end]) + self._codec(tokens.pad)
        prefill = torch.cat([opening, spoken, padding + self._codec(tokens.bos)])
        return Prompt(prefill, padding, padding[0], len(opening), len(text))

    def _trailing(self, opening: Tensor, text: list[int]) -> Prompt:
        _, end, padding = self._special()
        spoken = torch.cat([self._talker.embed_text(text), end])
        prefill = torch.cat([opening, spoken[:1] + self._codec(self._architecture.tokens.bos)])
        return Prompt(prefill, spoken[1:], padding[0], len(opening), len(text))

    def _icl(self, opening: Tensor, voice: VoicePrompt, text: list[int], at_once: bool) -> Prompt:
        assert voice.reference_codes is not None
        tokens = self._architecture.tokens
        _, end, padding = self._special()
        reference = self._reference_ids(voice)
        # Embedded apart, so that the clip's rows are the same to the last bit whatever text follows.
        spoken = torch.cat([self._talker.embed_text(reference), self._talker.embed_text(text), end])
        codes = torch.from_numpy(voice.reference_codes)
        clip = self._talker.embed_codes(codes[:, 0]) + self._predictor.embed(codes[:, 1:])
        clip = torch.cat([self._codec(tokens.bos), clip])  # [1 + frames, hidden]
        if at_once:
            prefill = torch.cat([opening, spoken + self._codec(tokens.pad), clip + padding])
            return Prompt(prefill, padding, padding[0], len(opening) + len(reference), len(text))
        beside = torch.cat([spoken[: len(clip)], padding.expand(max(0, len(clip) - len(spoken)), -1)])
        trailing = spoken[len(clip) :] if len(spoken) > len(clip) else padding
        # The last position is never reused: the first code is drawn from its state.
        shared = len(opening) + min(len(reference), len(clip) - 1)
        return Prompt(torch.cat([opening, beside + clip]), trailing, padding[0], shared, len(text))
