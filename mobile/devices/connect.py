"""From a word of the user to a device."""

from mobile.devices import adb
from mobile.devices.local import LocalDevice
from mobile.devices.native import NativeDevice
from mobile.devices.remote import RemoteDevice
from mobile.devices.ssh import SshDevice


def connect(device="local", python=None, benchmark_model=None):
    """Return the device of that name; a device object is returned as it is.

    Args:
        device: `"local"`, `"ssh:[user@]host[:port]"`, `"adb"`, `"adb:SERIAL"`, or an object with a
            `name` and `run(job, files, update=None)`.
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
    if kind == "ssh" and rest:
        return SshDevice(rest, python or "python3")
    if kind == "adb":
        return connect_adb(rest or None, python, benchmark_model)
    if device != "local":
        raise ValueError(
            f"A device must be one of: local, ssh:[user@]host[:port], adb, adb:SERIAL. "
            f"Received: device={device!r}. For a way of your own, pass an object with `name` and "
            f"`run(job, files, update=None)`."
        )
    return LocalDevice(python) if python else LocalDevice()


def connect_adb(serial=None, python=None, native=None):
    """Return the device of a serial number, or the only one there is.

    Args:
        serial: As `adb devices` lists it.
        python: Interpreter there, such as Termux's.
        native: Path of a `benchmark_model` made for the device, to use in place of Python.
    """
    if native is not None and python is not None:
        raise ValueError(
            f"A device must be measured by Python or by `benchmark_model`. Received: "
            f"python={python!r} and benchmark_model={str(native)!r}. Give one of them."
        )
    if native is not None:
        return NativeDevice(serial, native)
    command = [*adb.command(serial), "shell", "-T", "-e", "none"]
    advice = f"{adb.ADVICE} Without a Python there, give `benchmark_model`."
    return RemoteDevice(adb.name_of(serial), command, python or "python3", advice)
