"""A model of one layer after another, to count."""

import keras


def model_of(*layers, shape=(8, 8, 4)):
    x = image = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return keras.Model(image, x)
