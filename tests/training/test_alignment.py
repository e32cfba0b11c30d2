"""Speech laid along its text."""

import numpy as np
import torch

from training.alignment import AHEAD, LEAD, TAIL, Aligned, Anchor, aligned, anchors, partners
from training.espeak import Sound
from training.mel import STEPS
from training.sound import COSINES, GATES, Analysis
from training.vocabulary import letters_of_tokens, sounds_of_word

SECONDS_A_FRAME = 0.08
TEXT = "a ship, shy"
SOUNDS = [
    Sound(0, 0.0, "eI"),
    *(Sound(2, 0.3, "S"), Sound(2, 0.5, "I"), Sound(2, 0.6, "p")),
    *(Sound(7, 0.7, "_:"), Sound(7, 0.9, "_")),
    *(Sound(8, 1.0, "S"), Sound(8, 1.2, "aI")),
]


def speech(frames: int) -> Analysis:
    """The envelope says when each step was heard."""
    time = torch.arange(frames * STEPS).float()
    return Analysis(time[:, None].expand(-1, COSINES), np.arange(frames * GATES, dtype=np.float32) + 1)


def test_letters_that_are_one_sound_are_together() -> None:
    assert sounds_of_word("Thoughts") == ["Th", "ough", "t", "s"]
    assert letters_of_tokens("shipping") == [2, 1, 2, 3]
    assert letters_of_tokens("assistant") == [9]


def test_vowels_go_with_vowels() -> None:
    assert partners(["th", "ough", "t"], ["T", "O:", "t"]) == [(0, 0), (1, 1), (2, 2)]
    # box: b 0 k s
    assert partners(["b", "o", "x"], ["b", "0", "k", "s"]) in ([(0, 0), (1, 1), (2, 2)], [(0, 0), (1, 1), (2, 3)])
    # are: A@
    assert partners(["a", "r", "e"], ["A@"]) == [(0, 0)]


def test_sounds_and_pauses_are_anchored() -> None:
    found = anchors(TEXT, SOUNDS, 1.4)
    seconds = {TEXT[int(one.letter) :][:2]: one.second for one in found}
    assert seconds == {"a ": 0.0, "sh": 1.0, "ip": 0.5, "p,": 0.6, ", ": 0.7, "y": 1.2, "": 1.4}
    assert found[1] == Anchor(2, 0.3)


def test_what_goes_back_is_left_out() -> None:
    found = anchors("one two six", [Sound(0, 0.1, "w"), Sound(4, 0.05, "t"), Sound(8, 0.6, "s")], 0.9)
    assert found == [Anchor(0, 0.1), Anchor(8, 0.6), Anchor(11, 0.9)]


def _times(found: Aligned) -> torch.Tensor:
    """Steps of the teacher's that are heard between the silences."""
    return found.speech.envelope[LEAD * STEPS : -TAIL * STEPS, 0]


def test_speech_that_is_slow_enough_stays_as_it_is() -> None:
    text = "one two"
    found = aligned(text, speech(30), [Sound(0, 0.0, "w"), Sound(4, 1.2, "t")], 2.4)
    assert len(found.letters) == LEAD + 30 + TAIL
    assert not found.speech.hertz[: LEAD * GATES].any()
    torch.testing.assert_close(_times(found)[:-1], torch.arange(30.0 * STEPS)[:-1], atol=1e-3, rtol=0)
    silent = Analysis.silence(1).envelope[0, 0]
    assert (found.speech.envelope[: LEAD * STEPS, 0] == silent).all()
    middles = LEAD + (np.arange(30) + 0.5)
    np.testing.assert_allclose(found.letters[LEAD:-TAIL], np.interp(middles, LEAD + np.array([0, 15, 30]), [0, 4, 7]))
    assert (found.letters[-TAIL:] == len(text)).all()


def test_speech_waits_for_its_text() -> None:
    """Two words said in no time: the second one only when its token has been read."""
    text = "xylograph x"
    found = aligned(text, speech(4), [Sound(0, 0.0, "z"), Sound(10, 0.08, "e")], 0.32)
    lengths = letters_of_tokens(text)
    last = len(lengths) - 1
    assert last > 5
    begins = int(np.argmax(found.letters > sum(lengths[:last])))
    assert begins >= last + AHEAD
    tokens = np.interp(found.letters, np.cumsum([0, *lengths]), np.arange(len(lengths) + 1))
    assert (np.floor(tokens[:-TAIL]) <= np.arange(len(tokens) - TAIL)).all()
    assert _times(found).diff().min() >= 0
    assert _times(found).diff().max() <= 1.01
