"""What the kernel tells of processes: memory and processor time. Linux only."""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")


def tells() -> bool:
    """Whether this system tells of its processes."""
    return (PROC / "self" / "status").exists()


def resident(pid: int, of: str = "VmRSS") -> float:
    """Memory of a process in MB: VmRSS now, VmHWM at most so far."""
    lines = (PROC / str(pid) / "status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return int(status[of].split()[0]) * 1024 / 1e6


def processor(pid: int) -> float:
    """Seconds of processor time that a process has used, the kernel's work for it included; 0 when it is gone."""
    try:
        told = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return 0.0
    # The program's name stands in parentheses and may hold anything.
    fields = told.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """The processes that a process has started and that are there now."""
    found = []
    for path in PROC.iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(path.name))
    return found
