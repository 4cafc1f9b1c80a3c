"""From a word of the user to a device."""

import os

from mobile.devices.adb import AdbDevice
from mobile.devices.base import Device
from mobile.devices.local import LocalDevice
from mobile.devices.native import NativeDevice
from mobile.devices.ssh import SshDevice

#: The words that `connect` takes; the help of the command line reads them here.
DEVICES = ("local", "ssh:[user@]host[:port]", "adb[:serial]")


def connect(
    device: str | Device = "local",
    python: str | os.PathLike | None = None,
    benchmark_model: str | os.PathLike | None = None,
) -> Device:
    """Return the device of that name; a device object is returned as it is.

    Args:
        device: One of `DEVICES`, or an object with a `name` and `run(job, files, update=None)`.
        python: Python interpreter on the device, where another than the usual one is meant.
        benchmark_model: Path, on this machine, of TFLite's native tool for an Android device.

    >>> connect("local").name
    'local'
    """
    if not isinstance(device, str):
        return device
    kind, _, rest = device.partition(":")
    if benchmark_model is not None and kind != "adb":
        raise ValueError(
            f"`benchmark_model` must go with an adb device. Received: device={device!r}. "
            f"Leave it out: there the agent runs under Python."
        )
    there = "python3" if python is None else python
    if kind == "ssh" and rest:
        return SshDevice(rest, there)
    if kind == "adb":
        if benchmark_model is None:
            return AdbDevice(rest or None, there)
        if python is None:
            return NativeDevice(rest or None, benchmark_model)
        raise ValueError(
            f"A device must be measured by Python or by `benchmark_model`. Received: "
            f"python={str(python)!r} and benchmark_model={str(benchmark_model)!r}. Give one of "
            f"them."
        )
    if device != "local":
        raise ValueError(
            f"A device must be one of: {', '.join(DEVICES)}. "
            f"Received: device={device!r}. For a way of your own, pass an object with `name` and "
            f"`run(job, files, update=None)`."
        )
    return LocalDevice() if python is None else LocalDevice(python)
