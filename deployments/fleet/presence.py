"""Whether a model's replica runs, as Serve's controller says: asking the replica itself would wake a cold one.

For those who watch, and for them alone: no request for speech waits for the controller, which may be gone.
"""

import asyncio

from ray import serve
from ray.serve.schema import ApplicationStatusOverview, DeploymentStatusOverview

from deployments.contract import Presence
from deployments.fleet.shared_answer import SharedAnswer

FRESH_S = 0.5  # what was learnt of all models is used for so long


class PresenceWatch:
    """Presence of all models of an app, asked of the controller at most twice a second."""

    def __init__(self, app_name: str) -> None:
        self._app_name = app_name
        self._app = SharedAnswer(self._ask)

    async def of(self, model_id: str) -> Presence:
        """The presence of one model. Raises what Ray does where there is nobody to ask."""
        app = await self._app.get(FRESH_S)
        deployment = None if app is None else app.deployments.get(model_id)
        return "cold" if deployment is None else presence_of(deployment)

    async def _ask(self) -> ApplicationStatusOverview | None:
        status = await asyncio.to_thread(serve.status)
        return status.applications.get(self._app_name)


def presence_of(deployment: DeploymentStatusOverview) -> Presence:
    """What the numbers of a deployment's replicas mean for a model, of which there is one at most."""
    replicas: set[str] = {
        state for state, count in deployment.replica_states.items() if count
    }  # plain strings, in fact
    if "RUNNING" in replicas:
        return "running"
    if deployment.status in ("UNHEALTHY", "DEPLOY_FAILED"):
        return "failed"
    return "loading" if replicas & {"STARTING", "RECOVERING", "UPDATING"} else "cold"
