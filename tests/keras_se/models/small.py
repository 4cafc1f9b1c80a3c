"""Small networks for the tests of all of them."""

from keras_se import SqueezeExcite, models


def small(network, **kwargs):
    return models.build(
        network, **{"input_shape": (48, 48, 3), "classes": 5, "width": 0.5} | kwargs
    )


def se_layers(model):
    return [layer for layer in model.layers if isinstance(layer, SqueezeExcite)]
