"""What is a gated block, what only looks like one, and what it is called."""

import json

import keras
import pytest
from keras import ops

from keras_se import SEConfig, SqueezeExcite, models
from keras_se.gated_blocks import find_gated_blocks

L = keras.layers


def model_of(body, shape=(6, 6, 8)):
    x = keras.Input(shape, name="image")
    return keras.Model(x, body(L.Conv2D(8, 1, name="before")(x)))


def found_in(body, shape=(6, 6, 8)):
    return find_gated_blocks(model_of(body, shape))


def gate_of(x, gate="sigmoid"):
    s = L.GlobalAveragePooling2D(keepdims=True)(x)
    return L.Conv2D(8, 1, activation=gate)(L.Conv2D(2, 1, activation="relu")(s))


# What keras.applications calls its blocks: the first of each network has another prefix.
V3_SMALL = ["expanded_conv", *(f"expanded_conv_{i}" for i in range(3, 11))]
B0 = {1: "a", 2: "ab", 3: "ab", 4: "abc", 5: "abc", 6: "abcd", 7: "a"}  # stage to its blocks
B0 = [f"block{stage}{letter}" for stage, letters in B0.items() for letter in letters]


@pytest.mark.parametrize(
    ("network", "names"),
    [("MobileNetV3Small", V3_SMALL), ("EfficientNetB0", B0)],
)
def test_every_block_of_published_networks_is_found_by_its_name(network, names):
    inner = getattr(keras.applications, network)(weights=None, input_shape=(64, 64, 3))
    image = keras.Input((64, 64, 3))
    wrapped = keras.Model(image, inner(L.Rescaling(1 / 127.5)(image)))
    for model in (inner, wrapped):
        found = find_gated_blocks(model)
        assert [block.name for block in found.blocks] == names
        assert {block.kind for block in found.blocks} == {"cse"}
        assert not found.skipped and not any(block.reason for block in found.blocks)


def test_the_layers_of_our_networks_are_found_by_their_names():
    model = models.build("mobilenet_v3_small", input_shape=(64, 64, 3))
    names = [layer.name for layer in model.layers if isinstance(layer, SqueezeExcite)]
    assert len(names) == 9
    assert [block.name for block in find_gated_blocks(model).blocks] == names


@pytest.mark.parametrize("pool", ["avg", "max", "avg+max"])
@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid", "tanh", "relu"])
def test_our_layer_is_one_block_whatever_its_pool_and_gate(pool, gate):
    (block,) = found_in(SEConfig(pool=pool, gate=gate).layer("se")).blocks
    assert (block.name, block.kind, block.reason) == ("se", "cse", None)


def dense(x):
    s = L.Dense(2, activation="relu")(L.GlobalAveragePooling2D()(x))
    return L.Multiply(name="scaled")([x, L.Reshape((1, 1, 8))(L.Dense(8, "sigmoid")(s))])


def dense_broadcast(x):  # Multiply itself adds the axes
    s = L.Dense(2, activation="relu")(L.GlobalAveragePooling2D()(x))
    return L.Multiply(name="scaled")([L.Dense(8, "sigmoid")(s), x])


def operations(x):
    s = ops.mean(x, axis=[1, 2], keepdims=True)
    s = ops.silu(L.Conv2D(2, 1)(s))
    return ops.sigmoid(L.Conv2D(8, 1)(s)) * x


def hard_sigmoid_by_hand(x):
    s = L.ReLU()(L.Conv2D(2, 1)(L.GlobalAveragePooling2D(keepdims=True)(x)))
    s = L.ReLU(6.0)(L.Conv2D(8, 1)(s) + 3.0) * (1 / 6)
    return L.Multiply(name="scaled")([x, s])


def swish_by_hand(x):
    s = L.Conv2D(2, 1)(L.GlobalAveragePooling2D(keepdims=True)(x))
    return L.Multiply(name="scaled")([x, L.Conv2D(8, 1)(s * ops.sigmoid(s))])


def pool_of_the_whole_map(x):
    s = L.AveragePooling2D(6)(x)
    return L.Multiply()([x, L.Conv2D(8, 1, activation="tanh")(L.Conv2D(2, 1)(s))])


def both_pools_through_shared_layers(x):  # channel attention, arXiv:1807.06521
    reduce, expand = L.Dense(2, activation="relu"), L.Dense(8)
    pools = L.GlobalAveragePooling2D()(x), L.GlobalMaxPooling2D()(x)
    s = L.Add()([expand(reduce(pool)) for pool in pools])
    return L.Multiply()([x, L.Reshape((1, 1, 8))(L.Activation("sigmoid")(s))])


def one_linear_layer(x):
    return L.Multiply()([x, L.Dense(8, "hard_sigmoid")(L.GlobalAveragePooling2D()(x))])


def along_the_channels(x):  # ECA, arXiv:1910.03151
    s = L.Reshape((8, 1))(L.GlobalAveragePooling2D()(x))
    s = L.Conv1D(1, 3, padding="same", use_bias=False)(s)
    return L.Multiply()([x, L.Reshape((1, 1, 8))(ops.sigmoid(s))])


def batch_norm_between(x):
    s = L.Dense(2, use_bias=False)(L.GlobalAveragePooling2D()(x))
    s = L.Dense(8, "sigmoid")(L.Activation("relu")(L.BatchNormalization()(s)))
    return L.Multiply()([x, ops.expand_dims(ops.expand_dims(s, 1), 1)])


def axes_by_index(x):
    s = L.Dense(2, activation="relu")(ops.mean(x, axis=(1, 2)))
    return x * L.Dense(8, "sigmoid")(s)[:, None, None, :]


def mean_of_each_axis(x):
    s = ops.mean(ops.mean(x, axis=1), axis=1)
    return x * ops.reshape(L.Dense(8, "sigmoid")(L.Dense(2)(s)), (-1, 1, 1, 8))


def sum_of_flat_positions(x):
    s = ops.sum(L.Reshape((-1, 8))(x), axis=1) / 36
    return L.Multiply()([x, L.Dense(8, "sigmoid")(L.Dense(2)(s))])


def lambdas(x):
    s = L.Lambda(lambda t: ops.mean(t, axis=[1, 2], keepdims=True))(x)
    s = L.Conv2D(8, 1)(L.Conv2D(2, 1, activation="relu")(s))
    return L.Multiply()([x, L.Lambda(lambda t: ops.relu6(t + 3) / 6)(s)])


WAYS = [
    dense, dense_broadcast, operations, hard_sigmoid_by_hand, swish_by_hand,
    pool_of_the_whole_map, both_pools_through_shared_layers, one_linear_layer,
    along_the_channels, batch_norm_between, axes_by_index, mean_of_each_axis,
    sum_of_flat_positions, lambdas,
]  # fmt: skip


@pytest.mark.parametrize("body", WAYS)
def test_a_block_written_by_hand_is_found(body):
    model = model_of(body)
    found = find_gated_blocks(model)
    (block,) = found.blocks
    ((x, gate),) = block.sites
    assert not found.skipped and block.reason is None and block.axis == 3
    assert x.name == "before" and gate.shape[-1] == 8
    assert block.name in (model.layers[-1].name, *(n.path for n in found.graph.nodes))


def test_sequences_volumes_and_channels_first_are_images_too():
    for rank, shape in ((1, (9, 8)), (3, (3, 4, 5, 8))):
        x = keras.Input(shape)
        pool = getattr(L, f"GlobalAveragePooling{rank}D")
        gate = L.Dense(8, "sigmoid")(L.Dense(2)(pool(keepdims=True)(x)))
        (block,) = find_gated_blocks(keras.Model(x, L.Multiply()([x, gate]))).blocks
        assert block.axis == rank + 1
    x = keras.Input((8, 6, 6))
    (block,) = find_gated_blocks(
        keras.Model(x, SqueezeExcite(data_format="channels_first")(x))
    ).blocks
    assert block.axis == 1


class Mine(L.Layer):
    """Squeeze-and-excitation as users write it."""

    def build(self, shape):
        self.reduce, self.expand = L.Dense(2, activation="relu"), L.Dense(shape[-1], "sigmoid")
        self.reduce.build((None, 1, 1, shape[-1]))
        self.expand.build((None, 1, 1, 2))

    def call(self, x):
        return x * self.expand(self.reduce(ops.mean(x, axis=(1, 2), keepdims=True)))


class Residual(Mine):
    def call(self, x):
        return x + super().call(x)


class Both(Mine):
    def call(self, x):
        return [super().call(x), x]


class WithWeights(L.Layer):
    """The same without layers in it."""

    def build(self, shape):
        self.reduce = self.add_weight(shape=(shape[-1], 2))
        self.expand = self.add_weight(shape=(2, shape[-1]))

    def call(self, x):
        s = ops.relu(ops.matmul(ops.mean(x, axis=(1, 2)), self.reduce))
        return x * ops.sigmoid(ops.matmul(s, self.expand))[:, None, None, :]


def test_a_layer_of_the_users_is_opened():
    for kind in (Mine, WithWeights):
        (block,) = found_in(kind(name="mine")).blocks
        assert (block.name, block.reason) == ("mine", None)


@pytest.mark.parametrize(
    "layer",
    [
        Residual(name="mine"),
        lambda x: L.Add()(Both(name="mine")(x)),
        lambda x: L.Lambda(lambda t: t[0] * t[1], name="mine")([x, gate_of(x)]),
    ],
    ids=["adds", "two outputs", "reads the gate"],
)
def test_a_block_in_a_layer_that_computes_more_is_found_but_stays(layer):
    (block,) = found_in(layer).blocks
    assert block.name == "mine" and "'mine', which computes more" in block.reason


def test_a_layer_that_cannot_be_opened_stays_closed():
    class Closed(L.Layer):
        def call(self, x):
            raise RuntimeError("written for another framework")

        def compute_output_shape(self, shape):
            return shape

    assert [b.name for b in found_in(lambda x: dense(Closed()(x))).blocks] == ["scaled"]


def test_scse_has_a_gate_for_channels_and_one_for_positions_and_neither_can_go():
    channel, spatial = found_in(SEConfig(kind="scse").layer("both")).blocks
    assert (channel.name, channel.kind) == ("both/channel", "cse")
    assert "'both', which computes more" in channel.reason
    assert (spatial.name, spatial.kind) == ("both/spatial", "sse")
    assert "one for each position" in spatial.reason


def test_without_a_squeeze_there_is_no_constant_to_find():
    found = found_in(SEConfig(pool=None).layer("se"))
    assert not found.blocks and "no pool" in found.skipped["se"]


def test_a_static_gate_is_a_constant_already():
    found = found_in(SEConfig(kind="static").layer("se"))
    assert not found.blocks and found.skipped == {"se": "its gate is a constant already"}


def read_twice(x):
    gate = gate_of(x)
    return L.Add()([L.Multiply(name="scaled")([x, gate]), L.Conv2D(8, 1)(gate)])


def two_products(x):
    gate = gate_of(x)
    return L.Add()([L.Multiply(name="scaled")([x, gate]), L.Multiply(name="too")([x, gate])])


def another_tensor(x):
    y = L.Conv2D(8, 1, name="other")(x)
    return L.Multiply(name="scaled")([x, gate_of(y)])


def norm_between(x):
    return L.Multiply(name="scaled")([x, L.LayerNormalization(name="norm")(gate_of(x))])


def softmax_gate(x):
    return L.Multiply(name="scaled")([x, L.Softmax(name="shares")(gate_of(x))])


def three_linear_layers(x):
    return L.Multiply(name="scaled")([x, L.Conv2D(8, 1)(gate_of(x))])


def no_linear_layer(x):
    s = L.GlobalAveragePooling2D(keepdims=True)(x)
    return L.Multiply(name="scaled")([x, L.Activation("sigmoid")(s)])


def rows_by_channels(x):
    gate = L.Reshape((8, 1, 1))(L.Dense(8, "sigmoid")(L.Dense(2)(L.GlobalAveragePooling2D()(x))))
    return L.Multiply(name="scaled")([x, gate])


def one_number_an_image(x):
    s = L.Dense(2)(L.GlobalAveragePooling2D(keepdims=True)(x))
    return L.Multiply(name="scaled")([x, L.Dense(1, "sigmoid")(s)])


LOOK_ALIKES = [
    (read_twice, "its gate is read 2 times"),
    (two_products, "its gate is read 2 times"),
    (another_tensor, "pools 'other', and multiplies 'before'"),
    (norm_between, "'norm' of class LayerNormalization stands between"),
    (softmax_gate, "'shares' of class Softmax stands between"),
    (three_linear_layers, "3 linear layers"),
    (no_linear_layer, "0 linear layers"),
    (one_number_an_image, "its gate has 1 channels, where 8"),
    (rows_by_channels, "does not lie along the channels"),
]


@pytest.mark.parametrize(("body", "reason"), LOOK_ALIKES)
def test_what_only_looks_like_a_block_is_left_alone_and_named(body, reason):
    found = found_in(body, (8, 8, 8))
    assert not found.blocks
    assert reason in found.skipped["scaled"]


def test_a_gate_that_is_an_output_is_read_twice():
    x = keras.Input((6, 6, 8))
    gate = gate_of(x)
    found = find_gated_blocks(keras.Model(x, [L.Multiply(name="scaled")([x, gate]), gate]))
    assert not found.blocks and "read 2 times" in found.skipped["scaled"]


def test_a_gate_of_a_second_input_is_none():
    x, condition = keras.Input((6, 6, 8)), keras.Input((1, 1, 8), name="condition")
    mixed = L.Add()([gate_of(x), condition])
    found = find_gated_blocks(keras.Model([x, condition], L.Multiply(name="scaled")([x, mixed])))
    assert "an input of the model stands between" in found.skipped["scaled"]
    plain = keras.Model([x, condition], L.Multiply()([x, condition]))
    assert not find_gated_blocks(plain).skipped


@pytest.mark.parametrize(
    "body",
    [
        lambda x: x * ops.sigmoid(x),
        lambda x: x * ops.relu6(x + 3.0) / 6.0,
        lambda x: L.Conv2D(8, 1)(x) * ops.sigmoid(L.Conv2D(8, 1)(x)),
        lambda x: (s := L.Dense(4)(L.GlobalAveragePooling2D()(x))) * ops.sigmoid(s),
    ],
    ids=["swish", "hard swish", "gated linear unit", "swish behind the pool"],
)
def test_activations_are_no_blocks(body):
    found = found_in(body)
    assert not found.blocks and not found.skipped


def test_blocks_on_maps_of_one_position_are_found():
    assert [b.name for b in found_in(dense, (1, 1, 8)).blocks] == ["scaled"]


def test_a_shared_layer_is_one_block_a_call_and_a_shared_model_one_with_two_sites():
    layer = SqueezeExcite(name="se")
    assert [b.name for b in found_in(lambda x: layer(layer(x))).blocks] == ["se", "se_1"]
    inner = model_of(SqueezeExcite(name="se"), (6, 6, 8))
    (block,) = found_in(lambda x: inner(inner(x))).blocks
    assert block.name == "se" and len(block.sites) == 2


def test_blocks_of_one_name_in_two_models_keep_the_models_names():
    left, right = (
        keras.Model(x := keras.Input((6, 6, 8)), SqueezeExcite(name="se")(x), name=name)
        for name in ("left", "right")
    )
    names = [b.name for b in found_in(lambda x: L.Add()([left(x), right(x)])).blocks]
    assert names == ["left/se", "right/se"]


def test_looking_leaves_the_model_as_it_was():
    model = model_of(lambda x: SqueezeExcite(name="se")(dense(x)))
    before = json.dumps(model.get_config(), default=str)
    calls = [len(layer._inbound_nodes) for layer in model.layers]
    find_gated_blocks(model)
    assert json.dumps(model.get_config(), default=str) == before
    assert [len(layer._inbound_nodes) for layer in model.layers] == calls


def test_a_subclassed_model_is_refused():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(TypeError, match="functional"):
        find_gated_blocks(Subclassed())
