"""Building blocks with squeeze-and-excitation (SE), as functions on tensors.

    x = blocks.inverted_residual(x, 24, expanded=96, se=keras_se.MOBILE, name="block_1")

What they share:

- `se` is an `SEConfig` or None; None builds the same block without SE.
- `name` is a prefix: layers are called `NAME_conv`, `NAME_bn`, `NAME_act`, `NAME_se`, ..., those
  of a block's second convolution `NAME_2_conv`, and so on.
- `**options` go to every `conv_bn` and `depthwise_bn` of the block: `padding`, `epsilon`,
  `momentum`, `kernel_initializer`, `use_bias`, `batch_norm`.
- Activations are names of `keras.activations`, or None.
- The data format is that of Keras, `keras.config.image_data_format()`.

`se.placement` says where SE stands; each block lists the places that it has, and refuses others:

- `"standard"`: where the block's paper has it. Blocks without a shortcut have this one alone.
- `"pre"`, `"post"`, `"identity"`: before the branch; after the sum and its activation; on the
  shortcut (Hu et al., 2018, arXiv:1709.01507, section 6.5).
- `"conv3x3"`: after the 3x3 convolution (there too).
- `"expanded"`: after an inverted residual's depthwise convolution, which is its standard.
- `"projected"`: on an inverted residual's narrow tensor, before the sum.
"""

from keras_se.blocks.parts import conv_bn, depthwise_bn, pool, squeeze_excite
from keras_se.blocks.plain import inception_module, separable_block, unet_decoder, vgg_block
from keras_se.blocks.residual import (
    basic_block,
    bottleneck_block,
    inverted_residual,
    shuffle_channels,
    shuffle_unit,
)

__all__ = [
    "squeeze_excite",
    "conv_bn",
    "depthwise_bn",
    "pool",
    "separable_block",
    "vgg_block",
    "inception_module",
    "unet_decoder",
    "basic_block",
    "bottleneck_block",
    "inverted_residual",
    "shuffle_unit",
    "shuffle_channels",
]
