"""Whether the best trial of a study differs from the others by more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emodetect.errors import DataError
from emodetect.evaluation.comparison import accuracy_p, compare_models
from emodetect.evaluation.metrics.significance import SIGNIFICANT, holm
from emodetect.evaluation.predictions import Predictions, image_keys, read_predictions
from emodetect.evaluation.verdict import FEWEST_DECISIVE, verdict
from emodetect.number_format import signed_decimal, with_interval
from emodetect.tuning.options import TuningOptions
from emodetect.tuning.outcome.trial_result import TrialResult
from emodetect.tuning.work import VALIDATION_FILE


def compare_best(options: TuningOptions, finished: Sequence[TrialResult]) -> list[str]:
    """Return sentences on whether the best trial differs from the others by more than chance.

    Args:
        finished: the finished trials, the best first.
    """
    if len(finished) < 2:
        return ["Only one trial finished, so there is nothing to compare it with."]
    predictions = [_predictions(one) for one in finished]
    best = predictions[0]
    if best is None:
        return _not_paired()
    paired = [
        (one, other)
        for one, other in zip(finished[1:], predictions[1:], strict=True)
        if other is not None and image_keys(other) == image_keys(best)
    ]
    if not paired or paired[0][0] is not finished[1]:
        return _not_paired()
    first, second = f"trial {finished[0].number}", f"trial {finished[1].number}"
    comparison = compare_models([second, first], [paired[0][1], best])
    if options.minimizes:
        return [_log_loss_sentence(first, second, comparison)]
    sentences = verdict(comparison)
    corrected = holm([accuracy_p(best, other) for _, other in paired])
    alike = [one.number for (one, _), p in zip(paired, corrected, strict=True) if p >= SIGNIFICANT]
    if len(paired) > 1:
        sentences.append(
            f"Of {len(paired)} other finished trials, {len(alike)} are not shown to be worse than "
            f"{first} (exact paired test, corrected by Holm's method)."
        )
    return sentences


def _not_paired() -> list[str]:
    return [
        "Whether the best trial differs from the next by more than chance was not tested: their "
        f"runs are not both in this folder, or their {VALIDATION_FILE} are of other images or of "
        "an older version."
    ]


def _predictions(one: TrialResult) -> Predictions | None:
    if one.run is None:
        return None
    try:
        return read_predictions(one.run / VALIDATION_FILE)
    except DataError:
        return None


def _log_loss_sentence(best: str, second: str, comparison: dict[str, Any]) -> str:
    change = comparison["comparisons"][0]["differences"]["log_loss"]
    limits = change["interval_95"]
    interval = with_interval(change["difference"], limits, signed_decimal)
    if limits and limits[1] < 0 and comparison["groups"] >= FEWEST_DECISIVE:
        return f"{best} is better than {second}: difference in log-loss {interval}."
    return f"{second} and {best}: no difference shown; difference in log-loss {interval}."
