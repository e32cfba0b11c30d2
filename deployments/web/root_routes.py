"""The routes at the root, for whoever watches over the server."""

from fastapi import APIRouter
from starlette.responses import Response

from deployments.errors import ModelUnavailableError
from deployments.web.metrics import CONTENT_TYPE
from deployments.web.schemas import HealthBody, LiveBody
from deployments.web.services import InjectedServices

router = APIRouter(tags=["root"])


@router.get("/livez")
async def livez() -> LiveBody:
    """The process answers."""
    return LiveBody()


@router.get("/readyz")
async def readyz(services: InjectedServices) -> LiveBody:
    """A model can take work."""
    if (await services.status.health()).status != "ok":
        raise ModelUnavailableError("no model is ready yet")
    return LiveBody()


@router.get("/health")
async def health(services: InjectedServices) -> HealthBody:
    """What /readyz knows, in words; 200 also while models load."""
    return await services.status.health()


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(services: InjectedServices) -> Response:
    """What Prometheus reads."""
    return Response(services.metrics.exposition(await services.status.status()), media_type=CONTENT_TYPE)
