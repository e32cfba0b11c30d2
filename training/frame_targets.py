"""What frames are to sound like below 4 kHz, as cosines and sines: to learn from without making samples."""

import torch
from torch import Tensor

from training.anchored import resynthesis
from training.work import SAMPLES_PER_FRAME

_HIGHEST = 320  # periods a frame: 4 kHz
WIDTH = 2 * _HIGHEST


def frame_targets(samples: Tensor, hertz: Tensor) -> Tensor:
    """Samples [frames * samples a frame] and the codes' pitch [frames] -> [frames, WIDTH], what is voiced alone."""
    voice = resynthesis(samples[None], hertz[None])
    spectra = torch.fft.rfft(voice[0].view(-1, SAMPLES_PER_FRAME), norm="ortho")[:, :_HIGHEST]
    return torch.view_as_real(spectra).flatten(1)
