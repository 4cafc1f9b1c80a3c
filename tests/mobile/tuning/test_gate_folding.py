"""Which gates go, in which order, and what is said of it."""

import keras
import numpy as np
import pytest

import keras_se
import mobile
from tests.mobile.tuning.networks import by_hand, network, pictures, spread_answers

L = keras.layers


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def images():
    return pictures()


@pytest.fixture(scope="module")
def everything(model, images):
    return mobile.fold_gates(model, images, keep=0.0, by="elements")


def agreement(model, folded, images):
    """The share of equal top-1, by what the two models say."""
    answers = [np.asarray(m(images)).argmax(axis=-1) for m in (model, folded)]
    return (answers[0] == answers[1]).mean()


def test_each_gate_is_judged_alone_on_images_that_did_not_find_its_constants(
    model, images, everything
):
    found = keras_se.gates(model, images[::2])
    for gate in everything[1].gates:
        if gate.reason is None:
            alone = keras_se.fold(model, {gate.block: found[gate.block].constant})
            assert gate.alone == pytest.approx(agreement(model, alone, images[1::2]))
            assert gate.error == found[gate.block].error


def test_the_model_that_comes_back_agrees_as_the_record_says(model, images, everything):
    folded, record = everything
    assert record.agreement == pytest.approx(agreement(model, folded, images[1::2]))
    assert [layer.name for layer in folded.layers if layer.name.startswith("still")] == [
        "still_excite"
    ]


def test_a_constant_gate_costs_nothing_and_what_cannot_go_is_named(everything):
    gates = {gate.block: gate for gate in everything[1].gates}
    assert list(gates) == ["early", "still", "late", "both/channel", "both/spatial"]
    assert gates["still"].alone == 1.0 and gates["still"].spread < 1e-6
    assert gates["early"].elements == 8 * 8 * 8 and gates["late"].elements == 4 * 4 * 12
    for name in ("both/channel", "both/spatial"):
        assert gates[name].order is None and gates[name].reason and gates[name].alone is None
    assert {gate.block for gate in everything[1].folded} == {"early", "still", "late"}
    assert sorted(gate.order for gate in everything[1].folded) == [1, 2, 3]


@pytest.mark.parametrize("keep", [0.6, 0.9])
def test_the_order_is_that_of_a_plain_greedy_search(model, images, keep):
    found = keras_se.gates(model, images[::2])
    constants = {b.name: b.constant for b in found.blocks if b.reason is None}
    judges, chosen, now = images[1::2], [], 1.0
    while True:
        best = None
        for name in constants.keys() - set(chosen):
            folded = keras_se.fold(model, {n: constants[n] for n in (*chosen, name)})
            then = agreement(model, folded, judges)
            score = found[name].elements / (max(now - then, 0) * len(judges) + 0.5)
            if then >= keep and (best is None or score > best[0]):
                best = score, name, then
        if best is None:
            break
        chosen.append(best[1])
        now = best[2]
    record = mobile.fold_gates(model, images, keep=keep, by="elements")[1]
    assert [gate.block for gate in record.folded] == chosen
    assert record.agreement == pytest.approx(now) and record.agreement >= keep


def test_other_images_may_judge_and_all_of_the_first_then_find_constants(model, images):
    judges = pictures(25, seed=7)
    folded, record = mobile.fold_gates(model, images, 0.5, "elements", judges=judges)
    assert (record.fitted, record.judged) == (60, 25)
    assert record.agreement == pytest.approx(agreement(model, folded, judges))


def test_labels_give_accuracy_and_change_no_choice(model, images, everything):
    answers = np.asarray(model(images)).argmax(axis=-1)
    labels = np.where(np.arange(60) % 4 == 1, (answers + 1) % 5, answers)[:, None]
    record = mobile.fold_gates(model, images, 0.0, "elements", labels=labels)[1]
    assert record.accuracy == 0.5  # of the odd images, every other label is wrong
    assert [g.block for g in record.folded] == [g.block for g in everything[1].folded]
    assert record.folded[0].accuracy is not None and "top-1" in str(record)


def test_time_decides_by_what_was_timed(model, images, monkeypatch):
    times = {"early": 1.0, "still": 0.0, "late": 90.0}
    asked = {}

    def scripted(model, images, device, target, **timing):
        asked.update(device=device, target=target, **timing)
        return times, type("T", (), {"conditions": type("C", (), {"device": "a phone"})})

    monkeypatch.setattr("mobile.tuning.gate_folding.block_times", scripted)
    record = mobile.fold_gates(model, images, 0.0, device="adb", target="builtin", runs=7)[1]
    assert asked == {"device": "adb", "target": "builtin", "runs": 7}
    assert [gate.block for gate in record.folded] == ["late", "early"]
    assert "costs nothing measurable" in record.gates[1].reason
    assert record.saved() == 1.0 and record.saved(1) == pytest.approx(90 / 91)
    assert (record.device, record.target) == ("a phone", "builtin")
    assert "100 % of the time of SE on a phone saved" in str(record)


def test_a_gate_whose_constant_fits_no_neighbour_stays(images):
    image = keras.Input((16, 16, 3))
    x = L.Conv2D(8, 3, strides=2, padding="same", name="stem")(image)
    x = by_hand(L.Add()([x, L.Conv2D(8, 1)(x)]), "post")  # then read by a convolution and a sum
    x = by_hand(L.Add()([x, L.Conv2D(8, 1)(x)]), "last")  # then read by the head alone
    head = L.Dense(4)(L.GlobalAveragePooling2D()(L.Conv2D(8, 1, activation="relu")(x)))
    record = mobile.fold_gates(keras.Model(image, head), images, 0.0, "elements")[1]
    assert [gate.block for gate in record.folded] == ["last"]
    assert "fits no neighbour" in record.gates[0].reason and record.gates[0].alone is not None


def test_a_folded_network_is_the_one_without_gates_in_int8(images):
    def body(x, se):
        x = L.Conv2D(8, 3, activation="relu", padding="same", bias_initializer="normal")(x)
        x = by_hand(x, "se") if se else x
        x = L.Flatten()(L.Conv2D(4, 1, bias_initializer="normal")(x))
        return L.Dense(3, name="head")(x)

    def model(se):
        image = keras.Input((16, 16, 3))
        made = keras.Model(image, body(L.Rescaling(1 / 255)(image), se))
        spread_answers(made)
        return made

    folded, _ = mobile.fold_gates(model(True), images, 0.0, "elements")
    files = [
        mobile.convert(m, calibration=images, correction=False) for m in (folded, model(False))
    ]
    assert files[0].operators == files[1].operators
    assert not any("MUL" in name for name in files[0].operators)


def test_where_none_can_go_a_warning_names_the_nearest(images):
    # Two equal channels, of which a gate lets one pass in bright images, the other in dark ones.
    threshold = np.median(images.sum(axis=-1).mean(axis=(1, 2)))
    image = keras.Input((16, 16, 3))
    x = L.Conv2D(2, 1, kernel_initializer="ones", name="sums")(image)
    s = L.Conv2D(1, 1, kernel_initializer=keras.initializers.Constant(0.5), name="se_reduce")(
        L.GlobalAveragePooling2D(keepdims=True, name="se_squeeze")(x)
    )
    expand = L.Conv2D(2, 1, activation="sigmoid", name="se_expand")
    y = L.Multiply(name="se_excite")([x, expand(s)])
    model = keras.Model(image, L.GlobalAveragePooling2D()(y), name="contrast")
    expand.set_weights([np.array([[[[1.0, -1.0]]]]), np.array([-threshold, threshold])])
    with pytest.warns(UserWarning, match="No gate of 'contrast' .*'se' alone, keeps"):
        folded, record = mobile.fold_gates(model, images, 1.0, "elements")
    assert record.folded == () and record.agreement == 1.0 and record.saved() == 0.0
    assert agreement(model, folded, images) == 1.0
    (gate,) = record.gates
    assert gate.order is None and gate.alone < 0.8 and "keep less than 100.0%" in gate.reason


def test_the_model_is_left_as_it_was(model, images):
    before = model.get_config(), model.get_weights()
    mobile.fold_gates(model, images, 0.5, "elements")
    assert model.get_config() == before[0]
    for a, b in zip(before[1], model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"keep": 99}, "share of answers.*keep=99. Pass 0.99"),
        ({"keep": True}, "keep=True"),
        ({"keep": "much"}, "keep='much'"),
        ({"by": "size"}, "'time', 'elements'. Received: by='size'"),
        ({"labels": np.zeros(59)}, "59 labels for 60 images"),
        ({"labels": np.zeros((60, 5))}, r"\(30, 5\) for answers of shape \(30,\).*argmax"),
        ({"images": pictures(19)}, "at least 10 images.*Received: 10 and 9"),
        ({"judges": np.zeros((12, 16, 16, 3))}, "judge must be finite and differ.*12 of shape"),
        ({"judges": pictures(12) * np.nan}, "must be finite and differ"),
        ({"images": np.repeat(pictures(1), 60, axis=0)}, "must be finite and differ"),
        (
            {"images": pictures(60)[:, :8]},
            r"`images` must be.*\(count, 16, 16, 3\).*\(60, 8, 16, 3\)",
        ),
        ({"judges": pictures(30)[..., :1]}, r"`judges` must be.*\(30, 16, 16, 1\)"),
        ({"images": (x for x in pictures(60))}, "Received: generator.*concatenate"),
        ({"images": [pictures(1)[0], pictures(1)[0, :8]]}, "Received: list"),
        ({"images": np.full((60, 16, 16, 3), "a")}, "must be an array of images"),
        ({"labels": np.array(list("abcde") * 12)}, r"from 0 to 4. Received: np.str_\('a'\)"),
        ({"labels": np.full(60, np.nan)}, "from 0 to 4. Received: np.float64.nan"),
        ({"labels": np.arange(60) % 5 + 1}, "from 0 to 4. Received: np.int64.5"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"target": "xnnpak"}, "`target` must be one of"),
    ],
)
def test_what_cannot_be_judged_is_refused(model, images, options, said):
    with pytest.raises(ValueError, match=said):
        mobile.fold_gates(
            **{"model": model, "images": images, "by": "elements", "keep": 0.5} | options
        )


def test_settings_of_a_benchmark_that_nothing_reads_are_refused(model, images):
    with pytest.raises(TypeError, match=r"by='time' takes.*Received: runs, theads with"):
        mobile.fold_gates(model, images, 0.5, "elements", runs=3, theads=2)


def test_on_another_backend_elements_decide(model, images, monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"Keras on jax\. Pass by='elements'"):
        mobile.fold_gates(model, images)


def test_a_model_of_two_inputs_is_told_how_to_fold(images):
    image, other = keras.Input((16, 16, 3)), keras.Input((5,))
    x = L.GlobalAveragePooling2D()(by_hand(image, "se"))
    model = keras.Model([image, other], L.Dense(5)(L.Concatenate()([x, other])))
    with pytest.raises(ValueError, match=r"one input. Received: .* with 2. .*keras_se\.fold"):
        mobile.fold_gates(model, [images, np.zeros((60, 5))], 0.5, "elements")


def test_answers_that_prove_nothing_are_refused(images):
    model = network()
    head = model.get_layer("head")
    kernel, bias = head.get_weights()
    head.set_weights([kernel, bias + 1e6 * (np.arange(5) == 3)])
    with pytest.raises(ValueError, match="Received: class 3 for each of 30 by model 'small'"):
        mobile.fold_gates(model, images, 0.5, "elements")
    head.set_weights([kernel * np.nan, bias])
    with pytest.raises(ValueError, match=r"must be numbers\. Received: NaN for 30 of 30 answers"):
        mobile.fold_gates(model, images, 0.5, "elements")


def test_pictures_are_not_augmented(images):
    image = keras.Input((16, 16, 3))
    inner = network()
    augmented = keras.Model(image, inner(L.RandomTranslation(0.3, 0.3)(L.RandomFlip()(image))))
    records = [mobile.fold_gates(m, images, 0.5, "elements")[1] for m in (inner, augmented)]
    for one, other in zip(*(record.gates for record in records), strict=True):
        assert other.error == pytest.approx(one.error, rel=1e-3, abs=1e-6)
        assert other.alone == one.alone
        assert (other.order, other.agreement) == (one.order, one.agreement)


def test_networks_without_a_gate_that_can_go_are_refused(images):
    image = keras.Input((16, 16, 3))
    x = keras_se.SEConfig(kind="scse").layer("both")(L.Conv2D(8, 3)(image))
    head = L.Dense(3)(L.GlobalAveragePooling2D()(x))
    with pytest.raises(ValueError, match=r"none can \(both/channel: it is a part of layer"):
        mobile.fold_gates(keras.Model(image, head), images, 0.5, "elements")
    plain = keras.Model(image, L.Dense(3)(L.Flatten()(image)))
    with pytest.raises(ValueError, match="must have squeeze-and-excitation"):
        mobile.fold_gates(plain, images, 0.5, "elements")
    regression = keras.Model(image, L.Dense(1)(L.Flatten()(by_hand(image, "se"))))
    with pytest.raises(ValueError, match="two or more classes"):
        mobile.fold_gates(regression, images, 0.5, "elements")


def test_too_few_images_for_what_is_asked_is_a_warning(model, images):
    with pytest.warns(UserWarning, match="30 images moves in steps of 3.3%: with keep=0.99 not"):
        mobile.fold_gates(model, images, 0.99, "elements")
