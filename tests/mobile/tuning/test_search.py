"""The search finds the best of tables whose best is found by trying all."""

import collections
import itertools

import numpy as np
import optuna
import pytest

from keras_se import SEConfig
from mobile.tuning import search as module
from mobile.tuning.block_costs import configuration_of
from mobile.tuning.search import best, search
from mobile.tuning.search_space import SearchSpace
from mobile.tuning.supernet import Score

NETWORK, ROWS = "mobilenet_v3_small", 11
CHOICES = (None, *(SEConfig(k, placement="expanded").to_dict() for k in ("static", "cse", "scse")))


def space_of(blocks, choices=4):
    """The first blocks have a choice of none and three kinds, the others none."""
    rows = [((CHOICES[:choices] if row < blocks else (None,)),) for row in range(ROWS)]
    return SearchSpace(NETWORK, tuple(rows))


class Table:
    """Losses and shares by block and choice, with what pairs of neighbours lose; counts its use."""

    def __init__(self, space, seed, pairs=0.0):
        draw = np.random.default_rng(seed)
        self.space, self.seen = space, collections.Counter()
        sizes = [len(block) for block in space.blocks]
        self.gains = [np.r_[0, draw.normal(0.02, 0.02, n - 1)] for n in sizes]
        self.shares = [np.r_[0, 0, draw.uniform(0.001, 0.03, max(n - 2, 0))][:n] for n in sizes]
        self.pairs = pairs * draw.normal(0, 0.02, (len(sizes), 4, 4))
        self.pairs[:, 0, :] = self.pairs[:, :, 0] = 0

    def loss(self, numbers):
        alone = sum(gain[n] for gain, n in zip(self.gains, numbers, strict=True))
        pairs = zip(self.pairs, numbers, numbers[1:], strict=False)
        return 2 - alone + sum(pair[a, b] for pair, a, b in pairs)

    def cost(self, numbers):
        return float(sum(share[n] for share, n in zip(self.shares, numbers, strict=True)))

    def score(self, configuration):
        self.seen[self.space.numbers(configuration)] += 1
        loss = float(self.loss(self.space.numbers(configuration)))
        return Score(loss, 1 / (1 + loss))

    def share(self, configuration):
        return self.cost(self.space.numbers(configuration))

    def best(self, budget):
        every = itertools.product(*(range(len(block)) for block in self.space.blocks))
        return min((n for n in every if self.cost(n) <= budget), key=self.loss)


def numbers_of(table, evaluation):
    return table.space.numbers(configuration_of(evaluation.configuration))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Each proposal of TPE takes time."""
    monkeypatch.setattr(module, "_REPEATS", 15)


@pytest.mark.parametrize("budget", [0.0, 0.02, 0.05])
@pytest.mark.parametrize(("seed", "pairs"), [(0, 0.0), (1, 0.0), (2, 0.3), (3, 0.3)])
def test_the_best_within_the_budget_is_found(seed, budget, pairs):
    table = Table(space_of(5), seed, pairs)
    found = search(table.score, table.share, table.space, budget, trials=20)
    first = best(found, budget)[0]
    assert numbers_of(table, first) == table.best(budget)
    assert len(found) < 4**5 / 5


def test_every_evaluation_is_told_as_it_is():
    table = Table(space_of(5), 0, 1.0)
    seen = []
    found = search(table.score, table.share, table.space, 0.04, trials=5, watch=seen.append)
    assert list(found) == seen
    assert {*table.seen.values()} == {1} and len(table.seen) == len(found)
    for each in found:
        numbers = numbers_of(table, each)
        assert each.loss == pytest.approx(table.loss(numbers))
        assert each.accuracy == pytest.approx(1 / (1 + each.loss))
        assert each.share == pytest.approx(table.cost(numbers))
        assert each.share <= 0.04 or each.by == "single"
    counts = collections.Counter(each.by for each in found)
    assert counts["nowhere"] == 1 and counts["single"] == 5 * 3 and counts["tpe"] == 5


def test_an_unprofiled_choice_is_told_before_anything_is_scored():
    table = Table(space_of(2), 0)

    def share(configuration):
        if table.space.numbers(configuration)[1] == 3:
            raise ValueError("Every variant of SE must have been profiled.")
        return 0.0

    with pytest.raises(ValueError, match="profiled"):
        search(table.score, share, table.space, 0.02)
    assert not table.seen


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("after", [1, 9, 20, 40])
def test_an_interrupted_search_goes_on_and_scores_nothing_twice(tmp_path, after):
    table = Table(space_of(5), 3, 1.0)

    def study():
        storage = f"sqlite:///{tmp_path}/study.db"
        return optuna.create_study(study_name="s", storage=storage, load_if_exists=True)

    def stopped(configuration):
        if len(table.seen) == after:
            raise StoppedError
        return table.score(configuration)

    with pytest.raises(StoppedError):
        search(stopped, table.share, table.space, 0.03, trials=6, study=study())
    assert len(table.seen) == after
    found = search(table.score, table.share, table.space, 0.03, trials=6, study=study())
    assert {*table.seen.values()} == {1} and len(table.seen) == len(found)
    assert sum(each.by == "tpe" for each in found) == 6
    again = search(table.score, table.share, table.space, 0.03, trials=6, study=study())
    assert again == found and {*table.seen.values()} == {1}


def test_costs_are_those_of_now_where_a_study_goes_on():
    table, study = Table(space_of(3), 4), optuna.create_study()
    search(table.score, table.share, table.space, 0.01, trials=0, study=study)
    table.shares = [2 * share for share in table.shares]
    for each in search(table.score, table.share, table.space, 0.01, trials=0, study=study):
        assert each.share == table.cost(numbers_of(table, each))


def test_another_budget_begins_with_what_is_known():
    table, study = Table(space_of(5), 4, 0.3), optuna.create_study()
    search(table.score, table.share, table.space, 0.01, trials=10, study=study)
    wider = search(table.score, table.share, table.space, 0.05, trials=20, study=study)
    assert {*table.seen.values()} == {1}
    assert numbers_of(table, best(wider, 0.05)[0]) == table.best(0.05)


def test_tpe_finds_what_no_gain_alone_leads_to(monkeypatch):
    """Two choices that harm alone and help together: greedy stays at no SE, and swaps are off."""
    monkeypatch.setattr(module, "_TRIES", 0)
    table = Table(space_of(4), 0)
    table.gains = [np.array([0, -0.01, -0.01, -0.02])] * 4 + [np.zeros(1)] * 7
    table.pairs[:] = 0
    table.pairs[1, 3, 3] = -0.5
    found = search(table.score, table.share, table.space, 1.0, trials=100)
    assert not [each for each in found if each.by in ("greedy", "swap")]
    assert best(found, 1.0)[0].by == "tpe"
    assert numbers_of(table, best(found, 1.0)[0])[1:3] == (3, 3)


def test_a_small_space_ends_before_the_trials_do():
    table = Table(space_of(2, choices=2), 0)
    found = search(table.score, table.share, table.space, 0.0, trials=1000)
    assert len(found) == 2 * 2


def test_what_cannot_be_searched_is_refused():
    table, study = Table(space_of(2), 0), optuna.create_study()
    for budget in (-0.01, float("nan"), "4%", True):
        with pytest.raises(ValueError, match=r"`budget`.*at least 0.*pass 0\.04"):
            search(table.score, table.share, table.space, budget)
    with pytest.raises(ValueError, match="trials"):
        search(table.score, table.share, table.space, 0.1, trials=-1)
    search(table.score, table.share, table.space, 0.0, trials=0, study=study)
    other = Table(space_of(3), 0)
    with pytest.raises(ValueError, match=r"study .* of another"):
        search(other.score, other.share, other.space, 0.0, study=study)
    foreign = optuna.create_study()
    foreign.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(ValueError, match=r"study .* of another"):
        search(other.score, other.share, other.space, 0.0, study=foreign)
    assert not other.seen
