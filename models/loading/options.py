"""What has to be known of an engine's setting when its model is loaded."""

from dataclasses import dataclass

from models.errors import InvalidRequestError


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Each slot reserves `max_positions` of cache and touches what it uses."""

    threads: int | None = None  # None: the cores this process may use
    slots: int = 8  # sequences that run together
    max_positions: int = 2048  # prompt and frames of one sequence together
    backend: str = "auto"  # "native", "torch", or whichever is there
    instructions: str | None = None  # forces the native kernels' instruction set

    def __post_init__(self) -> None:
        for name in ("slots", "max_positions"):
            if getattr(self, name) < 1:
                raise InvalidRequestError(name, f"{getattr(self, name)} is below 1")
        if self.threads is not None and self.threads < 1:
            raise InvalidRequestError("threads", f"{self.threads} is below 1")
        if self.backend not in ("auto", "native", "torch"):
            raise InvalidRequestError("backend", f"{self.backend!r} is not auto, native or torch")
