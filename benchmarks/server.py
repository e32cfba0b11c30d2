"""The whole server under load: `python -m benchmarks.server [--rate 4] [--seconds 20]`, `--sweep`, `--minutes 30`.

Client processes send requests over HTTP at moments drawn beforehand (a Poisson process, bursts), whatever becomes of
the answers: steady ones, bursts, clients that read slowly, clients that leave. Starts a server of its own with
embedded weights unless told otherwise. Traffic stays on the loopback interface; every run is bounded. Prints the
machine, a table, and last one line of JSON; exits with 1 where a request hung, broke, or was answered in part only.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from benchmarks.load_client import Outcome
from benchmarks.load_plan import PATTERNS, Ask, Target, mixed, plan
from benchmarks.load_run import run_load, summarize
from benchmarks.machine import describe_machine
from benchmarks.memory_watch import MemoryWatch
from benchmarks.served import Served, start_server

REPLAYED = 3
SWEEP_STEPS = 12
SWEEP_FACTOR = 1.5
WAITING_FACTOR = 2.0  # waiting has started where half the streams wait this many times as long for their first audio
PAST_FACTOR = 2.0  # the last step of a sweep, against the rate where waiting started
TOLERATED = {"ok", "left", "429", "503"}

Record = dict[str, Any]


def load(served: Served, arguments: argparse.Namespace) -> Record:
    """A mixed load on every model: what came of it, by pattern, and the memory it took."""
    seconds = arguments.seconds if arguments.minutes is None else arguments.minutes * 60
    plans = mixed(_targets(served, arguments), arguments.rate, seconds, arguments.frames, arguments.seed)
    watch = None if served.process is None else MemoryWatch(served.process)
    if watch is not None:
        watch.start()
    outcomes = run_load(served.url, plans, arguments.limit)
    memory = None if watch is None else watch.growth()
    rows = [
        {"load": pattern, **summarize([outcome for outcome in outcomes if outcome.pattern == pattern])}
        for pattern in PATTERNS
        if plans[pattern]
    ]
    rows.append({"load": "all", **summarize(outcomes)})
    replayed = replay(served, [ask for asks in plans.values() for ask in asks], outcomes, arguments.limit)
    return {"mode": "load", "rate": arguments.rate, "rows": rows, "memory": memory, "replayed": replayed}


def replay(served: Served, asks: Sequence[Ask], outcomes: Sequence[Outcome], limit_s: float) -> Record:
    """A few answered requests again, one after the other: the samples have to be those that were heard in company."""
    answered = [outcome for outcome in outcomes if outcome.kind == "ok"]
    heard = answered[:: max(1, len(answered) // REPLAYED)][:REPLAYED]
    by_seed = {ask.seed: ask for ask in asks}
    different = 0
    for outcome in heard:
        [again] = run_load(served.url, {"steady": [replace(by_seed[outcome.seed], at=0.0, pattern="steady")]}, limit_s)
        different += again.digest != outcome.digest
    return {"requests": len(heard), "different": different}


def sweep(served: Served, arguments: argparse.Namespace) -> Record:
    """Steady load on one model, faster and faster until waiting starts, and then well past that."""
    target = _targets(served, arguments)[0]
    rows: list[Record] = []
    rate = arguments.rate
    while len(rows) < SWEEP_STEPS and not (rows and _waits(rows[-1], rows[0])):
        rows.append(_step(served, target, rate, arguments))
        rate *= SWEEP_FACTOR
    reached = _waits(rows[-1], rows[0])
    waiting_starts = rows[-1]["rate"] if reached else None
    held = rows[-2] if reached and len(rows) > 1 else rows[-1]
    rows.append(_step(served, target, rows[-1]["rate"] * PAST_FACTOR, arguments))
    return {"mode": "sweep", "model": target.model, "waiting_starts": waiting_starts, "held": held, "rows": rows}


def _step(served: Served, target: Target, rate: float, arguments: argparse.Namespace) -> Record:
    asks = plan("steady", [target], rate, arguments.seconds, arguments.frames, arguments.seed)
    label = {"load": f"{rate:.2f} a second", "rate": round(rate, 2)}
    return {**label, **summarize(run_load(served.url, {"steady": asks}, arguments.limit))}


def _waits(step: Record, unloaded: Record) -> bool:
    waits = step["first_audio_s"]
    return "429" in step["kinds"] or waits is None or waits["p50"] > WAITING_FACTOR * unloaded["first_audio_s"]["p50"]


def _targets(served: Served, arguments: argparse.Namespace) -> list[Target]:
    return [target for target in served.targets() if not arguments.models or target.model in arguments.models]


def sound(record: Record) -> bool:
    """Whether every request came to an end that a client can tell from every other, and every answer was whole."""
    kinds = {kind for row in record["rows"] for kind in row["kinds"]}
    return kinds <= TOLERATED and not record.get("replayed", {}).get("different")


def table(rows: Sequence[Record]) -> str:
    """Times as p50 / p90 / p99, in seconds."""
    heads = ("load", "requests", "first audio s", "whole answer s", "audio s/s", "came of it")
    lines: list[tuple[str, ...]] = [heads]
    for row in rows:
        kinds = ", ".join(f"{count} {kind}" for kind, count in row["kinds"].items())
        times = [_times(row["first_audio_s"]), _times(row["latency_s"])]
        lines.append((row["load"], str(row["requests"]), *times, str(row["audio_s_per_s"]), kinds))
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _times(percentiles: dict[str, float] | None) -> str:
    return "-" if percentiles is None else " / ".join(f"{value:.2f}" for value in percentiles.values())


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", type=_loopback_url, help="a server that runs already, on this machine")
    parser.add_argument(
        "--weights", default="embedded", help="embedded, hub, a folder, or synthetic: full-size, random"
    )
    parser.add_argument("--process", type=int, help="with --url: id of its launcher, whose memory is to be watched")
    parser.add_argument("--models", nargs="*", default=[], help="ids of the models to start and to ask; all by default")
    parser.add_argument("--rate", type=float, default=4.0, help="requests a second; in a sweep, the slowest step's")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="how long requests are sent; in a sweep, in each step"
    )
    parser.add_argument("--minutes", type=float, help="a long mixed load, to see whether memory grows")
    parser.add_argument("--frames", type=int, default=38, help="of an utterance at most; 12.5 are a second")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds after which a request counts as hung")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sweep", action="store_true", help="find the rate where waiting starts, and go past it")
    return parser


def _loopback_url(url: str) -> str:
    if urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"):
        raise argparse.ArgumentTypeError("is not on this machine")
    return url.rstrip("/")


def main() -> None:
    """Measure and print."""
    arguments = parser().parse_args()
    machine = describe_machine()
    server: AbstractContextManager[Served] = (
        start_server(arguments.weights, arguments.models)
        if arguments.url is None
        else nullcontext(Served(arguments.url, arguments.process))
    )
    with server as served:
        record = (sweep if arguments.sweep else load)(served, arguments)
    print(f"machine: {machine}")
    print(table(record["rows"]))
    print(json.dumps(record))
    sys.exit(0 if sound(record) else 1)


if __name__ == "__main__":
    main()
