"""What this process has: its cores, its memory."""

from __future__ import annotations

import os
import re

from .machine import read


def pin(job: dict) -> list[int]:
    """Keep this process on as many cores as it has threads, the last ones; return them."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    allowed = sorted(os.sched_getaffinity(0))
    cores = job.get("cores") or allowed[-(job.get("threads") or 1) :]
    try:
        os.sched_setaffinity(0, cores)
    except OSError:
        return []
    return sorted(os.sched_getaffinity(0))


def memory_bytes(reset: bool = False) -> int | None:
    """Return the most memory this process has held, from now on if `reset`; None if unknown."""
    try:
        if reset:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
    except OSError:
        return None
    found = re.search(r"VmHWM:\s*(\d+) kB", read("/proc/self/status") or "")
    return int(found.group(1)) * 1024 if found else None


def limit_memory(job: dict) -> str:
    """Let a model that wants all memory fail here, before the system ends another program.

    Return in words how much it may have: by default nine tenths of what is free.
    """
    try:
        import resource

        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        used = int((read("/proc/self/statm") or "").split()[0]) * resource.getpagesize()
        meminfo = (read("/proc/meminfo") or "").split()
        free = job.get("memory_bytes") or int(meminfo[meminfo.index("MemAvailable:") + 1]) * 900
        resource.setrlimit(resource.RLIMIT_AS, (used + free, resource.RLIM_INFINITY))
        return f"{free / 1e6:.0f} MB"
    except (ImportError, OSError, ValueError, IndexError):
        return "not limited"  # not Linux, or not allowed
