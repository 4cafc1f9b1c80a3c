"""Squeeze-and-excitation for Keras 3: layers, blocks and networks, on any backend."""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from keras_se.backends import advice

try:
    importlib.import_module("keras")
except (ModuleNotFoundError, ValueError) as error:
    raise ImportError(advice(error)) from None

from keras_se.config import (
    EFFICIENTNET,
    MOBILE,
    MOBILENET_V3,
    PAPER,
    PRESETS,
    SEGMENTATION_MODELS,
    SERVER,
    STATIC,
    TIMM,
    TORCHVISION,
    SEConfig,
)
from keras_se.counting import complexity
from keras_se.folding import fold
from keras_se.gate_statistics import gates
from keras_se.layers import (
    ChannelScale,
    ConcurrentSqueezeExcite,
    SpatialSqueezeExcite,
    SqueezeExcite,
    StaticSqueezeExcite,
)

if TYPE_CHECKING:  # for editors and type checkers, what __getattr__ imports
    from keras_se import blocks as blocks
    from keras_se import models as models
    from keras_se import weights as weights

__version__ = "0.1.0"

__all__ = [
    "SEConfig",
    "SqueezeExcite",
    "SpatialSqueezeExcite",
    "ConcurrentSqueezeExcite",
    "StaticSqueezeExcite",
    "ChannelScale",
    "PAPER",
    "MOBILE",
    "SERVER",
    "MOBILENET_V3",
    "EFFICIENTNET",
    "TORCHVISION",
    "TIMM",
    "SEGMENTATION_MODELS",
    "STATIC",
    "PRESETS",
    "complexity",
    "gates",
    "fold",
]

_MODULES = ("blocks", "models", "weights")  # imported when first asked for


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return importlib.import_module(f"keras_se.{name}")
    raise AttributeError(f"module 'keras_se' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
