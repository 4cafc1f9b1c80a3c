"""Squeeze-and-excitation for Keras 3: layers, blocks and networks, on any backend."""

import importlib

from keras_se.complexity import complexity  # before any import of its module can hide it
from keras_se.config import (
    EFFICIENTNET,
    MOBILE,
    MOBILENET_V3,
    PAPER,
    PRESETS,
    SEGMENTATION_MODELS,
    SERVER,
    TIMM,
    TORCHVISION,
    SEConfig,
)
from keras_se.folding import fold
from keras_se.gate_statistics import gates
from keras_se.layers import ConcurrentSqueezeExcite, SpatialSqueezeExcite, SqueezeExcite

__version__ = "0.1.0"

__all__ = [
    "SEConfig",
    "SqueezeExcite",
    "SpatialSqueezeExcite",
    "ConcurrentSqueezeExcite",
    "PAPER",
    "MOBILE",
    "SERVER",
    "MOBILENET_V3",
    "EFFICIENTNET",
    "TORCHVISION",
    "TIMM",
    "SEGMENTATION_MODELS",
    "PRESETS",
    "complexity",
    "gates",
    "fold",
]

_MODULES = ("blocks", "models", "weights")  # imported when first asked for


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"keras_se.{name}")
    raise AttributeError(f"module 'keras_se' has no attribute {name!r}")


def __dir__():
    return sorted([*__all__, *_MODULES])
