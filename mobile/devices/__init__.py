"""Where a file runs: here, over ssh, over adb. The agent is what runs there."""

from mobile.devices.base import AgentError, Answer, Device, checked
from mobile.devices.connect import connect
from mobile.devices.inference import activations, pack, partitions, predict, probe
from mobile.devices.local import LocalDevice

__all__ = [
    "AgentError",
    "Answer",
    "Device",
    "LocalDevice",
    "activations",
    "checked",
    "connect",
    "pack",
    "partitions",
    "predict",
    "probe",
]
