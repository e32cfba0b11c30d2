"""Models as Ray Serve has them: the way to each through its handle, and whether it is there.

ServeModelClient speaks to a model, PresenceWatch says which are loaded, SharedAnswer asks once for many.
"""

from deployments.fleet.model_client import ServeModelClient
from deployments.fleet.presence import PresenceWatch
from deployments.fleet.shared_answer import SharedAnswer

__all__ = ["PresenceWatch", "ServeModelClient", "SharedAnswer"]
