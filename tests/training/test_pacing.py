"""Speech at the pace of its text."""

import numpy as np
import torch

from training.mel import STEPS
from training.pacing import LEAD, TAIL, anchors, paced
from training.sound import COSINES, GATES, Analysis
from training.vocabulary import letters_of_tokens


def speech(frames: int) -> Analysis:
    """The envelope says when each step was heard."""
    time = torch.arange(frames * STEPS).float()
    return Analysis(time[:, None].expand(-1, COSINES), np.arange(frames * GATES, dtype=np.float32) + 1)


def test_letters_that_are_one_sound_are_one_token() -> None:
    assert letters_of_tokens("The light") == [1, 1, 1, 1, 1, 3, 1]
    assert letters_of_tokens("the shipping") == [2, 1, 1, 2, 1, 2, 1, 2]
    assert letters_of_tokens("assistant") == [9]


def test_words_are_anchored_where_their_first_token_is() -> None:
    lengths = letters_of_tokens("the ship")  # th e _ sh i p
    assert anchors([(0, 0.1), (4, 0.5)], lengths, 0.9) == ([0, 3, 6], [0.1, 0.5, 0.9])


def test_events_that_go_back_are_left_out() -> None:
    assert anchors([(0, 0.1), (4, 0.05), (6, 0.6)], [1] * 10, 0.9) == ([0, 6, 10], [0.1, 0.6, 0.9])


def test_each_token_has_a_frame_between_lead_and_tail() -> None:
    """Two words of three tokens: the first took four frames, the second two."""
    found = paced(speech(8), [(0, 0.0), (3, 0.32)], [1] * 6, 0.48)
    steps = found.envelope[:, 0]
    assert len(steps) == (LEAD + 6 + TAIL) * STEPS
    assert len(found.hertz) == (LEAD + 6 + TAIL) * GATES
    silent = Analysis.silence(1).envelope[0, 0]
    assert (steps[: LEAD * STEPS] == silent).all()
    assert (steps[-TAIL * STEPS :] == silent).all()
    pace = steps[LEAD * STEPS : -TAIL * STEPS].diff()
    torch.testing.assert_close(pace[1 : 3 * STEPS - 1], torch.full((3 * STEPS - 2,), 4 / 3), atol=1e-3, rtol=0)
    torch.testing.assert_close(pace[3 * STEPS : -1], torch.full((3 * STEPS - 2,), 2 / 3), atol=1e-3, rtol=0)
    assert (found.hertz[LEAD * GATES : -TAIL * GATES] > 0).all()
    assert not found.hertz[: LEAD * GATES].any()
