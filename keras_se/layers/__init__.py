"""Squeeze-and-excitation as Keras layers: per channel (cSE), per position (sSE), and both (scSE).

They compute with Keras convolutions and `keras.ops` only, so that whatever rewrites a model can
trace `layer.call` and meets nothing that it does not know.
"""

from keras_se.layers.channel import SqueezeExcite
from keras_se.layers.concurrent import ConcurrentSqueezeExcite
from keras_se.layers.spatial import SpatialSqueezeExcite

__all__ = ["ConcurrentSqueezeExcite", "SpatialSqueezeExcite", "SqueezeExcite"]
