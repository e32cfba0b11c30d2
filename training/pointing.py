"""Fresh weights that know what a place is: the first layer of the talker looks at the tokens around it from the start.

A place says how many positions back its token was read. Entries of those codes begin as the rotations that rotary
embeddings (https://arxiv.org/abs/2104.09864) give such distances, so that a head whose keys are all alike looks exactly
that far back. What looking is good for is learnt, and so is everything else.
"""

import torch

from training.network import Layer, Network
from training.place import PLACES

_OFFSETS = (0, 1, 2, -1)  # tokens from the place, a head each
_PAIRS = 8  # frequencies, the quickest ones
_SIZE = 0.5  # of an entry's rotations
_CONSTANT = 1.0  # what all rows of texts have in common
_SHARP = 2.0  # of queries and keys in these pairs: a neighbour gets a tenth of the attention


@torch.no_grad()
def point(network: Network) -> None:
    """Set the weights that look at the place. There have to be as many heads as offsets, at least."""
    dims, layer = network.talker.dims, network.talker.layers[0]
    assert isinstance(layer, Layer)
    assert dims.heads == dims.kv_heads >= len(_OFFSETS), "each head has a place and keys of its own"
    half = dims.head_dim // 2
    turns = dims.rope_theta ** (-torch.arange(_PAIRS) / half)  # radians a position
    lags = network.group_embeddings[-PLACES]
    reserved = 2 * _PAIRS + 1
    for table in (network.codec_embedding, network.group_embeddings):
        table[..., :reserved] = 0
    network.text_second.weight[:reserved] = 0
    angles = torch.arange(len(lags))[:, None] * turns
    lags[:, : 2 * _PAIRS] = _SIZE * torch.cat((angles.cos(), angles.sin()), dim=1)
    network.text_second.bias[reserved - 1] = _CONSTANT
    queries, keys, _ = layer.qkv.weight.split(dims.heads * dims.head_dim)
    pair = torch.arange(_PAIRS)
    for head, offset in enumerate(_OFFSETS):
        first = head * dims.head_dim + pair
        second = first + half
        for rows in (first, second):
            queries[rows], keys[rows] = 0.0, 0.0
        # A query turned back by its distance: angle (offset - lag) * turn, by the sums of angles.
        cosine, sine = (offset * turns).cos(), (offset * turns).sin()
        queries[first, pair], queries[first, _PAIRS + pair] = cosine, sine
        queries[second, pair], queries[second, _PAIRS + pair] = sine, -cosine
        keys[first, reserved - 1] = 1.0
    for norm in (layer.query_norm, layer.key_norm):
        norm[pair], norm[half + pair] = _SHARP, _SHARP
