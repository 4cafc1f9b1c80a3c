"""What an ablation says differs, on accuracies whose differences are worked out by hand."""

import pytest

from mobile.benchmarking.timings import Ratio
from mobile.tuning.ablation_record import Ablation, Published
from mobile.tuning.finalists import Finalist, Trained
from tests.mobile.tuning.profiles import CONDITIONS


def network(name, *accuracies, role="variant", time=1.1):
    trained = tuple(Trained(seed, a, a, a) for seed, a in enumerate(accuracies))
    ratio = None if role == "without" else Ratio(name, "no SE", time, time - 0.01, time + 0.01)
    return Finalist(name, role, ((None,),), 1.0, 10, 20, trained, ratio, 2.0 * time)


WITHOUT = network("no SE", 0.70, 0.71, 0.72, role="without", time=1.0)


def ablation(*variants, published=None):
    networks = (WITHOUT, *variants)
    return Ablation(
        "gate", "mobilenet_v2", "xnnpack", "digits", 359, CONDITIONS, networks, published
    )


def test_a_gain_that_is_the_same_with_each_seed_is_told_and_a_loss_too():
    said = ablation(network("good", 0.75, 0.76, 0.77), network("bad", 0.65, 0.66, 0.67)).verdict
    assert "More accurate than no SE: good." in said and "Less accurate than no SE: bad." in said
    assert "good is more accurate than bad." in said


def test_a_gain_less_than_its_spread_is_no_difference():
    # Gains of 2, -1 and 2 points: 1 on average, deviation 1.73, and t = 4.30 with 3 seeds: +- 4.3.
    said = ablation(network("a", 0.72, 0.70, 0.74), network("b", 0.71, 0.71, 0.73)).verdict
    assert "None differs from no SE. The 2 variants show no difference." in said


def test_one_seed_says_nothing():
    one = network("no SE", 0.7, role="without", time=1.0)
    told = Ablation("gate", "n", "t", "d", 9, CONDITIONS, (one, network("a", 0.9)))
    assert told.verdict.startswith("One seed says nothing")


def test_published_errors_stand_beside_ours(tmp_path):
    published = Published("a paper, table 1", {"no SE": 23.3, "relu": 23.47, "tanh": 23.0})
    found = ablation(network("relu", 0.75, 0.76, 0.77), published=published)
    assert "relu                24.00      23.47" in str(found)
    assert "no SE               29.00      23.30" in str(found) and "tanh" not in str(found)
    assert "Published: a paper, table 1." in str(found)
    assert Ablation.load(found.save(tmp_path / "a.json")) == found


@pytest.mark.parametrize("values", ["[]", '{"format": "keras-se tuning", "version": 1}'])
def test_a_file_of_another_kind_is_refused(values, tmp_path):
    (tmp_path / "a.json").write_text(values)
    with pytest.raises(ValueError, match="must say format 'keras-se ablation'"):
        Ablation.load(tmp_path / "a.json")
