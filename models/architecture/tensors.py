"""Every tensor of a published checkpoint, by upstream's name, with its shape.

The writer of synthetic checkpoints and the check of real ones use the same list.
"""

from collections.abc import Iterator

from models.architecture.encoding import CodecEncoderDimensions, SpeakerEncoderDimensions
from models.architecture.speaking import Architecture, CodecDecoderDimensions, StackDimensions

Shape = tuple[int, ...]
Inventory = dict[str, Shape]
Entries = Iterator[tuple[str, Shape]]

RESIDUAL_DILATIONS = (1, 3, 9)  # of the codec decoder's residual units, fixed in upstream's source


def _biased(name: str, *shape: int, transposed: bool = False) -> Entries:
    yield f"{name}.weight", shape
    yield f"{name}.bias", (shape[1 if transposed else 0],)


def _attention(prefix: str, hidden: int, heads: int, kv_heads: int, head_dim: int) -> Entries:
    yield f"{prefix}.q_proj.weight", (heads * head_dim, hidden)
    yield f"{prefix}.k_proj.weight", (kv_heads * head_dim, hidden)
    yield f"{prefix}.v_proj.weight", (kv_heads * head_dim, hidden)
    yield f"{prefix}.o_proj.weight", (hidden, heads * head_dim)


def _gated_mlp(prefix: str, hidden: int, intermediate: int) -> Entries:
    yield f"{prefix}.gate_proj.weight", (intermediate, hidden)
    yield f"{prefix}.up_proj.weight", (intermediate, hidden)
    yield f"{prefix}.down_proj.weight", (hidden, intermediate)


def _stack(prefix: str, stack: StackDimensions) -> Entries:
    for layer in range(stack.layers):
        name = f"{prefix}.layers.{layer}"
        yield from _attention(f"{name}.self_attn", stack.hidden, stack.heads, stack.kv_heads, stack.head_dim)
        yield f"{name}.self_attn.q_norm.weight", (stack.head_dim,)
        yield f"{name}.self_attn.k_norm.weight", (stack.head_dim,)
        yield from _gated_mlp(f"{name}.mlp", stack.hidden, stack.intermediate)
        yield f"{name}.input_layernorm.weight", (stack.hidden,)
        yield f"{name}.post_attention_layernorm.weight", (stack.hidden,)
    yield f"{prefix}.norm.weight", (stack.hidden,)


def _predictor(architecture: Architecture) -> Entries:
    prefix = "talker.code_predictor"
    talker, predictor = architecture.talker, architecture.predictor
    yield from _stack(f"{prefix}.model", predictor)
    for group in range(architecture.code_groups - 1):
        yield f"{prefix}.model.codec_embedding.{group}.weight", (predictor.vocabulary, talker.hidden)
        yield f"{prefix}.lm_head.{group}.weight", (predictor.vocabulary, predictor.hidden)
    if predictor.hidden != talker.hidden:
        yield from _biased(f"{prefix}.small_to_mtp_projection", predictor.hidden, talker.hidden)


def _talker(architecture: Architecture) -> Entries:
    talker, text_hidden = architecture.talker, architecture.text_hidden
    yield from _stack("talker.model", talker)
    yield "talker.model.codec_embedding.weight", (talker.vocabulary, talker.hidden)
    yield "talker.model.text_embedding.weight", (architecture.text_vocabulary, text_hidden)
    yield from _biased("talker.text_projection.linear_fc1", text_hidden, text_hidden)
    yield from _biased("talker.text_projection.linear_fc2", talker.hidden, text_hidden)
    yield "talker.codec_head.weight", (talker.vocabulary, talker.hidden)
    yield from _predictor(architecture)


def _speaker_block(name: str, channels: int, inputs: int, kernel: int, encoder: SpeakerEncoderDimensions) -> Entries:
    yield from _biased(f"{name}.tdnn1.conv", channels, inputs, 1)
    part = channels // encoder.res2net_scale
    for block in range(encoder.res2net_scale - 1):
        yield from _biased(f"{name}.res2net_block.blocks.{block}.conv", part, part, kernel)
    yield from _biased(f"{name}.tdnn2.conv", channels, channels, 1)
    yield from _biased(f"{name}.se_block.conv1", encoder.squeeze_channels, channels, 1)
    yield from _biased(f"{name}.se_block.conv2", channels, encoder.squeeze_channels, 1)


def _speaker_encoder(encoder: SpeakerEncoderDimensions) -> Entries:
    prefix = "speaker_encoder"
    *blocks, last = encoder.channels
    yield from _biased(f"{prefix}.blocks.0.conv", blocks[0], encoder.mels, encoder.kernel_sizes[0])
    for index in range(1, len(blocks)):
        kernel = encoder.kernel_sizes[index]
        yield from _speaker_block(f"{prefix}.blocks.{index}", blocks[index], blocks[index - 1], kernel, encoder)
    yield from _biased(f"{prefix}.mfa.conv", last, last, encoder.kernel_sizes[-1])
    yield from _biased(f"{prefix}.asp.tdnn.conv", encoder.attention_channels, 3 * last, 1)
    yield from _biased(f"{prefix}.asp.conv", last, encoder.attention_channels, 1)
    yield from _biased(f"{prefix}.fc", encoder.embedding, 2 * last, 1)


def _codec_transformer(codec: CodecDecoderDimensions) -> Entries:
    prefix = "decoder.pre_transformer"
    for layer in range(codec.layers):
        name = f"{prefix}.layers.{layer}"
        yield from _attention(f"{name}.self_attn", codec.hidden, codec.heads, codec.kv_heads, codec.head_dim)
        yield from _gated_mlp(f"{name}.mlp", codec.hidden, codec.intermediate)
        yield f"{name}.input_layernorm.weight", (codec.hidden,)
        yield f"{name}.post_attention_layernorm.weight", (codec.hidden,)
        yield f"{name}.self_attn_layer_scale.scale", (codec.hidden,)
        yield f"{name}.mlp_layer_scale.scale", (codec.hidden,)
    yield f"{prefix}.norm.weight", (codec.hidden,)
    yield from _biased(f"{prefix}.input_proj", codec.hidden, codec.latent)
    yield from _biased(f"{prefix}.output_proj", codec.latent, codec.hidden)


def _codec_quantizer(codec: CodecDecoderDimensions) -> Entries:
    inner = codec.codebook_dim // 2
    for name, layers in (("rvq_first", 1), ("rvq_rest", codec.code_groups - 1)):
        prefix = f"decoder.quantizer.{name}"
        yield f"{prefix}.input_proj.weight", (inner, codec.codebook_dim, 1)
        yield f"{prefix}.output_proj.weight", (codec.codebook_dim, inner, 1)
        for layer in range(layers):
            yield f"{prefix}.vq.layers.{layer}._codebook.cluster_usage", (codec.codebook_size,)
            yield f"{prefix}.vq.layers.{layer}._codebook.embedding_sum", (codec.codebook_size, inner)


def _codec_upsample(codec: CodecDecoderDimensions) -> Entries:
    latent = codec.latent
    for index, factor in enumerate(codec.upsampling_ratios):
        prefix = f"decoder.upsample.{index}"
        yield from _biased(f"{prefix}.0.conv", latent, latent, factor, transposed=True)
        yield f"{prefix}.1.gamma", (latent,)
        yield from _biased(f"{prefix}.1.dwconv.conv", latent, 1, 7)
        yield from _biased(f"{prefix}.1.norm", latent)
        yield from _biased(f"{prefix}.1.pwconv1", 4 * latent, latent)
        yield from _biased(f"{prefix}.1.pwconv2", latent, 4 * latent)


def _snake(name: str, channels: int) -> Entries:
    yield f"{name}.alpha", (channels,)
    yield f"{name}.beta", (channels,)


def _codec_block(name: str, inputs: int, channels: int, rate: int) -> Entries:
    yield from _snake(f"{name}.0", inputs)
    yield from _biased(f"{name}.1.conv", inputs, channels, 2 * rate, transposed=True)
    for unit in range(len(RESIDUAL_DILATIONS)):
        prefix = f"{name}.{unit + 2}"
        yield from _snake(f"{prefix}.act1", channels)
        yield from _biased(f"{prefix}.conv1.conv", channels, channels, 7)
        yield from _snake(f"{prefix}.act2", channels)
        yield from _biased(f"{prefix}.conv2.conv", channels, channels, 1)


def _codec_decoder(codec: CodecDecoderDimensions) -> Entries:
    yield from _codec_transformer(codec)
    yield from _codec_quantizer(codec)
    yield from _biased("decoder.pre_conv.conv", codec.latent, codec.codebook_dim, 3)
    yield from _codec_upsample(codec)
    yield from _biased("decoder.decoder.0.conv", codec.decoder, codec.latent, 7)
    for index, rate in enumerate(codec.upsample_rates):
        inputs, channels = codec.decoder // 2**index, codec.decoder // 2 ** (index + 1)
        yield from _codec_block(f"decoder.decoder.{index + 1}.block", inputs, channels, rate)
    blocks = len(codec.upsample_rates)
    channels = codec.decoder // 2**blocks
    yield from _snake(f"decoder.decoder.{blocks + 1}", channels)
    yield from _biased(f"decoder.decoder.{blocks + 2}.conv", 1, channels, 7)


def _encoder_convolutions(encoder: CodecEncoderDimensions) -> Entries:
    prefix = "encoder.encoder.layers"
    channels, index = encoder.filters, 1
    yield from _biased(f"{prefix}.0.conv", channels, 1, encoder.kernel_size)
    for ratio in reversed(encoder.ratios):
        squeezed = channels // encoder.compress
        for _ in range(encoder.residual_layers):
            yield from _biased(f"{prefix}.{index}.block.1.conv", squeezed, channels, encoder.residual_kernel_size)
            yield from _biased(f"{prefix}.{index}.block.3.conv", channels, squeezed, 1)
            index += 1
        yield from _biased(f"{prefix}.{index + 1}.conv", 2 * channels, channels, 2 * ratio)  # after an activation
        channels, index = 2 * channels, index + 2
    yield from _biased(f"{prefix}.{index + 1}.conv", encoder.hidden, channels, encoder.last_kernel_size)


def _encoder_transformer(encoder: CodecEncoderDimensions) -> Entries:
    hidden = encoder.hidden
    for layer in range(encoder.layers):
        name = f"encoder.encoder_transformer.layers.{layer}"
        yield from _attention(f"{name}.self_attn", hidden, encoder.heads, encoder.kv_heads, encoder.head_dim)
        yield f"{name}.mlp.fc1.weight", (encoder.intermediate, hidden)
        yield f"{name}.mlp.fc2.weight", (hidden, encoder.intermediate)
        yield from _biased(f"{name}.input_layernorm", hidden)
        yield from _biased(f"{name}.post_attention_layernorm", hidden)
        yield f"{name}.self_attn_layer_scale.scale", (hidden,)
        yield f"{name}.mlp_layer_scale.scale", (hidden,)


def _encoder_quantizer(encoder: CodecEncoderDimensions) -> Entries:
    semantic = encoder.semantic_quantizers
    for name, layers in (("semantic", semantic), ("acoustic", encoder.quantizers - semantic)):
        prefix = f"encoder.quantizer.{name}_residual_vector_quantizer"
        for layer in range(layers):
            codebook = f"{prefix}.layers.{layer}.codebook"
            yield f"{codebook}.initialized", (1,)
            yield f"{codebook}.cluster_usage", (encoder.codebook_size,)
            yield f"{codebook}.embed_sum", (encoder.codebook_size, encoder.codebook_dim)
        if encoder.quantizer_dim != encoder.hidden:
            yield f"{prefix}.input_proj.weight", (encoder.quantizer_dim, encoder.hidden, 1)
            yield f"{prefix}.output_proj.weight", (encoder.hidden, encoder.quantizer_dim, 1)


def talker_tensors(architecture: Architecture) -> Inventory:
    """What `model.safetensors` holds for speaking: talker and code predictor."""
    return dict(_talker(architecture))


def speaker_encoder_tensors(encoder: SpeakerEncoderDimensions) -> Inventory:
    """What `model.safetensors` of a Base checkpoint holds besides."""
    return dict(_speaker_encoder(encoder))


def codec_decoder_tensors(codec: CodecDecoderDimensions) -> Inventory:
    """What `speech_tokenizer/model.safetensors` holds for speaking."""
    return dict(_codec_decoder(codec))


def codec_encoder_tensors(encoder: CodecEncoderDimensions) -> Inventory:
    """What `speech_tokenizer/model.safetensors` holds besides."""
    entries = dict(_encoder_convolutions(encoder))
    entries.update(_encoder_transformer(encoder))
    entries["encoder.downsample.conv.weight"] = (encoder.hidden, encoder.hidden, encoder.downsample_kernel)
    entries.update(_encoder_quantizer(encoder))
    return entries
