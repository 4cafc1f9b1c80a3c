"""Squeeze-and-excitation as Keras layers.

By channel (cSE), by position (sSE), both (scSE), and by channel with a learned constant (static).

They compute with Keras convolutions and `keras.ops` only, so that whatever rewrites a model can
trace `layer.call` and meets nothing that it does not know.
"""

from keras_se.layers.channel import SqueezeExcite
from keras_se.layers.concurrent import ConcurrentSqueezeExcite
from keras_se.layers.scale import ChannelScale
from keras_se.layers.spatial import SpatialSqueezeExcite
from keras_se.layers.static import StaticSqueezeExcite

__all__ = [
    "ChannelScale",
    "ConcurrentSqueezeExcite",
    "SpatialSqueezeExcite",
    "SqueezeExcite",
    "StaticSqueezeExcite",
]
