"""The load generator against a server that misbehaves in every way it has to tell apart."""

import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter

import pytest

from benchmarks.load_client import Outcome, send
from benchmarks.load_plan import BURST, SHARES, Ask, Pattern, Target, mixed, plan
from benchmarks.load_run import run_load, summarize
from benchmarks.memory_watch import MemoryWatch
from benchmarks.processes import MIB, Usage, process_tree, usages
from deployments.web.audio_encoder import wav_header

TARGET = Target("base-small-bf16", "base")
LIMIT_S = 1.0
SAMPLES = bytes(range(96)) * 40
WHOLE = wav_header(24_000, len(SAMPLES)) + SAMPLES


def answer(status: str, content: bytes, *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", "Connection: close", *headers])
    return f"{head}\r\n\r\n".encode() + content


def chunked(*pieces: bytes, ended: bool = True) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head + body + (b"0\r\n\r\n" if ended else b"")


def serve_once(said: bytes | None, pattern: Pattern, whole: bool) -> Outcome:
    """What one client process makes of a server that says `said`, or nothing (None)."""
    outcomes: list[Outcome] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-l"))
        assert "input" in json.loads(await reader.readexactly(length))
        if said is None:
            await asyncio.sleep(60)
        writer.write(said or b"")
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ask = Ask(0.0, pattern, TARGET.body(1, 5, whole))
        outcomes.extend(await send(url, [ask], time.monotonic(), LIMIT_S))
        server.close()

    asyncio.run(main())
    return outcomes[0]


DURATION = f"X-Audio-Duration: {len(SAMPLES) / 48_000:.3f}"


@pytest.mark.parametrize(
    ("said", "pattern", "whole", "kind"),
    [
        (answer("200 OK", WHOLE, DURATION), "steady", True, "ok"),
        (answer("200 OK", WHOLE[:-2], DURATION), "steady", True, "short"),
        (answer("200 OK", WHOLE, "X-Audio-Duration: 9.000"), "steady", True, "short"),
        (chunked(SAMPLES, SAMPLES), "steady", False, "ok"),
        (chunked(), "steady", False, "short"),
        (chunked(SAMPLES, ended=False), "steady", False, "broken"),
        (chunked(SAMPLES, SAMPLES), "leaving", False, "left"),
        (answer("429 Too Many Requests", b"{}", "Retry-After: 7"), "steady", True, "429"),
        (answer("429 Too Many Requests", b"{}", "Retry-After: 1000"), "steady", True, "429 without Retry-After"),
        (answer("503 Service Unavailable", b"{}"), "steady", False, "503 without Retry-After"),
        (answer("500 Internal Server Error", b"{}"), "steady", True, "500"),
        (b"", "steady", True, "connection"),
        (None, "steady", True, "hung"),
    ],
)
def test_each_end_of_a_request_is_told_apart(said: bytes | None, pattern: Pattern, whole: bool, kind: str) -> None:
    outcome = serve_once(said, pattern, whole)
    assert outcome.kind == kind
    assert (outcome.digest is not None) == (kind == "ok")
    assert outcome.seconds < 2 * LIMIT_S
    if kind == "ok":
        assert outcome.audio_s == pytest.approx((1 if whole else 2) * len(SAMPLES) / 48_000)
        assert (outcome.first_audio_s is None) == whole


def test_each_plan_has_a_process_of_its_own() -> None:
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{refusing.getsockname()[1]}"
        plans = mixed([TARGET], 20.0, 0.5, 5, seed=0)
        outcomes = run_load(url, plans, LIMIT_S)
    assert Counter(outcome.kind for outcome in outcomes) == {"connection": sum(map(len, plans.values()))}
    assert {outcome.pattern for outcome in outcomes} == {pattern for pattern, asks in plans.items() if asks}


def test_a_plan_is_drawn_beforehand_and_keeps_its_rate() -> None:
    plans = mixed([TARGET], 10.0, 200.0, 38, seed=1)
    assert plans == mixed([TARGET], 10.0, 200.0, 38, seed=1)
    assert plans != mixed([TARGET], 10.0, 200.0, 38, seed=2)
    for pattern, share in SHARES.items():
        assert len(plans[pattern]) == pytest.approx(10 * 200 * share, rel=0.25)
        assert all(0 <= ask.at < 200 for ask in plans[pattern])
    seeds = [ask.seed for asks in plans.values() for ask in asks]
    assert len(set(seeds)) == len(seeds)
    moments = Counter(ask.at for ask in plan("burst", [TARGET], 10.0, 50.0, 38, 0))
    assert set(moments.values()) == {BURST}


def test_figures_are_of_answered_requests() -> None:
    outcomes = [Outcome("steady", seed, "ok", seed, 2.0, 0.5, 3.0) for seed in range(9)]
    figures = summarize([*outcomes, Outcome("steady", 9, "429", 9.0, 0.1)])
    assert figures["kinds"] == {"429": 1, "ok": 9}
    assert (figures["latency_s"]["p50"], figures["first_audio_s"]["p99"]) == (2.0, 0.5)
    assert figures["refused_after_s"]["p50"] == 0.1
    assert figures["audio_s_per_s"] == pytest.approx(27 / 10, abs=0.01)


def test_growth_is_seen_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = itertools.count(100 * MIB, MIB)

    def next_usages(_: int) -> list[Usage]:
        return [Usage(1, "leaking", next(sizes), 0.0), Usage(2, "steady", 50 * MIB, 0.0)]

    monkeypatch.setattr("benchmarks.memory_watch.usages", next_usages)
    watch = MemoryWatch(1, every_s=0.01)
    watch.start()
    watch.join(0.3)
    memory = watch.growth()
    assert memory["start_mib"] == 150
    assert memory["slope_mib_a_minute"] > 60
    assert memory["grown_mib"]["leaking"] > 0 == memory["grown_mib"]["steady"]
    assert watch.peak() == {"leaking": (memory["peak_mib"] - 50) * MIB, "steady": 50 * MIB}


def test_a_process_tree_is_named_and_weighed() -> None:
    ballast = "x = bytearray(b'1') * (50 << 20); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", ballast], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        tree = process_tree(os.getpid())
        [usage] = usages(child.pid)
        child.communicate(b"\n")
    assert child.pid in tree
    assert tree[child.pid].startswith("python")
    assert usage.name == tree[child.pid]
    assert 50 * MIB < usage.proportional_bytes < 90 * MIB
