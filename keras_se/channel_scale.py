"""A constant for each channel, as a Keras layer."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_se")
class ChannelScale(keras.layers.Layer):
    """Multiply each channel by a number of its own: `y = x * scale`.

    Lowering folds it into its neighbours.

    Args:
        data_format: `"channels_last"`, `"channels_first"`, or None for the setting of Keras.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = data_format or keras.config.image_data_format()

    def build(self, input_shape):
        self.scale = self.add_weight(
            name="scale", shape=(input_shape[self._axis()],), initializer="ones"
        )

    def _axis(self):
        return 1 if self.data_format == "channels_first" else -1

    def call(self, inputs):
        shape = [1] * len(inputs.shape)
        shape[self._axis()] = -1
        return ops.multiply(inputs, ops.reshape(self.scale, shape))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return super().get_config() | {"data_format": self.data_format}
