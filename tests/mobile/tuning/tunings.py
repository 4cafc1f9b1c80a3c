"""A tuning written by hand, whose figures are round."""

import dataclasses

from mobile.benchmarking.timings import Ratio
from mobile.tuning.finalists import Finalist, Trained
from mobile.tuning.tuning_record import Evaluation, TrainedAlone, Tuning
from tests.mobile.tuning.profiles import CONDITIONS, CSE, STATIC, configuration

NONE = configuration(se=None)


def trained(int8, first_seed=0, validation=None):
    """Trainings of these int8 accuracies in percent; float is a point better."""
    each = enumerate(int8, first_seed)
    chosen = [v if validation is None else validation for v in int8]
    return tuple(
        Trained(seed, (v + 1) / 100, v / 100, c / 100)
        for (seed, v), c in zip(each, chosen, strict=True)
    )


def finalist(name, role, int8, more=None, se=NONE, width=1.0, half=0.005, **changes):
    """A network that takes so much more time, as a share, than the one without SE, of 2 ms."""
    time = (
        None if more is None else Ratio(name, "no SE", 1 + more, 1 + more - half, 1 + more + half)
    )
    made = Finalist(name, role, se, width, 1000, 2000, trained(int8), time,
                    None if more is None else 2 * (1 + more))  # fmt: skip
    return dataclasses.replace(made, **changes)


NO_SE = finalist("no SE", "without", (60.0, 61.0, 62.0), time_ms=2.0)
WIDER = finalist("wider", "wider", (60.5, 61.5, 62.5), 0.04, width=1.06)
EVERYWHERE = finalist(
    "SE everywhere", "everywhere", (62.0, 63.0, 64.0), 0.33,
    configuration(*range(11), se=CSE["expanded"]),
)  # fmt: skip
ALL_STATIC = finalist(
    "static everywhere", "static", (60.1, 61.2, 62.0), 0.0, configuration(*range(11), se=STATIC)
)
TUNED = finalist(
    "tuned 1", "tuned", (61.0, 62.1, 63.2), 0.041, configuration(2, 8, se=CSE["projected"])
)
OTHER = finalist(
    "tuned 2", "tuned", (60.9, 62.0, 63.1), 0.03, configuration(8, se=CSE["projected"])
)
FINALISTS = (NO_SE, WIDER, EVERYWHERE, ALL_STATIC, TUNED, OTHER)


def evaluations():
    """None, each block alone, and all of them: a block takes i + 1 %, half of that projected."""
    made = [Evaluation(NONE, 1.2, 0.6, 0.0, "single")]
    for i in range(11):
        for place, share in (("expanded", (i + 1) / 100), ("projected", (i + 1) / 200)):
            at = configuration(i, se=CSE[place])
            made.append(Evaluation(at, 1.2 - share, 0.6 + share / 2, share, "single"))
    everywhere = configuration(*range(11), se=CSE["projected"])
    return (*made, Evaluation(everywhere, 1.0, 0.7, 0.33, "tpe"))


#: The order of training alone is that of the supernet but for one pair of 28.
ALONE = tuple(
    TrainedAlone(configuration(i, se=CSE["expanded"]), 1.2 - i / 100, accuracy)
    for i, accuracy in enumerate((0.60, 0.61, 0.62, 0.63, 0.64, 0.65, 0.67, 0.66))
)


def by_hand(**changes):
    made = {
        "network": "mobilenet_v3_small", "input_shape": (224, 224, 3), "target": "xnnpack",
        "data": "toys", "validation_images": 1000, "test_images": 10_000,
        "conditions": CONDITIONS, "budget": 0.04, "space": {"choices": []},
        "evaluations": evaluations(), "alone": ALONE, "finalists": FINALISTS,
    }  # fmt: skip
    return Tuning(**made | changes)
