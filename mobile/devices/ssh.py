"""Devices reached through the system's own ssh, with the user's own configuration and keys."""

import os
import re

from mobile.devices.base import LIMIT_S
from mobile.devices.remote import RemoteDevice

# No questions, and a peer that is gone is noticed within half a minute.
_OPTIONS = ("BatchMode=yes", "ConnectTimeout=20", "ServerAliveInterval=10", "ServerAliveCountMax=3")
_DESTINATION = re.compile(
    r"(?P<user>[^@\s]+@)?(?P<host>\[[0-9a-fA-F:.%\w]+\]|[^-\[\]:@\s][^\[\]:@\s]*)(:(?P<port>\d+))?"
)


class SshDevice(RemoteDevice):
    """A machine with an ssh server and a Python.

    Args:
        destination: `[user@]host[:port]`; a host of the user's ssh configuration as well.
        python: Interpreter there.
        timeout_s: How long a job may take, unless it says so itself.
    """

    def __init__(
        self, destination: str, python: str | os.PathLike = "python3", timeout_s: float = LIMIT_S
    ):
        command = arguments(destination)
        words = " ".join(command[2 + 2 * len(_OPTIONS) :])
        super().__init__(
            f"ssh:{destination}",
            command,
            python,
            f"Try `ssh -o BatchMode=yes {words} true` in a terminal.",
            timeout_s,
        )


def arguments(destination: str) -> list[str]:
    """Return the argument list of ssh, to which the command for the device is appended.

    >>> arguments("pi@board:2222")[-4:]
    ['-p', '2222', '--', 'pi@board']
    """
    parts = _DESTINATION.fullmatch(destination)
    if not parts:
        raise ValueError(
            f"An ssh device must be ssh:[user@]host[:port]. Received: 'ssh:{destination}'. "
            f"Give anything else, such as a jump host, in ~/.ssh/config."
        )
    options = [word for option in _OPTIONS for word in ("-o", option)]
    port = ["-p", parts["port"]] if parts["port"] else []
    return ["ssh", "-T", *options, *port, "--", (parts["user"] or "") + parts["host"].strip("[]")]
