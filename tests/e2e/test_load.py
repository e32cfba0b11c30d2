"""The server under more load than it can carry: it refuses, and nothing hangs, breaks, or ends before its end."""

import asyncio
import time

import schemathesis

from benchmarks.load_client import Outcome, send
from benchmarks.load_plan import Ask, Target
from tests.deployments.fuzzing import fuzz, list_operations
from tests.e2e.server import Server

TARGET = Target("base-small-bf16", "base")
REQUESTS = 80  # more than its slots and its waiting room take
LIMIT_S = 120.0


def ask(server: Server, asks: list[Ask]) -> list[Outcome]:
    return asyncio.run(send(server.url, asks, time.monotonic(), LIMIT_S))


def test_past_what_it_can_carry_it_refuses_at_once_and_finishes_what_it_took(server: Server) -> None:
    asks = [Ask(0.0, "steady", TARGET.body(seed, 12, whole=seed % 2 == 0)) for seed in range(REQUESTS)]
    outcomes = ask(server, asks)
    assert {outcome.kind for outcome in outcomes} == {"ok", "429"}
    heard = {outcome.seed: outcome.digest for outcome in outcomes if outcome.kind == "ok"}
    refused = [outcome.seconds for outcome in outcomes if outcome.kind == "429"]
    assert len(heard) >= 30
    assert max(refused) < min(LIMIT_S, max(outcome.seconds for outcome in outcomes))
    for seed in list(heard)[:3]:
        [alone] = ask(server, [Ask(0.0, "steady", TARGET.body(seed, 12, whole=False))])
        assert alone.digest == heard[seed]


def test_every_route_of_the_running_server_answers_as_documented(server: Server) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    for operation in list_operations(schema):
        assert fuzz(operation, cases=8), operation.label
