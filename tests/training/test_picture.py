"""The picture of teacher and voice."""

import numpy as np

from training.picture import draw


def test_parts_stand_below_each_other_as_wide_as_they_are_long() -> None:
    time = np.arange(24000) / 24000
    tone = (0.1 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    picture = np.asarray(draw({"a tone": tone, "half of it": tone[:12000]}))
    height, width, _ = picture.shape
    assert width == 2 * 104  # 1.04 s in whole frames, two pixels for each 10 ms
    lower = picture[height // 2 + 20 :]
    assert (lower[:, width * 3 // 4] == 255).all(), "nothing is drawn beyond its end"
    loudest = lower[:, width // 4].astype(int).sum(axis=1).argmax() / len(lower)
    assert 0.5 < loudest < 0.95, "1 kHz is low on the mel scale, and low is below"
