"""The Android debug bridge: how a command reaches a device, and what to do when it does not."""

import json
import subprocess

from mobile.devices.base import AgentError

ADVICE = "`adb devices` must list it as `device`: plug it in, and allow debugging on its screen."


def command(serial):
    """Return the words of adb for the device of a serial number, or the only one."""
    return ["adb", *(["-s", serial] if serial else [])]


def name_of(serial):
    """Return what the user calls the device."""
    return f"adb:{serial}" if serial else "adb"


def run(arguments, limit_s):
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
