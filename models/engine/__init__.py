"""The engine: one thread that schedules, runs and commits, frame by frame.

`Engine` keeps the promise of models.engine_api; `EngineOptions` is how it is set up. Stands on top of all other rooms.
"""

from models.engine.engine import Engine
from models.engine.options import ChunkPolicy, EngineOptions
from models.engine.runner import Runner

__all__ = [
    "ChunkPolicy",
    "Engine",
    "EngineOptions",
    "Runner",
]
