"""What a file can be converted to."""

from __future__ import annotations

SCHEMES = ("int8", "float32", "float16", "weight_only", "dynamic", "int16x8")
CALIBRATED = ("int8", "int16x8")  # those that find ranges from images

IO_TYPES = ("int8", "uint8", "float32")
