"""The exception tree of everything that computes. `deployments/errors.py` maps it to HTTP statuses."""


class SpeechError(Exception):
    """Root of every error this project raises on purpose."""


class InvalidRequestError(SpeechError):
    """A request that can never succeed as it stands. `field` names the offending field of the request."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message

    def __reduce__(self) -> tuple[type["InvalidRequestError"], tuple[str, str]]:
        """Pickled from what it is made of: it crosses processes."""
        return type(self), (self.field, self.message)


class CheckpointError(SpeechError):
    """A checkpoint that is missing, incomplete, misshapen or not of a supported architecture."""


class WeightsUnavailableError(CheckpointError):
    """Weights that could not be fetched from where the configuration says they are."""


class EngineClosedError(SpeechError):
    """The engine is shutting down or has died; nothing was computed."""


class GenerationError(SpeechError):
    """One sequence failed while it was being computed; the others were not touched."""


class OverloadedError(SpeechError):
    """Too much is waiting already. `retry_after_s` is when another try is predicted to be accepted."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type["OverloadedError"], tuple[str, float]]:
        """Pickled from what it is made of: it crosses processes."""
        return type(self), (self.message, self.retry_after_s)


class OutOfMemoryError(SpeechError):
    """There was no memory left for this request beside the others that run; a later try may find some."""


class RequestTooLargeError(SpeechError):
    """The request does not fit into the memory there is, even alone."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed; torch says so with a RuntimeError."""
    signs = ("can't allocate memory", "std::bad_alloc")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)
    )
