import math

import numpy as np
import pytest

from mobile.benchmarking.answers import Here, compute, judge, output_error, tolerance_of
from mobile.benchmarking.benchmark import benchmark
from mobile.benchmarking.subjects import subjects
from mobile.tflite.artifact import Artifact
from tests.mobile.benchmarking.toy import forever
from tests.mobile.craft import Craft, between_convolutions, classifier, transposed_with_bias

GARBAGE = {
    "zeros": lambda right: right * 0 + right.min(),
    "ones": lambda right: right * 0 + right.max(),
    "reversed": lambda right: right[..., ::-1],
    "shifted": lambda right: np.roll(right, 7, -1),
}


def answered(contents, kernels="default"):
    chosen, failures = subjects(contents)
    assert not failures
    return compute(chosen, kernels, 60)


@pytest.fixture(scope="module")
def classifiers():
    return answered({str(seed): classifier(seed=seed) for seed in range(3)})


def row(**said):
    return {"kernels": "default", "partitions": 1, **said}


def test_output_error_is_the_distance_over_that_from_the_mean():
    want = [np.array([0.0, 10.0]), np.array([0.0, 1.0])]
    got = [np.array([0.0, 9.0]), np.array([0.5, 1.0])]
    # 1 / |-5 5| = 1 / sqrt(50) = 0.141 and 0.5 / |-0.5 0.5| = 0.5 / sqrt(0.5) = 0.707
    assert output_error(got[:1], want[:1]) == pytest.approx(1 / math.sqrt(50))
    assert output_error(got, want) == pytest.approx(math.sqrt(0.5))
    assert output_error([np.zeros((2, 1))], [np.zeros(2)]) == math.inf


@pytest.mark.parametrize(
    ("got", "want", "error"),
    [
        ([1.0, np.nan], [1.0, 2.0], np.inf),
        ([1.0, 2.0], [1.0, np.nan], np.inf),
        ([1.0, np.inf], [1.0, -np.inf], np.inf),
        ([np.nan, np.inf], [np.nan, np.inf], 0),
        # |1 1| / |-2 0 2|
        ([np.nan, 1.0, 2.0, 4.0], [np.nan, 1.0, 3.0, 5.0], math.sqrt(2 / 8)),
        (np.array([0, 5], np.uint8), np.array([1, 5], np.uint8), 1 / math.sqrt(8)),
        ([True, False], [True, True], 1 / math.sqrt(2)),  # a constant: over its own size
        ([3.0], [2.0], 1 / 2),
        ([[207]], [[208]], 1),  # indices of classes: neighbours are as wrong as others
        (np.array([1, 2, 3, 4], np.int32), np.array([1, 2, 3, 9], np.int32), 1 / 4),
        ([3.0], [0.0], 1),  # and of nothing, over the largest there is
        ([1j, 0], [2j, 0], 1 / math.sqrt(2)),
        ([2e300, 0], [1e300, 0], 1 / math.sqrt(0.5)),
        ([b"a", b"b"], [b"a", b"c"], 1 / 2),
        ([], [], 0),
    ],
)
def test_output_error_of_any_numbers(got, want, error):
    assert output_error([np.asarray(got)], [np.asarray(want)]) == pytest.approx(error)


def test_no_constant_is_nearer_than_1():
    """The mean is the nearest constant, and it is 1 away by definition."""
    random = np.random.default_rng(0)
    for _ in range(50):
        want = random.exponential(1, 100) * (random.random(100) < 0.1) + random.normal()
        constants = [want.mean(), *random.normal(want.mean(), want.std(), 5), 0, want.max()]
        assert min(output_error([np.full(100, c)], [want]) for c in constants) >= 1 - 1e-9


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_of_a_classifier_is_refused_where_the_mean_difference_hardly_shows(
    classifiers, kind
):
    chosen, here = classifiers
    right = here["0"].outputs["default"][0]
    wrong = GARBAGE[kind](right)
    assert np.mean(right == right.min()) > 0.9  # most classes have no probability at all
    share = np.mean(np.abs(wrong.astype(float) - right)) / np.ptp(right.astype(float))
    assert share < 0.05 or kind == "ones"  # what used to be the measure and its limit
    verdict = judge(chosen["0"], [wrong], row(), here["0"])
    assert verdict.error >= 1 and "must lie within 60%" in verdict.complaint


def test_another_networks_answers_are_refused(classifiers):
    chosen, here = classifiers
    for name, other in (("0", "1"), ("1", "2"), ("2", "0")):
        verdict = judge(chosen[name], here[other].outputs["default"], row(), here[name])
        assert "must lie within" in verdict.complaint


def test_both_kinds_of_kernels_of_one_file_are_accepted(classifiers):
    chosen, here = classifiers
    for name, subject in chosen.items():
        for outputs in here[name].outputs.values():
            assert judge(subject, outputs, row(), here[name]).complaint is None


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_of_googles_networks_is_refused(google, kind):
    chosen, here = answered(google)
    for name, subject in chosen.items():
        right = here[name].outputs["default"]
        assert judge(subject, right, row(), here[name]).complaint is None
        assert here[name].difference <= 0.2  # an input on which rounding does little was found
        assert judge(subject, [GARBAGE[kind](right[0])], row(), here[name]).error >= 1


def test_googles_networks_are_not_taken_for_each_other(google):
    chosen, here = answered(google)
    one, two = chosen
    for name, other in ((one, two), (two, one)):
        verdict = judge(chosen[name], here[other].outputs["default"], row(), here[name])
        assert verdict.error > 1 and verdict.complaint


def test_network_is_told_from_its_own_answers_moved_on_by_a_class(artifact, images):
    """Five classes, and pictures of the kind that it is for."""
    chosen, _ = subjects({"a": artifact.content}, images)
    chosen, here = compute(chosen, "default", 60)
    right = here["a"].outputs["default"][0]
    assert judge(chosen["a"], [right], row(), here["a"]).complaint is None
    for wrong in (right * 0 + right.min(), np.roll(right, 1)):
        assert judge(chosen["a"], [wrong], row(), here["a"]).complaint


# --- the same kernels on the same kind of machine -------------------------------------------------

SAME = {"machine": "x86_64", "cpu": "A CPU", "runtime": "r", "runtime_version": "1", "threads": 1}


def nearly(classifiers, **said):
    """Judge an answer that is one step off in one place, told from SAME but for what is `said`."""
    chosen, here = classifiers
    like = Here(here["0"].outputs, {}, SAME)
    wrong = like.outputs["default"][0].copy()
    wrong.flat[5] += 1
    return judge(chosen["0"], [wrong], row(**said.pop("row", {})), like, {**SAME, **said})


def test_same_runtime_kernels_and_processor_must_agree_to_the_bit(classifiers):
    complaint = nearly(classifiers).complaint
    # one value of 300
    assert "to the bit" in complaint and "r 1 on A CPU" in complaint and "0.33% of" in complaint
    assert "memory may be faulty" in complaint


@pytest.mark.parametrize(
    "said",
    [
        {"cpu": "Another CPU"},
        {"runtime": "s"},
        {"runtime_version": "2"},
        {"machine": "aarch64"},
        {"threads": 2},  # float sums may be taken in another order
        {"row": {"repeats": False}},  # a model that draws random numbers
    ],
)
def test_what_is_not_the_same_may_be_a_step_off(classifiers, said):
    verdict = nearly(classifiers, **said)
    assert verdict.complaint is None and verdict.steps == 1


def test_a_processor_without_a_name_is_not_known_to_be_the_same(classifiers):
    chosen, here = classifiers
    nameless = {**SAME, "cpu": "x86_64"}
    like = Here(here["0"].outputs, {}, nameless)
    wrong = like.outputs["default"][0].copy()
    wrong.flat[5] += 1
    assert judge(chosen["0"], [wrong], row(), like, nameless).complaint is None


def test_this_machine_agrees_with_itself_to_the_bit():
    contents = {"int8": classifier(), "float": between_convolutions("ADD", "float32")}
    timings = benchmark(contents, runs=2, warmups=0)
    assert not timings.failures and len(timings.models) == 3


# --- what proves nothing, or cannot be checked ----------------------------------------------------


def test_constant_answer_is_said_to_prove_nothing(toy):
    toy.seconds = dict.fromkeys(("flat", "flat (again)"), forever(0.001))
    timings = benchmark({"flat": classifier(zero=True)}, toy, runs=2)
    assert [m.name for m in timings.models] == ["flat", "flat (again)"]
    (note,) = (note for note in timings.notes if "proves nothing" in note)
    assert note.startswith("flat: the answer is the same to other inputs") and "`images`" in note


def test_answer_that_changes_with_the_input_has_no_such_note(toy, models):
    assert not any("proves nothing" in n for n in benchmark(models, toy, runs=2).notes)


def test_operator_that_the_delegate_alone_has_is_timed_and_marked():
    timings = benchmark({"media": transposed_with_bias()}, runs=2, warmups=0, control=False)
    assert [m.name for m in timings.models] == ["media"] and not timings.failures
    assert timings["media"].partitions == 1
    assert timings["media"].output_error is None  # in a file too, where no note stands beside it
    (note,) = (note for note in timings.notes if note.startswith("media: not checked"))
    assert "unresolved custom op: Convolution2DTransposeBias" in note and "`expected`" in note


def test_operator_that_no_kernel_here_has_is_told(toy):
    c = Craft("float32")
    x = c.tensor((1, 4), "x")
    content = c.build([x], [c.op("FlexErf", [x], (1, 4))])
    with pytest.raises(
        RuntimeError, match=r"f failed to run here: .*FlexErf.*runtime='tensorflow'"
    ):
        benchmark({"f": content}, toy)


def test_kernels_that_disagree_here_leave_the_same_kernels_to_compare_with(classifiers):
    chosen, here = classifiers
    outputs = {**here["0"].outputs, "builtin": here["1"].outputs["builtin"]}
    unsteady = Here(outputs, difference=1.2)
    verdict = judge(chosen["0"], outputs["default"], row(), unsteady)
    assert verdict.complaint is None and verdict.error is None
    (remark,) = verdict.remarks
    assert "differs by 120% from the plain kernels'" in remark and "mobile.verify" in remark
    wrong = [GARBAGE["zeros"](outputs["default"][0])]
    assert judge(chosen["0"], wrong, row(), unsteady).complaint


def test_advice_on_expected_outputs_speaks_of_them(classifiers):
    chosen, here = classifiers
    expected = [here["1"].outputs["default"][0].astype(np.float32)]
    told = judge(chosen["0"], here["0"].outputs["default"], row(), here["0"], expected=expected)
    assert "`expected` are this file's outputs for `images`, or raise `tolerance`" in told.complaint
    untold = judge(chosen["0"], here["1"].outputs["default"], row(), here["0"])
    assert "Do not use this file on this device" in untold.complaint


def test_tolerance_goes_by_what_the_file_computes_in():
    assert tolerance_of(Artifact.from_content(between_convolutions("ADD", "float32"))) == 0.01
    assert tolerance_of(Artifact.from_content(between_convolutions("ADD"))) == 0.6


def test_wrong_answer_is_never_timed(toy, models):
    toy.says["mul"] = GARBAGE["zeros"]
    timings = benchmark(models, toy, runs=2)
    assert [failure.name for failure in timings.failures] == ["mul"]
    assert "must lie within 60%" in timings.failures[0].message


def test_steps_from_this_machines_kernels_are_stated_and_more_than_one_is_noted(toy, models):
    assert benchmark(models, toy, runs=2)["mul"].output_lsb == 0
    toy.says["mul"] = lambda right: np.clip(right.astype(int) + 2, -128, 127).astype(np.int8)
    timings = benchmark(models, toy, runs=2)
    assert timings["mul"].output_lsb == 2
    assert any("mul: an output differs by 2 steps" in note for note in timings.notes)


def test_model_that_dies_here_gives_no_answer_and_a_reason():
    chosen, _ = subjects({"good": between_convolutions("ADD"), "bad": transposed_with_bias()})
    _, here = compute(chosen, "builtin", 60)
    assert here["bad"].outputs == {} and "unresolved" in here["bad"].reasons["builtin"]
    assert here["good"].outputs.keys() == {"builtin"}
