"""What the device is, as far as it tells."""

from __future__ import annotations

import datetime
import glob
import os
import platform
import re

# What Arm numbers its cores as in /proc/cpuinfo.
_ARM_PARTS = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse N1",
    "0xd0d": "Cortex-A77",
    "0xd41": "Cortex-A78",
    "0xd44": "Cortex-X1",
    "0xd46": "Cortex-A510",
    "0xd47": "Cortex-A710",
}


def reading(cores: list[int]) -> dict:
    """Read what drifts while models run: load, clock speed, temperature."""
    core = cores[0] if cores else 0
    frequency = read(f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq")
    heats = [read(path) for path in glob.glob("/sys/class/thermal/thermal_zone*/temp")]
    heats = [float(heat) / 1e3 for heat in heats if heat]
    return {
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "frequency_mhz": float(frequency) / 1e3 if frequency else None,
        "temperature_c": max(heats) if heats else None,
    }


def conditions(runtime: dict, cores: list[int], readings: list[dict]) -> dict:
    """Describe the device, and what `reading` read of it."""
    import numpy as np

    core = cores[0] if cores else 0
    names = getattr(os, "sysconf_names", {})
    pages = os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in names else None
    described = {
        "machine": platform.machine(),
        "cpu": cpu_name(read("/proc/cpuinfo") or ""),
        "runtime": runtime["name"],
        "runtime_version": runtime["version"],
        "pinned_cores": cores,
        "system": _system_name(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "governor": read(f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"),
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "model": _property_of("ro.product.model")
        or read("/proc/device-tree/model")
        or read("/sys/class/dmi/id/product_name")
        or "",
        "soc": _property_of("ro.soc.model")
        or _property_of("ro.board.platform")
        or (read("/proc/device-tree/compatible") or "").split("\0")[-1],
        "cores": os.cpu_count(),
        "memory_bytes": pages and pages * os.sysconf("SC_PAGE_SIZE"),
    }
    for name in readings[0]:
        described[name] = [r[name] for r in readings if r[name] is not None]
    return described


def cpu_name(text: str) -> str:
    """Return what the text of /proc/cpuinfo calls the processors, or what the platform does."""
    for key in ("model name", "CPU part", "Hardware"):
        found: list[str] = re.findall(rf"^{key}\s*: (.+)$", text, re.MULTILINE)
        if found:
            kinds = {kind: found.count(kind) for kind in found}
            names = {kind: _ARM_PARTS.get(kind, kind) for kind in kinds}
            if len(kinds) == 1:
                return names[found[0]]
            return " + ".join(f"{count} {names[kind]}" for kind, count in kinds.items())
    return platform.processor() or platform.machine()


def _system_name() -> str:
    """Return the system's name and version, and its kernel's."""
    android = _property_of("ro.build.version.release")
    release = re.search(r'^PRETTY_NAME="?([^"\n]+)', read("/etc/os-release") or "", re.MULTILINE)
    name = f"Android {android}, " if android else f"{release.group(1)}, " if release else ""
    return name + platform.platform()


def _property_of(name: str) -> str | None:
    """Return one of Android's system properties, or None."""
    if not os.path.exists("/system/bin/getprop"):
        return None
    import subprocess  # here, since a worker must start quickly

    run = subprocess.run(["/system/bin/getprop", name], stdout=subprocess.PIPE, check=False)
    return run.stdout.decode().strip() or None


def read(path: str) -> str | None:
    """Return a small system file's text, or None where there is none."""
    try:
        with open(path, errors="replace") as file:
            return file.read().strip("\0\n\t ")
    except OSError:
        return None
