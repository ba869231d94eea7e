"""What a model runs on: profiles of devices, and what they say of a file's time and memory."""

from smalti.devices.graph import open_graph
from smalti.devices.latency import Prediction, predict, predict_file
from smalti.devices.profile import Device, device_names, read_device

__all__ = [
    "Device",
    "Prediction",
    "device_names",
    "open_graph",
    "predict",
    "predict_file",
    "read_device",
]
