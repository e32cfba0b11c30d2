"""A process and everything below it: what each takes."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """A process at a moment."""

    pid: int
    name: str
    pss: int  # bytes; pages that n processes share count one n-th
    cpu_s: float  # since it began


def processes_of(root: int) -> list[Usage]:
    """`root` and its descendants that still live."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        if (fields := _fields(path)) is not None:
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, left = list[Usage](), [root]
    while left:
        pid = left.pop()
        left += children.get(pid, [])
        if (usage := _usage(pid)) is not None:
            found.append(usage)
    return found


def _fields(stat: Path) -> list[str] | None:
    """/proc/PID/stat after the name, which may hold anything; None where the process is gone."""
    try:
        return stat.read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _usage(pid: int) -> Usage | None:
    directory = Path("/proc") / str(pid)
    try:
        rollup = dict(line.split()[:2] for line in (directory / "smaps_rollup").read_text().splitlines()[1:])
        command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        fields = _fields(directory / "stat")
    except OSError:
        return None
    if fields is None or "Pss:" not in rollup:
        return None
    return Usage(pid, _short(command), int(rollup["Pss:"]) * 1024, (int(fields[11]) + int(fields[12])) / _TICKS)


def _short(command: str) -> str:
    """`ray::ServeController`, or the program and what it runs."""
    words = command.split()
    if not words or words[0].startswith("ray::"):
        return words[0] if words else "?"
    return " ".join(Path(word).name for word in words[:4] if not word.startswith("-"))
