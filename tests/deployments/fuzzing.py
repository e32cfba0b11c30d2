"""Requests that fit the OpenAPI document, nearly fit it, or do not, and what every answer to them has to be."""

import base64
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Err
from schemathesis.generation.feedback import NO_FEEDBACK
from schemathesis.schemas import APIOperation, BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.deployments.helpers import make_clip

MOST_WILD_FIELDS = 2
_CLIP = make_clip(1.0)
_BASE64_CLIP = base64.b64encode(_CLIP).decode()
# Values that are obeyed. Fields that are not here are left out of a tamed request.
_SENSIBLE: dict[str, Any] = {
    "text": "Hello.",
    "input": "Hello.",
    "model": "base-small-bf16",
    "voice": "narrator_cloned",
    "language": "english",
    "format": "pcm",
    "response_format": "opus",
    "seed": 5,
    "timeout_s": 60.0,
    "name": "berta",
    "voice_name": "anna",
    "wav_b64": _BASE64_CLIP,
    "reference_audio": _BASE64_CLIP,
    "audio_sample": _CLIP,
}
_SENSIBLE_FOR = {
    "POST /api/v1/tts/design": {"model": "voice-design-nf4", "description": "An old sailor"},
    "DELETE /api/v1/tts/voices/{voice}": {"voice": "anna"},
    "DELETE /v1/audio/voices/{voice}": {"voice": "berta"},
}
_NEEDED_FOR = {"POST /v1/audio/speech": ("voice",)}  # though the document cannot say so
# Whether drawing is slow depends on how busy the machine is.
_SLOW_TO_DRAW = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
]
Operation = APIOperation[Any, Any, Any, Any]

_AS_DOCUMENTED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def list_operations(schema: BaseSchema) -> list[Operation]:
    """Every route of a document. Raises what is wrong with the document."""
    operations: list[Operation] = []
    for result in schema.get_all_operations():
        if isinstance(result, Err):
            raise result.err()
        operations.append(result.ok())
    return operations


def fuzz(operation: Operation, cases: int) -> set[int]:
    """Ask one route `cases` times, the same each time this is called; the statuses it answered with.

    Raises an AssertionError or schemathesis' FailureGroup for a 5xx, an undocumented content type, or a body that is
    not as documented.
    """
    statuses: set[int] = set()
    limits = settings(
        max_examples=cases, derandomize=True, database=None, deadline=None, suppress_health_check=_SLOW_TO_DRAW
    )

    @limits
    @given(st.data())
    def answers_as_documented(data: st.DataObject) -> None:
        wild = data.draw(st.sampled_from(GenerationMode))
        case = data.draw(operation.as_strategy(generation_mode=wild, feedback=NO_FEEDBACK))
        tamed = wild is GenerationMode.POSITIVE and data.draw(st.booleans())
        if tamed:
            _tame(case, data)
        answer = case.call_and_validate(checks=_AS_DOCUMENTED if tamed else [*_AS_DOCUMENTED, negative_data_rejection])
        statuses.add(answer.status_code)

    answers_as_documented()
    return statuses


def _tame(case: Case[Any], data: st.DataObject) -> None:
    """Make all but a few fields sensible: what is wrong with the others is then found deeper inside."""
    sensible = {**_SENSIBLE, **_SENSIBLE_FOR.get(case.operation.label, {})}
    if case.media_type == "multipart/form-data":
        sensible["reference_audio"] = _CLIP
    if isinstance(case.body, dict):
        case.body = _tamed(case.body, sensible, data)
        for name in _NEEDED_FOR.get(case.operation.label, ()):
            case.body.setdefault(name, sensible[name])
    case.path_parameters = _tamed(case.path_parameters, sensible, data)


def _tamed(fields: dict[str, Any], sensible: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    if not fields:
        return fields
    wild = data.draw(st.sets(st.sampled_from(sorted(fields)), max_size=MOST_WILD_FIELDS))
    kept = {name: fields[name] for name in wild}
    return kept | {name: sensible[name] for name in fields if name in sensible and name not in wild}
