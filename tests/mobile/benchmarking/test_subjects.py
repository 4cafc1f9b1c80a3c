import numpy as np
import pytest

from mobile.benchmarking.answers import compute
from mobile.benchmarking.benchmark import benchmark
from mobile.benchmarking.subjects import subjects
from mobile.tflite.artifact import Artifact, Preprocessing
from tests.mobile.craft import Craft, between_convolutions, float_border


def dynamic(shape=(1, 4, 4, 3), name="image"):
    """A file whose height and width are open."""
    c = Craft("float32")
    image = c.tensor(shape, name)
    c.graph.tensors[image].shapeSignature = np.array([1, -1, -1, 3], np.int32)
    return c.build([image], [c.op("RELU", [image], shape, name="out")])


def test_shape_is_given_to_what_the_file_leaves_open():
    timings = benchmark({"open": dynamic()}, runs=2, warmups=0, shape=(1, 8, 6, 3), control=False)
    assert timings["open"].output_error == 0
    first, second = benchmark(
        {"open": dynamic()}, runs=2, warmups=0, threads=(1, 2), shape={"image": (1, 64, 64, 3)}
    )
    assert (first.conditions.threads, second.conditions.threads) == (1, 2)
    with pytest.raises(RuntimeError, match=r"must fit \(1, -1, -1, 3\).*Received: \(2, 8, 6, 3\)"):
        benchmark({"open": dynamic()}, shape=(2, 8, 6, 3))
    with pytest.raises(ValueError, match=r"must name inputs.*Known: 'image'"):
        benchmark({"open": dynamic()}, shape={"picture": (1, 8, 6, 3)})


def test_shape_of_one_models_input_leaves_the_others_alone_and_may_be_its_short_name():
    models = {"open": dynamic(name="serving_default_image:0"), "other": dynamic(name="other")}
    timings = benchmark(models, runs=2, warmups=0, shape={"image": (1, 8, 6, 3)}, control=False)
    assert [model.name for model in timings.models] == ["open", "other"]
    assert not timings.failures


def drawn(content, number=0, **kw):
    found, failures = subjects({"m": content}, **kw)
    assert not failures
    return found["m"].drawn(number).inputs


def test_quantised_input_is_filled_from_end_to_end():
    (x,) = drawn(between_convolutions("ADD"))
    assert x.dtype == np.int8 and x.shape == (1, 8, 8, 4)
    assert x.min() < -64 and x.max() > 63 and abs(x.mean()) < 40


def test_range_of_a_float_input_is_that_of_what_quantises_it():
    # scale 0.05, zero point 0: -128 * 0.05 to 127 * 0.05
    pixels = np.concatenate([drawn(float_border(), number)[0] for number in range(6)])
    assert -6.4 <= pixels.min() < -3 and 3 < pixels.max() <= 6.35


def test_range_of_a_float_input_is_that_of_its_preprocessing():
    content = between_convolutions("ADD", "float32")
    ours = Artifact.from_content(content, "float32", Preprocessing((1 / 127.5,), (-1.0,)))
    for number in range(4):
        (pixels,) = drawn(ours.content, number)
        assert -1 <= pixels.min() < -0.5 and 0.5 < pixels.max() <= 1


def test_several_ranges_are_tried_where_the_file_tells_none():
    content = between_convolutions("ADD", "float32")
    ends = [np.round(drawn(content, n)[0].max() / 255) for n in range(6)]
    lows = [drawn(content, n)[0].min() < 0 for n in range(6)]
    assert lows == [False, False, True, True, False, False]  # 0 to 1, -1 to 1, 0 to 255
    assert ends == [0, 0, 0, 0, 1, 1]


def test_inputs_of_one_kind_differ_and_are_the_same_each_time():
    content = between_convolutions("ADD", "float32")
    assert not np.array_equal(drawn(content, 0)[0], drawn(content, 1)[0])
    assert np.array_equal(drawn(content, 4)[0], drawn(content, 4)[0])


def beyond(limit, sign=1.0):
    """A float file that answers relu(sign * (x - limit)): nothing changes on the wrong side."""
    c = Craft("float32")
    shape = (1, 8, 8, 1)
    x = c.tensor(shape, "image")
    y = c.op("SUB", [x, c.constant([float(limit)], "float32")], shape, {})
    y = c.op("MUL", [y, c.constant([sign], "float32")], shape, {})
    return c.build([x], [c.op("RELU", [y], shape)])


@pytest.mark.parametrize(
    ("limit", "sign", "low", "high"), [(0.4, 1, 0, 1), (-0.1, -1, -1, 1), (100, 1, 0, 255)]
)
def test_range_is_taken_to_which_the_answer_changes(limit, sign, low, high):
    """A model of pixels is not judged on 0 to 1, nor one of 0 to 1 on pixels that saturate it."""
    found, _ = subjects({"m": beyond(limit, sign)})
    chosen, here = compute(found, "builtin", 60)
    (x,) = chosen["m"].inputs
    assert low <= x.min() and x.max() <= high and np.ptp(x) > (high - low) / 2
    assert here["m"].changes and np.ptp(here["m"].plain[0]) > 0


def test_model_that_saturates_on_pixels_is_judged_where_it_does_not():
    c = Craft("float32")
    shape = (1, 8, 8, 1)
    x = c.tensor(shape, "image")
    y = c.op("MUL", [x, c.constant([9.0], "float32")], shape, {})
    content = c.build([x], [c.op("LOGISTIC", [y], shape)])
    chosen, here = compute(subjects({"m": content})[0], "builtin", 60)
    assert here["m"].changes and chosen["m"].inputs[0].max() <= 1
    assert here["m"].plain[0].min() < 0.9 < here["m"].plain[0].max()  # on 0 to 255, all are 1


def test_images_are_taken_as_they_are():
    content = between_convolutions("ADD")
    images = np.arange(3 * 8 * 8 * 4).reshape(3, 8, 8, 4) % 100
    (first,), (second,) = (drawn(content, n, images=images) for n in (0, 1))
    # scale 0.05, zero point 0: 20 steps each, clipped at 127
    assert np.array_equal(first, np.minimum(images[:1] * 20, 127))
    assert np.array_equal(second, np.minimum(images[1:2] * 20, 127))
    found, _ = subjects({"m": content}, images)
    chosen, _ = compute(found, "builtin", 60)
    assert chosen["m"].number == 0


def test_one_image_alone_is_compared_with_noise_of_its_range():
    content = between_convolutions("ADD", "float32")
    image = np.linspace(3, 5, 8 * 8 * 4, dtype=np.float32).reshape(1, 8, 8, 4)
    (x,) = drawn(content, 1, images=image)
    assert x.shape == image.shape and 3 <= x.min() < x.max() <= 5


def test_no_image_at_all_is_told():
    _, (failure,) = subjects({"m": between_convolutions("ADD")}, np.zeros((0, 8, 8, 4)))
    assert "`images` must hold at least one" in failure.message


def test_inputs_that_cannot_be_filled_cost_their_row():
    c = Craft("float32")
    huge = c.tensor((1 << 20, 1 << 10), "huge")
    _, (failure,) = subjects({"m": c.build([huge], [c.op("ABS", [huge], (1 << 20, 1 << 10))])})
    assert failure.stage == "read" and "larger than 1 GiB" in failure.message
