"""The process of one model: the engine, what is read to it, and its memory. Imported by deployments/app.py alone.

ModelReplica is what Ray makes; ModelServer is the same without a process of its own.
"""

from deployments.replica.model_server import EngineFactory, ModelServer, load_configured_engine
from deployments.replica.process import ModelReplica

__all__ = ["EngineFactory", "ModelReplica", "ModelServer", "load_configured_engine"]
