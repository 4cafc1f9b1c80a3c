"""The .tflite file: read, write, and what is in it. No runtime and no TensorFlow is loaded."""

from mobile.tflite.artifact import Artifact, Preprocessing
from mobile.tflite.content import content_of
from mobile.tflite.file import Flatbuffer, Operator, Subgraph, Tensor, read, write_metadata
from mobile.tflite.integer_check import check_int8
from mobile.tflite.partitions import count_partitions, delegated
from mobile.tflite.tensor import TensorSpec

__all__ = [
    "Artifact",
    "Flatbuffer",
    "Operator",
    "Preprocessing",
    "Subgraph",
    "Tensor",
    "TensorSpec",
    "check_int8",
    "content_of",
    "count_partitions",
    "delegated",
    "read",
    "write_metadata",
]
