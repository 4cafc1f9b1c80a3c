"""The Android debug bridge: how a command reaches a device, and what to do when it does not."""

import json
import os
import subprocess

from mobile.devices.base import LIMIT_S, AgentError
from mobile.devices.remote import RemoteDevice

ADVICE = "`adb devices` must list it as `device`: plug it in, and allow debugging on its screen."


class AdbDevice(RemoteDevice):
    """An Android device with a Python, such as Termux's.

    Args:
        serial: As `adb devices` lists it; None for the only one.
        python: Interpreter there.
        timeout_s: How long a job may take, unless it says so itself.
    """

    def __init__(
        self, serial: str | None, python: str | os.PathLike = "python3", timeout_s: float = LIMIT_S
    ):
        super().__init__(
            name_of(serial),
            [*command(serial), "shell", "-T", "-e", "none"],
            python,
            f"{ADVICE} Without a Python there, give `benchmark_model`.",
            timeout_s,
        )


def command(serial: str | None) -> list[str]:
    """Return the words of adb for the device of a serial number, or the only one."""
    return ["adb", *(["-s", serial] if serial else [])]


def name_of(serial: str | None) -> str:
    """Return what the user calls the device."""
    return f"adb:{serial}" if serial else "adb"


def run(arguments: list[str], limit_s: float) -> subprocess.CompletedProcess[str]:
    """Run adb; return what it did."""
    try:
        return subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
        )
    except FileNotFoundError:
        raise AgentError(
            "`adb` must be installed. Received: no such command. Install Android's platform tools "
            "(Debian: apt install adb).",
            "connect",
        ) from None
    except subprocess.TimeoutExpired:
        words = json.dumps(arguments[-1])[:100]
        raise AgentError(f"adb took longer than {limit_s:g} s for {words}.", "connect") from None
