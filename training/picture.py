"""A picture of the teacher and the voice saying the same sentence: `python -m training.picture`. Needs espeak-ng."""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw

from benchmarks.quality import narrator
from models import SynthesisRequest, load_engine
from training.mel import log_mel
from training.quality_readings import NARRATOR
from training.readings import say
from training.teacher import speak, whole_frames

TARGET = Path(__file__).parents[1] / "docs" / "embedded_voice.png"
_TEXT = "The lighthouse keeper counted seven ships before the storm."
_WIDE, _HIGH, _TITLE = 2, 3, 18  # pixels of a window of 10 ms, of a mel band, above a spectrogram
_COLOURS = np.array([(0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191)])  # dark to bright


def _coloured(mel: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[windows, mels] -> pixels [height, width, 3], low bands below."""
    share = (mel - mel.min()) / (mel.max() - mel.min())
    places = np.linspace(0, 1, len(_COLOURS))
    pixels = np.stack([np.interp(share.T[::-1], places, _COLOURS[:, channel]) for channel in range(3)], axis=-1)
    return pixels.astype(np.uint8).repeat(_HIGH, axis=0).repeat(_WIDE, axis=1)


def draw(parts: dict[str, npt.NDArray[np.float32]]) -> Image.Image:
    """Titles and samples, one below the other."""
    spectra = {title: _coloured(log_mel(torch.from_numpy(whole_frames(one))).numpy()) for title, one in parts.items()}
    width = max(one.shape[1] for one in spectra.values())
    picture = Image.new("RGB", (width, sum(one.shape[0] + _TITLE for one in spectra.values())), "white")
    pen, top = ImageDraw.Draw(picture), 0
    for title, one in spectra.items():
        pen.text((4, top + 3), title, fill="black")
        picture.paste(Image.fromarray(one), (0, top + _TITLE))
        top += _TITLE + one.shape[0]
    return picture


def main() -> None:
    """Write the picture."""
    engine = load_engine("embedded:base", "bf16")
    samples, _ = say(engine, SynthesisRequest(_TEXT, voice=narrator(engine)))
    engine.close()
    parts = {f"espeak-ng: {_TEXT}": speak(_TEXT, NARRATOR), "the embedded voice": samples}
    draw(parts).save(TARGET, optimize=True)
    sys.stdout.write(f"{TARGET}: {TARGET.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
