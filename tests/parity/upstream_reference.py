"""Upstream's own answer to a request, on the same checkpoint."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import Codes, SynthesisRequest
from models.upstream import import_upstream


class Upstream:
    """`qwen-tts` on one checkpoint directory, float32, greedy or not."""

    def __init__(self, directory: Path) -> None:
        self.wrapper: Any = import_upstream().Qwen3TTSModel.from_pretrained(str(directory), dtype=torch.float32)
        self.model: Any = self.wrapper.model
        self.decoder: Any = self.model.speech_tokenizer.model.decoder

    def codes(self, request: SynthesisRequest, frames: int, repetition_penalty: float = 1.05) -> Codes:
        """Greedy codes: int64 [frames or fewer, groups]. A limit of N tokens gives N - 1 frames."""
        wrapper, model = self.wrapper, self.model
        at_once = request.text_at_once
        arguments: dict[str, Any] = {
            "input_ids": wrapper._tokenize_texts([wrapper._build_assistant_text(request.text)]),
            "languages": [request.language],
            "non_streaming_mode": (model.tts_model_type != "base") if at_once is None else at_once,
            "max_new_tokens": frames + 1,
            "do_sample": False,
            "subtalker_dosample": False,
            "repetition_penalty": repetition_penalty,
        }
        if request.description:
            arguments["instruct_ids"] = wrapper._tokenize_texts([wrapper._build_instruct_text(request.description)])
        if request.speaker:
            arguments["speakers"] = [request.speaker]
        if (voice := request.voice) is not None:
            icl = voice.is_icl
            arguments["voice_clone_prompt"] = {
                "ref_code": [torch.from_numpy(voice.reference_codes) if icl else None],
                "ref_spk_embedding": [torch.from_numpy(voice.speaker_embedding)],
                "x_vector_only_mode": [not icl],
                "icl_mode": [icl],
            }
            reference = wrapper._build_ref_text(voice.reference_text) if icl else None
            arguments["ref_ids"] = [wrapper._tokenize_texts([reference])[0] if icl else None]
        with torch.inference_mode():
            codes, _ = model.generate(**arguments)
        return codes[0].numpy().astype(np.int64)

    def samples(self, codes: Codes) -> Any:
        """Codes [frames, groups] decoded whole: float32 [samples]."""
        with torch.inference_mode():
            return self.decoder(torch.from_numpy(codes).T[None])[0, 0].numpy()
