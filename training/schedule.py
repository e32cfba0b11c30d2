"""How fast to learn when."""

_WARMUP = 100  # steps
_DECLINE = 0.4  # the last part of a training, in which the rate falls


def rate(step: int, steps: int) -> float:
    """Share of the highest rate at a step of `steps`: warm-up, constant, linear decline."""
    return min(1.0, (step + 1) / _WARMUP, (steps - step) / (_DECLINE * steps))
