"""How fast an engine speaks and how much there is to say, measured as it goes: what predictions are made of."""

_STEPS_KEPT = 0.98  # weight of the past at each frame step: the last 50 count, 4 s of speech
_UTTERANCES_KEPT = 0.9  # weight of the past at each utterance: the last 10 count
_ASSUMED_DECODER_FACTOR = 0.15  # real-time factor of the codec decoder, until it was measured
_ASSUMED_TOKENS = 20  # the assumption counts as one utterance of so many text tokens


class Pace:
    """Written by the engine thread, read by anyone: plain numbers, each replaced whole."""

    def __init__(
        self, slots: int, seconds_per_frame: float, assumed_real_time_factor: float, assumed_frames_per_token: float
    ) -> None:
        self.seconds_per_frame = seconds_per_frame
        self._assumed_step_s = seconds_per_frame * assumed_real_time_factor  # for each sequence in it
        self._steps: list[tuple[float, float] | None] = [None] * (slots + 1)  # seconds and steps by width
        self._decoded = (seconds_per_frame * _ASSUMED_DECODER_FACTOR, 1.0)  # seconds, and frames turned into samples
        self._between_s = 0.0  # spent in steps that made no frame: the next one that does bears it
        self._spoken = (_ASSUMED_TOKENS * assumed_frames_per_token, float(_ASSUMED_TOKENS))  # frames and tokens

    def step(self, width: int, seconds: float) -> None:
        """A step that made a frame for each of `width` sequences."""
        if width == 0:
            self._between_s += seconds
            return
        total, steps = self._steps[width] or (0.0, 0.0)
        self._steps[width] = (total * _STEPS_KEPT + seconds + self._between_s, steps * _STEPS_KEPT + 1.0)
        self._between_s = 0.0

    def step_seconds(self, width: int) -> float:
        """Seconds of a frame step with `width` sequences in it.

        Of a width not seen yet: as much as the next wider one that was, else in proportion to the next narrower one,
        as if nothing were gained by going together; else what was assumed.
        """
        means = [None if entry is None else entry[0] / entry[1] for entry in self._steps]
        wider = next((mean for mean in means[width:] if mean is not None), None)
        if wider is not None:
            return wider
        for narrower in range(width - 1, 0, -1):
            mean = means[narrower]
            if mean is not None:
                return mean * width / narrower
        return self._assumed_step_s * width

    def real_time_factor(self, width: int) -> float:
        """Wall time over audio time of `width` sequences together."""
        return self.step_seconds(width) / (width * self.seconds_per_frame)

    def spoken(self, tokens: int, frames: int, cut: bool) -> None:
        """An utterance that ended; one that was cut only says that it would have been at least so long."""
        if tokens < 1 or (cut and frames < self.expected_frames(tokens)):
            return
        total, count = self._spoken
        self._spoken = (total * _UTTERANCES_KEPT + frames, count * _UTTERANCES_KEPT + tokens)

    def decoded(self, frames: int, seconds: float) -> None:
        """A call of the codec decoder."""
        total, count = self._decoded
        self._decoded = (total * _STEPS_KEPT + seconds, count * _STEPS_KEPT + frames)

    def frames_decoded_in(self, seconds: float) -> int:
        """Frames that the codec decoder turns into samples in so many seconds."""
        total, count = self._decoded
        return int(seconds * count / total)

    def expected_frames(self, tokens: float) -> float:
        """Frames that a text of so many tokens will take."""
        frames, count = self._spoken
        return tokens * frames / count
