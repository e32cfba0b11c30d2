"""The JSON files of a synthetic checkpoint, in the published layout.

Written here and not by upstream's `save_pretrained`, which puts a `model_type` into `speaker_encoder_config` that
upstream's own loader rejects.
"""

from typing import Any

from models.architecture import (
    CodecDecoderDimensions,
    CodecEncoderDimensions,
    SpeakerEncoderDimensions,
    StackDimensions,
)
from models.catalog import SyntheticShape, speaker_tables
from models.request import Kind
from models.synthetic.vocabulary import SPECIAL_TOKENS, Vocabulary

Json = dict[str, Any]

# Places after the last code, as in the published codec vocabulary.
_CONTROL = {
    "codec_pad_id": 100,
    "codec_bos_id": 101,
    "codec_eos_token_id": 102,
    "codec_think_id": 106,
    "codec_nothink_id": 107,
    "codec_think_bos_id": 108,
    "codec_think_eos_id": 109,
}

GENERATION_CONFIG: Json = {
    "do_sample": True,
    "temperature": 0.9,
    "top_k": 50,
    "top_p": 1.0,
    "repetition_penalty": 1.05,
    "subtalker_dosample": True,
    "subtalker_temperature": 0.9,
    "subtalker_top_k": 50,
    "subtalker_top_p": 1.0,
    "max_new_tokens": 8192,
}


def _stack(stack: StackDimensions) -> Json:
    return {
        "num_hidden_layers": stack.layers,
        "hidden_size": stack.hidden,
        "intermediate_size": stack.intermediate,
        "num_attention_heads": stack.heads,
        "num_key_value_heads": stack.kv_heads,
        "head_dim": stack.head_dim,
        "rms_norm_eps": stack.norm_eps,
        "rope_theta": stack.rope_theta,
        "vocab_size": stack.vocabulary,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0,
        "initializer_range": 0.02,
        "sliding_window": None,
        "use_cache": True,
    }


def _rope_scaling(head_dim: int) -> Json:
    """Three sections that upstream interleaves; speech gives all three the same positions."""
    side = head_dim * 5 // 32
    sections = [head_dim // 2 - 2 * side, side, side]
    return {"interleaved": True, "mrope_section": sections, "rope_type": "default", "type": "default"}


def _predictor(shape: SyntheticShape) -> Json:
    return {
        **_stack(shape.predictor),
        "model_type": "qwen3_tts_talker_code_predictor",
        "max_position_embeddings": 65536,
        "num_code_groups": shape.codec.code_groups,
        "rope_scaling": None,
    }


def _talker(shape: SyntheticShape, kind: Kind) -> Json:
    codes = shape.codec.codebook_size
    languages, speakers, dialects = speaker_tables(kind, codes)
    return {
        **_stack(shape.talker),
        **{name: codes + place for name, place in _CONTROL.items()},
        "model_type": "qwen3_tts_talker",
        "code_predictor_config": _predictor(shape),
        "codec_language_id": languages,
        "spk_id": speakers,
        "spk_is_dialect": dialects,
        "max_position_embeddings": 32768,
        "num_code_groups": shape.codec.code_groups,
        "position_id_per_seconds": 13,
        "rope_scaling": _rope_scaling(shape.talker.head_dim),
        "text_hidden_size": shape.text_hidden,
        "text_vocab_size": shape.text_vocabulary,
    }


def _speaker_encoder(encoder: SpeakerEncoderDimensions) -> Json:
    return {
        "mel_dim": encoder.mels,
        "enc_dim": encoder.embedding,
        "enc_channels": list(encoder.channels),
        "enc_kernel_sizes": list(encoder.kernel_sizes),
        "enc_dilations": list(encoder.dilations),
        "enc_attention_channels": encoder.attention_channels,
        "enc_res2net_scale": encoder.res2net_scale,
        "enc_se_channels": encoder.squeeze_channels,
        "sample_rate": encoder.sample_rate,
    }


def model_config(shape: SyntheticShape, kind: Kind, vocabulary: Vocabulary) -> Json:
    """config.json."""
    config: Json = {
        "architectures": ["Qwen3TTSForConditionalGeneration"],
        "model_type": "qwen3_tts",
        "tokenizer_type": "qwen3_tts_tokenizer_12hz",
        "tts_model_size": shape.size,
        "tts_model_type": kind,
        "assistant_token_id": vocabulary.ids["assistant"],
        "im_start_token_id": vocabulary.special_ids["<|im_start|>"],
        "im_end_token_id": vocabulary.special_ids["<|im_end|>"],
        "tts_bos_token_id": vocabulary.special_ids["<tts_text_bos>"],
        "tts_eos_token_id": vocabulary.special_ids["<tts_text_eod>"],
        "tts_pad_token_id": vocabulary.special_ids["<tts_pad>"],
        "talker_config": _talker(shape, kind),
    }
    if kind == "base":
        config["speaker_encoder_config"] = _speaker_encoder(shape.speaker_encoder)
    return config


def _codec_decoder(codec: CodecDecoderDimensions) -> Json:
    return {
        "num_quantizers": codec.code_groups,
        "num_semantic_quantizers": 1,
        "codebook_size": codec.codebook_size,
        "codebook_dim": codec.codebook_dim,
        "semantic_codebook_size": 2 * codec.codebook_size,
        "vector_quantization_hidden_dimension": codec.codebook_dim,
        "latent_dim": codec.latent,
        "decoder_dim": codec.decoder,
        "upsample_rates": list(codec.upsample_rates),
        "upsampling_ratios": list(codec.upsampling_ratios),
        "num_hidden_layers": codec.layers,
        "hidden_size": codec.hidden,
        "intermediate_size": codec.intermediate,
        "num_attention_heads": codec.heads,
        "num_key_value_heads": codec.kv_heads,
        "head_dim": codec.head_dim,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "layer_scale_initial_scale": 0.01,
        "max_position_embeddings": 8000,
        "rms_norm_eps": codec.norm_eps,
        "rope_theta": codec.rope_theta,
        "sliding_window": codec.window,
    }


def _codec_encoder(encoder: CodecEncoderDimensions) -> Json:
    return {
        "_frame_rate": encoder.sample_rate / encoder.samples_per_frame,
        "audio_channels": 1,
        "num_filters": encoder.filters,
        "kernel_size": encoder.kernel_size,
        "last_kernel_size": encoder.last_kernel_size,
        "residual_kernel_size": encoder.residual_kernel_size,
        "num_residual_layers": encoder.residual_layers,
        "compress": encoder.compress,
        "dilation_growth_rate": encoder.dilation_growth,
        "upsampling_ratios": list(encoder.ratios),
        "upsample_groups": encoder.hidden,
        "hidden_size": encoder.hidden,
        "intermediate_size": encoder.intermediate,
        "num_hidden_layers": encoder.layers,
        "num_attention_heads": encoder.heads,
        "num_key_value_heads": encoder.kv_heads,
        "head_dim": encoder.head_dim,
        "hidden_act": "gelu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "layer_scale_initial_scale": 0.01,
        "max_position_embeddings": 8000,
        "norm_eps": encoder.norm_eps,
        "rope_theta": encoder.rope_theta,
        "sliding_window": 250,
        "num_quantizers": encoder.quantizers,
        "num_semantic_quantizers": encoder.semantic_quantizers,
        "codebook_size": encoder.codebook_size,
        "codebook_dim": encoder.codebook_dim,
        "vector_quantization_hidden_dimension": encoder.quantizer_dim,
        "normalize": False,
        "pad_mode": "constant",
        "sampling_rate": encoder.sample_rate,
        "trim_right_ratio": 1.0,
        "use_cache": False,
        "use_causal_conv": True,
        "use_conv_shortcut": False,
        "use_streaming": False,
    }


def speech_tokenizer_config(shape: SyntheticShape) -> Json:
    """speech_tokenizer/config.json."""
    encoder = shape.codec_encoder
    return {
        "architectures": ["Qwen3TTSTokenizerV2Model"],
        "model_type": "qwen3_tts_tokenizer_12hz",
        "encoder_valid_num_quantizers": encoder.code_groups,
        "input_sample_rate": encoder.sample_rate,
        "output_sample_rate": encoder.sample_rate,
        "encode_downsample_rate": encoder.samples_per_frame,
        "decode_upsample_rate": shape.codec.samples_per_frame,
        "decoder_config": _codec_decoder(shape.codec),
        "encoder_config": _codec_encoder(encoder),
    }


def tokenizer_config(vocabulary: Vocabulary) -> Json:
    """tokenizer_config.json."""
    added = {
        str(vocabulary.special_ids[name]): {
            "content": name,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": special,
        }
        for name, special in SPECIAL_TOKENS.items()
    }
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "processor_class": "Qwen3TTSProcessor",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


PREPROCESSOR_CONFIG: Json = {
    "padding_side": "left",
    "padding_value": 0.0,
    "processor_class": "Qwen3TTSProcessor",
    "return_attention_mask": True,
}
SPEECH_PREPROCESSOR_CONFIG: Json = {
    "chunk_length_s": None,
    "feature_extractor_type": "EncodecFeatureExtractor",
    "feature_size": 1,
    "overlap": None,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": True,
    "sampling_rate": 24000,
}
SPEECH_CONFIGURATION: Json = {"framework": "pytorch", "task": "feature-extraction", "allow_remote": True}
