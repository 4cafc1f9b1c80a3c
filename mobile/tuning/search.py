"""Which squeeze-and-excitation in which block is best within a budget of time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from keras_se.checks import check_count
from keras_se.models.base import SEByBlock
from mobile.tuning.block_costs import rows_of
from mobile.tuning.search_space import SearchSpace
from mobile.tuning.supernet import Score
from mobile.tuning.trial_storage import imported, quiet_optuna
from mobile.tuning.tuning_record import Evaluation

if TYPE_CHECKING:
    import optuna

Numbers = tuple[int, ...]  # of a configuration: the choice of each block

_TRIES = 20  # changes of a configuration that are scored before it counts as the best near it
_LEAST_SHARE = 1e-3  # what a choice that costs nothing is taken to cost, to compare gains a share
_REPEATS = 100  # proposals in a row that are over the budget or known before TPE is stopped
_SPACE = "keras-se search space"  # the study's attribute that says whose trials it has
_SAID = ("accuracy", "by")  # attributes of a trial, whose value is the loss
_BUDGET = "budget"  # TPE's constraint


def search(
    score: Callable[[SEByBlock], Score],
    share: Callable[[SEByBlock], float],
    space: SearchSpace,
    budget: float,
    trials: int = 100,
    study: optuna.Study | None = None,
    seed: int = 0,
    watch: Callable[[Evaluation], None] | None = None,
) -> tuple[Evaluation, ...]:
    """Score configurations of a space, ever better ones within a budget.

    First no SE, and each choice of each block alone. Then choices are taken one by one, the one of
    the greatest gain for its share of time first, while they fit into the budget and lower the
    loss; then one choice is changed, or one exchanged for another, as long as that lowers it. At
    last Optuna's TPE proposes, with the budget as a constraint. What it proposes beyond the budget
    is not scored.

    Nothing is scored twice. Where the study is kept in a file or a database, an interrupted search
    goes on, and one with another budget or other costs begins with what is known.

    Args:
        score: What a configuration does; less loss is better.
        share: SE's extra time, over that of the SE-free network, such as `Profile.share`.
        space: The configurations.
        budget: The largest share that is wanted.
        trials: How many configurations TPE is to score.
        study: What keeps the evaluations, of one supernet; by default it is in memory.
        seed: Of TPE.
        watch: Called after each evaluation with it.

    Returns:
        All evaluations, those of the study first, each `by` what proposed it: `nowhere`, `single`,
        `greedy`, `swap` or `tpe`. `best` finds the best within a budget.

    Raises:
        ValueError: The budget is below 0, or the study is of another space or none of ours.
        ImportError: Optuna is not installed.

    Source:
        A gain that fell since it was last computed is computed anew before it is taken: Minoux,
        1978, "Accelerated greedy algorithms". TPE: Bergstra et al., 2011.
    """
    if isinstance(budget, bool) or not isinstance(budget, int | float) or not budget >= 0:
        raise ValueError(
            f"`budget` must be SE's share of the SE-free network's time, at least 0: the SE-free "
            f"network itself takes all that is without it. Received: budget={budget!r}. For 4 % "
            f"more time, pass 0.04."
        )
    check_count("trials", trials, 0, "For greedy search alone, pass 0.")
    found = _Search(score, share, space, budget, study, seed, watch)
    found.singles()
    found.swaps(found.greedy())
    found.propose(trials)
    return tuple(found.evaluations.values())


def best(
    evaluations: Iterable[Evaluation], budget: float, count: int = 1
) -> tuple[Evaluation, ...]:
    """Return the evaluations of least loss within a budget, best first."""
    within = [each for each in evaluations if each.share <= budget]
    return tuple(sorted(within, key=lambda each: (each.loss, each.share))[:count])


class _Search:
    """One search; configurations are numbers of choices here, see `SearchSpace.numbers`.

    Each stage asks again for what is known, so that a search that goes on takes the same way.
    """

    def __init__(self, score, share, space, budget, study, seed, watch):
        optuna = imported()
        self.score, self.share_of, self.space, self.budget = score, share, space, budget
        self.study, self.seed, self.watch = study or _study_in_memory(), seed, watch
        self.distributions: dict[str, Any] = {
            f"block {i}": optuna.distributions.CategoricalDistribution(range(len(block)))
            for i, block in enumerate(space.blocks)
        }
        self.nowhere = (0,) * len(space.blocks)
        self.shares, self.evaluations = {}, {}
        self._resume()

    def _resume(self):
        wanted, trials = self.space.fingerprint, self.study.trials
        found = self.study.user_attrs.get(_SPACE)
        if found != wanted and (found or trials):
            raise ValueError(
                f"A study must be of the search space that is searched. Received: study "
                f"{self.study.study_name!r}, which is of another than this one of "
                f"{self.space.network!r}. Name another study, or search that space."
            )
        self.study.set_user_attr(_SPACE, wanted)
        for trial in trials:
            self._keep(self._numbers(trial), trial.value, *(trial.user_attrs[n] for n in _SAID))

    def _numbers(self, trial):
        return tuple(trial.params[name] for name in self.distributions)

    def _keep(self, numbers, loss, accuracy, by):
        se, share = rows_of(self.space.configuration(numbers)), self.share(numbers)
        self.evaluations[numbers] = made = Evaluation(se, loss, accuracy, share, by)
        return made

    def share(self, numbers: Numbers) -> float:
        if numbers not in self.shares:
            self.shares[numbers] = float(self.share_of(self.space.configuration(numbers)))
        return self.shares[numbers]

    def fits(self, numbers: Numbers) -> bool:
        return self.share(numbers) <= self.budget

    def loss(self, numbers: Numbers, by: str) -> float:
        """Return the loss of a configuration, scored now if it is not yet in the study."""
        if numbers not in self.evaluations:
            score = self.score(self.space.configuration(numbers))
            said = dict(zip(_SAID, (score.accuracy, by), strict=True))
            self.study.add_trial(self._trial(numbers, score.loss, user_attrs=said))
            made = self._keep(numbers, score.loss, **said)
            if self.watch:
                self.watch(made)
        return self.evaluations[numbers].loss

    def _trial(self, numbers, loss, **more):
        return imported().trial.create_trial(
            value=loss,
            params=dict(zip(self.distributions, numbers, strict=True)),
            distributions=self.distributions,
            **more,
        )

    def singles(self) -> None:
        """Score no SE and each choice alone, and note what each gains."""
        sizes = enumerate(map(len, self.space.blocks))
        choices = [(block, number) for block, size in sizes for number in range(1, size)]
        alone = {choice: _changed(self.nowhere, choice) for choice in choices}
        for numbers in alone.values():
            self.share(numbers)  # a choice that was not profiled is told before hours of scoring
        without = self.loss(self.nowhere, "nowhere")
        self.gains = {c: without - self.loss(numbers, "single") for c, numbers in alone.items()}

    def greedy(self) -> Numbers:
        """Take choices by gain a share; return what came of it."""
        now, gains = self.nowhere, {choice: (gain, 0) for choice, gain in self.gains.items()}
        while True:
            worth = {}
            for choice, (gain, _) in gains.items():
                more = _changed(now, choice)
                if gain > 0 and not now[choice[0]] and self.fits(more):
                    cost = self.share(more) - self.share(now)
                    worth[choice] = gain / max(cost, _LEAST_SHARE)
            if not worth:
                return now
            choice = max(worth, key=lambda c: worth[c])
            more, count = _changed(now, choice), sum(map(bool, now))
            if gains[choice][1] == count:  # its gain is that of here
                now = more
            else:
                gains[choice] = self.loss(now, "greedy") - self.loss(more, "greedy"), count

    def swaps(self, now: Numbers | None) -> None:
        """Change one choice, or two at once, as long as one of the most hopeful changes helps."""
        while now is not None:
            loss = self.loss(now, "swap")
            moves = sorted(self._moves(now), key=self._hope, reverse=True)
            tries = itertools.islice(filter(self.fits, moves), _TRIES)
            now = next((each for each in tries if self.loss(each, "swap") < loss), None)

    def _hope(self, numbers):
        """What its choices would gain if each did what it does alone."""
        return math.fsum(self.gains[choice] for choice in enumerate(numbers) if choice[1])

    def _moves(self, now):
        """Each configuration that differs in one block, or in two of which one has SE now."""
        sizes = enumerate(map(len, self.space.blocks))
        changes = [(block, n) for block, size in sizes for n in range(size) if n != now[block]]
        pairs = ((a, b) for a, b in itertools.combinations(changes, 2) if a[0] != b[0])
        yield from (_changed(now, change) for change in changes)
        yield from (_changed(now, a, b) for a, b in pairs if now[a[0]] or now[b[0]])

    def propose(self, trials: int) -> None:
        """Let TPE propose until it has scored so many, or nothing new comes."""
        optuna = imported()
        seed = self.seed + len(self.evaluations)  # or it would propose again what it did
        study = _study_in_memory(optuna.samplers.TPESampler(seed=seed))
        for numbers, each in self.evaluations.items():
            over = {_BUDGET: each.share - self.budget}
            study.add_trial(self._trial(numbers, each.loss, constraints=over))
        done, idle = sum(each.by == "tpe" for each in self.evaluations.values()), 0
        while done < trials and idle < _REPEATS:
            trial = study.ask(self.distributions)
            numbers = self._numbers(trial)
            new = numbers not in self.evaluations and self.fits(numbers)
            trial.set_constraint(_BUDGET, self.share(numbers) - self.budget)
            if not self.fits(numbers):
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:  # what is known is told again, or TPE would propose it for ever
                study.tell(trial, self.loss(numbers, "tpe"))
            done, idle = (done + 1, 0) if new else (done, idle + 1)


def _study_in_memory(sampler=None):
    with quiet_optuna():
        return imported().create_study(sampler=sampler)


def _changed(numbers, *changes):
    """Return the numbers with each (block, number) of the changes in place."""
    found = list(numbers)
    for block, number in changes:
        found[block] = number
    return tuple(found)
