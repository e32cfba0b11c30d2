"""A request as ids, laid out once: the prompt is measured by the same object from which it is embedded."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.architecture import Architecture
from models.errors import InvalidRequestError
from models.request import SynthesisRequest, VoicePrompt
from models.text.text_tokenizer import TextTokenizer

# Tokens of the chat template around a text, as the tokenizer splits them.
_ROLE = 3  # <|im_start|> assistant \n
_TEXT_TAIL = 5  # <|im_end|> \n <|im_start|> assistant \n
_REFERENCE_TAIL = 2  # <|im_end|> \n


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """What stands in a prompt, in the order in which it does."""

    text: Sequence[int]  # text ids of what is to be spoken
    description: Sequence[int] = ()  # text ids, with the template around them
    role: Sequence[int] = ()  # text ids
    tags: Sequence[int] = ()  # codec ids: whether to think, and in which language
    speaker: int | None = None  # codec id of a built-in speaker
    voice: VoicePrompt | None = None
    reference: Sequence[int] = ()  # text ids of the transcript of the voice's clip
    at_once: bool = False  # the whole text stands in the prompt; else it trails, one token a frame

    @property
    def text_ids(self) -> list[int]:
        """Every id that is looked up in the text embedding for this request alone."""
        return [*self.description, *self.role, *self.reference, *self.text]

    @property
    def opening(self) -> int:
        """Positions before the reference clip and the text."""
        named = self.voice is not None or self.speaker is not None
        return len(self.description) + len(self.role) + len(self.tags) + named + 1

    def __len__(self) -> int:
        """Positions of the prompt, before the first frame."""
        spoken = len(self.text) + 1  # and the end of the text
        if self.voice is None or self.voice.reference_codes is None:
            return self.opening + (spoken + 1 if self.at_once else 1)
        clip = 1 + len(self.voice.reference_codes)
        return self.opening + clip + (len(self.reference) + spoken if self.at_once else 0)


class LayoutBuilder:
    """Lays requests out for one model, from any thread; refuses what the model cannot speak."""

    def __init__(self, architecture: Architecture, tokenizer: TextTokenizer) -> None:
        self._architecture = architecture
        self._tokenizer = tokenizer

    def build(self, request: SynthesisRequest) -> Layout:
        """Raises InvalidRequestError when this model cannot speak the request."""
        self._check(request)
        ids = self._tokenizer.encode(f"<|im_start|>assistant\n{request.text}<|im_end|>\n<|im_start|>assistant\n")
        text = ids[_ROLE:-_TEXT_TAIL]
        self._check_plain("text", text)
        return Layout(
            text=text,
            description=self._description(request.description),
            role=ids[:_ROLE],
            tags=self._tags(request),
            speaker=None if request.speaker is None else self._architecture.speakers[request.speaker.lower()],
            voice=request.voice,
            reference=self._reference(request.voice),
            at_once=self._architecture.text_at_once if request.text_at_once is None else request.text_at_once,
        )

    def check_transcript(self, field: str, text: str) -> None:
        """Raises InvalidRequestError, naming `field`, for a clip's transcript that could not be told from a prompt."""
        self._check_plain(field, self._tokenizer.encode(text))

    def _check(self, request: SynthesisRequest) -> None:
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

    def _check_plain(self, field: str, ids: Sequence[int]) -> None:
        """Text is only read out: it may not end the turn in which it stands, nor begin another."""
        token = self._tokenizer.control_token(ids)
        if token is not None:
            raise InvalidRequestError(field, f"spells the control token {token}, which cannot be spoken")

    def _description(self, description: str | None) -> list[int]:
        if not description:
            return []
        ids = self._tokenizer.encode(f"<|im_start|>user\n{description}<|im_end|>\n")
        self._check_plain("description", ids[1:-_REFERENCE_TAIL])
        return ids

    def _reference(self, voice: VoicePrompt | None) -> list[int]:
        if voice is None or voice.reference_text is None:
            return []
        ids = self._tokenizer.encode(f"<|im_start|>assistant\n{voice.reference_text}<|im_end|>\n")
        reference = ids[_ROLE:-_REFERENCE_TAIL]
        self._check_plain("voice", reference)
        return reference

    def _tags(self, request: SynthesisRequest) -> list[int]:
        tokens, language = self._architecture.tokens, self._language_token(request)
        if language is None:
            return [tokens.nothink, tokens.think_bos, tokens.think_eos]
        return [tokens.think, tokens.think_bos, language, tokens.think_eos]

    def _language_token(self, request: SynthesisRequest) -> int | None:
        """The codec token of the language spoken: a dialect's where the speaker has one and nothing else is asked."""
        language = request.language.lower()
        if request.speaker is not None and language in ("auto", "chinese"):
            dialect = self._architecture.dialects.get(request.speaker.lower())
            if dialect is not None:
                return self._architecture.languages[dialect]
        return None if language == "auto" else self._architecture.languages[language]
