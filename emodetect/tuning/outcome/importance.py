"""How much each searched key matters."""

from __future__ import annotations

import math

from optuna import Study, create_study
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState, create_trial

# With fewer finished trials, the importance of a key is a guess.
LEAST_FOR_IMPORTANCE = 10


def importances(study: Study) -> dict[str, float]:
    """Return the share of the objective's variance that each key explains (Hutter et al. 2014).

    The rest is that of keys together, and noise. A range that is searched on a log scale counts on
    it: on Optuna's linear one, nearly all of it would be the largest values.
    """
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(finished) < LEAST_FOR_IMPORTANCE:
        return {}
    measured = create_study()
    measured.add_trials(map(_on_scale, finished))
    try:
        shares = get_param_importances(
            measured, evaluator=FanovaImportanceEvaluator(seed=0), normalize=False
        )
    except RuntimeError:  # all values are the same
        return {}
    return dict(shares)


def _on_scale(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial with the logarithms of values that were searched on a log scale."""
    params, distributions = dict(trial.params), dict(trial.distributions)
    for key, searched in trial.distributions.items():
        if isinstance(searched, FloatDistribution | IntDistribution) and searched.log:
            params[key] = math.log(params[key])
            distributions[key] = FloatDistribution(math.log(searched.low), math.log(searched.high))
    return create_trial(value=trial.value, params=params, distributions=distributions)
