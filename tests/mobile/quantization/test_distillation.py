import numpy as np
import pytest

from mobile.quantization import distil, keras_engine, quantize_aware


@pytest.fixture
def student(lowered, ranges):
    """A quantised model whose weights were spoilt a little."""
    model = quantize_aware(lowered, ranges=ranges)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if len(layer.get_weights()) == 2 and hasattr(layer, "on_grid"):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * random.normal(1, 0.2, kernel.shape), bias])
    return model


def _distance(model, teacher, images):
    return np.abs(model.predict(images, verbose=0) - teacher.predict(images, verbose=0)).mean()


def test_a_student_comes_nearer_to_its_teacher_without_labels(student, lowered, images):
    before = _distance(student, lowered, images)
    returned = distil(student, lowered, images, steps=40, learning_rate=1e-3, mirror=False)
    assert returned is student
    assert _distance(student, lowered, images) < 0.8 * before


def test_training_stops_when_the_time_is_up(student, lowered, images):
    ticks = iter(range(0, 10**6, 10))  # each look at the clock is 10 s later
    before = student.get_weights()
    distil(student, lowered, images, minutes=1, batch_size=8, clock=lambda: next(ticks))
    # One look at the start, then one a step: 60 s are over at the sixth.
    assert next(ticks) == 70
    assert any((a != b).any() for a, b in zip(before, student.get_weights(), strict=True))


def test_a_folder_of_images_will_do(student, lowered, images, tmp_path):
    from PIL import Image

    (tmp_path / "any").mkdir()
    for number, image in enumerate(images[:12]):
        Image.fromarray(image.astype("uint8")).save(tmp_path / "any" / f"{number}.png")
    before = student.get_weights()
    distil(student, lowered, tmp_path, steps=2)
    assert any((a != b).any() for a, b in zip(before, student.get_weights(), strict=True))


def test_fixed_ranges_stay_in_distillation(student, lowered, images, ranges):
    distil(student, lowered, images, steps=2)
    after = keras_engine.strip(student)[1]
    assert after["sigmoid"] == pytest.approx(ranges["sigmoid"])


def test_a_float_model_is_refused(lowered, images):
    with pytest.raises(ValueError, match="quantize_aware"):
        distil(lowered, lowered, images, steps=1)


def test_a_pipe_or_a_notebook_gets_no_progress_bar(student, lowered, images, capsys):
    distil(student, lowered, images, steps=2)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")
