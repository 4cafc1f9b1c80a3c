"""A supernet is every network of its search space, and tells them apart."""

import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

import keras_se
from keras_se import SEConfig, models
from keras_se.blocks.residual import PLACES
from mobile import data
from mobile.pipeline import training
from mobile.tuning.search_space import SearchSpace
from mobile.tuning.supernet import Score, Supernet

ROOT = pathlib.Path(__file__).parents[3]
SHAPE, WIDTH, CLASSES = (32, 32, 3), 0.35, 10
SPACES = {
    "mobilenet_v2": {},
    "mobilenet_v3_small": {},
    "resnet18": {"kinds": ("sse", "cse"), "places": PLACES},  # the standard one among them
    "mobilenet_v1": {"kinds": ("static", "cse")},
}


@pytest.fixture(scope="module")
def digits():
    loaded = data.load(size=32)
    return loaded.x_train[:96], loaded.y_train[:96]


def supernet_of(network, seed=0):
    space = SearchSpace.of(network, **SPACES[network])
    width = 0.1 if network == "resnet18" else WIDTH
    made = Supernet.build(space, SHAPE, CLASSES, width, seed)
    randomize(made.model)
    return made, width


def randomize(model):
    """Weights of which every gate does something: kernels as they are, all else by chance."""
    draw = np.random.default_rng(5)
    for weight in model.trainable_variables:
        if len(weight.shape) == 1 or "se_" in weight.path:
            weight.assign(weight.numpy() + draw.normal(0, 0.5, weight.shape))


@pytest.fixture(scope="module", params=SPACES)
def supernet(request):
    return supernet_of(request.param)


@pytest.fixture(scope="module")
def small():
    return supernet_of("mobilenet_v3_small")[0]


def weights_in(supernet, name, se):
    """Those of a layer of the plain network, found in the supernet by its name and variant."""
    for layer in supernet.model.layers:
        if layer.name == name:
            return layer.get_weights()
        if se is not None and layer.name.startswith(f"{name}_"):
            for (_, variant), gate in zip(layer.variants, layer.layers, strict=True):
                if variant == se:
                    return gate.get_weights()
    raise AssertionError(f"no {name} of {se} in the supernet")


def plain_twin(supernet, width, configuration):
    """The network that `build` makes, with the supernet's weights, without dropout."""
    network = dataclasses.replace(models.find(supernet.space.network), dropout=0.0)
    model = models.build(network, configuration, SHAPE, CLASSES, width, classifier_activation=None)
    at = {place.layer: configuration[place.row][place.block] for place in models.places(network)}
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(weights_in(supernet, layer.name, at.get(layer.name)))
    return model


def answers(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs, training=True))


def told(supernet, images, configuration):
    row = supernet._row(configuration)
    return supernet._logits(images, row)


def test_with_one_choice_a_block_it_is_the_network_that_build_makes(supernet, digits):
    net, width = supernet
    images, space = digits[0][:16].astype("float32"), net.space
    if space.network == "mobilenet_v3_small":
        wanted = [space.nowhere, *map(space.everywhere, range(1, 6))]
    else:  # each choice somewhere, and other ones in the same blocks
        sizes = [len(block) for block in space.blocks]
        turns = ([(i + half * n // 2) % n for i, n in enumerate(sizes)] for half in (0, 1))
        wanted = [space.configuration(numbers) for numbers in turns]
    found = []
    for configuration in wanted:
        expected = answers(plain_twin(net, width, configuration), images)
        found.append(told(net, images, configuration))
        assert np.isfinite(expected).all() and expected.std() > 1e-3
        np.testing.assert_allclose(found[-1], expected, rtol=1e-4, atol=1e-4 * abs(expected).max())
    for one, other in itertools.pairwise(found):
        assert abs(one - other).max() > 1e-3  # or the switches would prove nothing


def test_a_score_is_the_cross_entropy_and_accuracy_of_mixed_batches(small, digits):
    images, labels = digits
    configuration = small.space.everywhere(1)
    found = small.score(configuration, images, labels)
    # 96 images are one batch, of which BatchNorm takes its statistics, in whatever order.
    logits = answers(plain_twin(small, WIDTH, configuration), images.astype("float32"))
    truth = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    assert found.loss == pytest.approx(float(np.mean(truth)), rel=1e-4)
    assert found.accuracy == np.mean(logits.argmax(axis=1) == labels)
    assert Score.from_json(found.to_json()) == found


def test_sorted_images_are_scored_as_mixed_ones(small, digits, monkeypatch):
    """Batches of one class each would give BatchNorm other statistics."""
    from mobile.tuning import supernet as module

    monkeypatch.setattr(module, "_PASS", 32)
    seen = []
    monkeypatch.setattr(small, "_logits", lambda x, row: seen.append(x) or np.zeros((len(x), 10)))
    order = np.argsort(digits[1], kind="stable")
    small.score(small.space.nowhere, digits[0][order], digits[1][order])
    assert [len(part) for part in seen] == [32, 32, 32]
    by_class = {part.tobytes(): label for part, label in zip(*digits, strict=True)}
    assert all(len({by_class[image.tobytes()] for image in part}) > 5 for part in seen)


def test_scoring_changes_nothing_and_is_the_same_again(small, digits):
    before = small.model.get_weights()
    first = small.score(small.space.everywhere(2), *digits)
    other = small.score(small.space.everywhere(5), *digits)
    assert small.score(small.space.everywhere(2), *digits) == first != other
    for old, new in zip(before, small.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


TRAINING = {"epochs": 8, "batch": 16, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def trained(digits):
    """A supernet before and after training, and what was seen of that."""
    net = Supernet.build(SearchSpace.of("resnet18"), SHAPE, CLASSES, 0.1)
    seen = types.SimpleNamespace(net=net, first=net.model.get_weights(), numbers=[], steps=[])
    seen.before = [net.score(net.space.everywhere(i), *digits).loss for i in range(4)]
    row = net._row
    net._row = lambda taken: seen.numbers.append(np.array(net.space.numbers(taken))) or row(taken)
    seen.history = net.train(*digits, **TRAINING, watch=lambda *told: seen.steps.append(told[:3]))
    net._row = row
    return seen


def test_an_epoch_takes_the_steps_of_an_ordinary_one(trained):
    # 96 images by 16 are 6 steps.
    assert trained.steps == [(i // 6, i + 1, 48) for i in range(48)]
    assert int(trained.net.model.optimizer.iterations) == 48


def test_steps_have_se_everywhere_nowhere_and_twice_by_chance(trained):
    everywhere, nowhere, *rest = (trained.numbers[i::4] for i in range(4))
    assert all((each > 0).all() for each in everywhere)
    assert not any(each.any() for each in nowhere)
    for part in (everywhere, *rest):
        assert len({tuple(each) for each in part}) > 8  # of 12


def test_every_choice_learns(trained, digits):
    net = trained.net
    after = [net.score(net.space.everywhere(i), *digits).loss for i in range(4)]
    assert all(new < old - 0.3 for old, new in zip(trained.before, after, strict=True))
    for old, new in zip(trained.first, net.model.weights, strict=True):
        assert np.array_equal(old, new) != new.trainable, new.path


@pytest.mark.slow
def test_training_follows_its_seed(trained, digits):
    again = Supernet.build(trained.net.space, SHAPE, CLASSES, 0.1)
    history = again.train(*digits, **TRAINING)
    assert [each.loss for each in history] == [each.loss for each in trained.history]


def test_weights_come_back_from_their_file(small, digits, tmp_path):
    path = small.save(tmp_path / "supernet.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["supernet.npz"]
    again = Supernet.build(small.space, SHAPE, CLASSES, WIDTH, seed=7)
    configuration = small.space.everywhere(3)
    assert again.score(configuration, *digits) != small.score(configuration, *digits)
    again.load(path)
    assert again.score(configuration, *digits) == small.score(configuration, *digits)


JAX = """
import sys
from mobile import data
from mobile.tuning.search_space import SearchSpace
from mobile.tuning.supernet import Supernet

loaded = data.load(size=32)
x, y = loaded.x_train[:96], loaded.y_train[:96]
net = Supernet.build(SearchSpace.of("resnet18"), (32, 32, 3), 10, 0.1)
net.load(sys.argv[1])
print([net.score(net.space.everywhere(i), x, y).loss for i in range(4)])
"""


@pytest.mark.slow
def test_it_scores_on_jax_as_here(trained, tmp_path):
    first = Supernet.build(trained.net.space, SHAPE, CLASSES, 0.1)
    first.model.set_weights(trained.first)
    done = subprocess.run(
        [sys.executable, "-c", JAX, first.save(tmp_path / "supernet.npz")],
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(trained.before, rel=1e-4)


def test_weights_of_another_supernet_are_refused(small, tmp_path):
    path = small.save(tmp_path / "supernet.npz")
    wider = Supernet.build(small.space, SHAPE, CLASSES, 0.5)
    with pytest.raises(ValueError, match=r"supernet\.npz, of another width 0\.35, not 0\.5"):
        wider.load(path)
    other = Supernet.build(
        SearchSpace.of("mobilenet_v3_small", kinds=("cse",)), SHAPE, CLASSES, 0.5
    )
    with pytest.raises(ValueError, match="of another space, width"):
        other.load(path)
    (tmp_path / "none.npz").write_bytes(b"PK no zip")
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    for name in ("missing.npz", "none.npz", "arrays.npz"):
        with pytest.raises(ValueError, match=rf"{name}: .*Train the supernet anew"):
            small.load(tmp_path / name)


def test_what_cannot_be_scored_is_refused(small, digits):
    images, labels = digits
    nowhere = small.space.nowhere
    with pytest.raises(ValueError, match=r"at least 32 images.*Received: 31"):
        small.score(nowhere, images[:31], labels[:31])
    with pytest.raises(ValueError, match="one of the search space"):
        small.score(SEConfig(reduction=3), images, labels)
    with pytest.raises(ValueError, match="Resize"):
        small.score(nowhere, images[:, :16], labels)
    broken = Supernet.build(small.space, SHAPE, CLASSES, WIDTH)
    broken.model.set_weights([np.full_like(w, np.nan) for w in broken.model.get_weights()])
    with pytest.raises(ValueError, match=r"must be numbers.*lower learning rate"):
        broken.score(nowhere, images, labels)


def test_what_cannot_be_built_is_refused():
    double = SEConfig(kind="scse", aggregate="concat")
    space = SearchSpace.of("mobilenet_v3_small", double)
    with pytest.raises(ValueError, match=r"equal channels.*concat.*'add'"):
        Supernet.build(space, SHAPE, CLASSES, WIDTH)
    with pytest.raises(ValueError, match="padding"):
        Supernet.build(SearchSpace.of("mobilenet_v3_small"), SHAPE, CLASSES, paddin="same")
    with pytest.raises(ValueError, match="at least 0"):
        supernet_of("mobilenet_v3_small")[0].train(np.zeros((2, 32, 32, 3)), np.zeros(2, int), -1)


def test_a_plain_training_refuses_a_model_of_two_inputs(small, digits):
    with pytest.raises(ValueError, match="of 2 inputs"):
        training.train(small.model, *digits, epochs=1)


def test_the_switches_leave_the_plain_network_alone():
    """Building a supernet says nothing to the networks built after it."""
    Supernet.build(SearchSpace.of("mobilenet_v3_small"), SHAPE, CLASSES, WIDTH)
    model = models.build("mobilenet_v3_small", "paper", SHAPE, CLASSES, WIDTH)
    gates = [layer for layer in model.layers if isinstance(layer, keras_se.SqueezeExcite)]
    assert len(gates) == 9  # the paper's table 2
