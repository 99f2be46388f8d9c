"""The trials of a study that several processes share, each of which may be killed at any moment.

Optuna's own way (`fail_stale_trials` with a retry callback) marks a dead process's trial as failed
and then queues a copy: a process killed in between loses the trial, and journal files have no
heartbeat. Here a trial is continued by a successor, which is created first. All processes reckon
from the stored trials alone which of several successors counts: the first. Whoever created another
withdraws it, so no order of kills loses or doubles a trial.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna import Study, load_study
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from emodetect.errors import ConfigError
from emodetect.machine.locks import locked
from emodetect.tuning.definition import DEFINITION, Definition

# The names of what a trial stores with Optuna.
ORIGIN = "origin"  # number of the trial that it continues, directly or by way of others
CONTINUES = "continues"  # number of the trial whose process ended
PROCESS, HOST = "process", "host"
HEARTBEAT = "heartbeat"
RELEASED = "released"  # its process ended in order, by Ctrl-C or an error
ATTEMPTS = "attempts"  # processes that were killed in a row without finishing an epoch
EPOCHS_BEFORE = "epochs_before"  # that its predecessors have finished
ERROR = "error"  # why it failed; a failed trial without it does not count

PROCESSES = ".processes"
HEARTBEAT_S = 10.0
# A process without a heartbeat for so long is dead: a machine may be busy, or asleep.
STALE_S = 120.0
MOST_ATTEMPTS = 10


def origin(trial: FrozenTrial) -> int:
    """Return the number under which users know a trial, whoever continues it."""
    return int(trial.user_attrs.get(ORIGIN, trial.number))


def settled(trial: FrozenTrial) -> bool:
    """Return whether a trial has ended for good."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or (
        trial.state is TrialState.FAIL and ERROR in trial.user_attrs
    )


def counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count, without withdrawn and continued ones, sorted by origin."""
    by_number = {trial.number: trial for trial in trials}
    chosen: dict[int, FrozenTrial] = {}
    continued = set()
    for number in sorted(by_number):
        trial = by_number[number]
        before = trial.user_attrs.get(CONTINUES)
        if before is not None:
            if before in continued or settled(by_number[before]):
                continue
            continued.add(before)
        if settled(trial) or trial.state is TrialState.RUNNING:
            chosen[origin(trial)] = trial
    return [chosen[number] for number in sorted(chosen)]


@contextlib.contextmanager
def announced(folder: Path) -> Iterator[str]:
    """Yield a name for this process, whose file in `folder` is locked for as long as it lives."""
    name = uuid.uuid4().hex
    file = folder / PROCESSES / name
    file.parent.mkdir(exist_ok=True)
    file.touch()
    with locked(file, wait=False):
        yield name
        file.unlink()


@dataclass
class SharedTrials:
    """The trials of a study, as one of its processes sees, begins and ends them.

    Attributes:
        folder: of this process; others may use the same, or one on another machine.
        process: the name of this process; see `announced`.
        definition: that of its trials.
    """

    study: Study
    storage: BaseStorage
    folder: Path
    process: str
    definition: Definition
    _study_id: int = field(init=False)
    _heartbeats: dict[int, tuple[Any, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._study_id = self.storage.get_study_id_from_name(self.study.study_name)

    def all(self) -> list[FrozenTrial]:
        """Return all trials that count, as stored now."""
        return counted(self.study.get_trials(deepcopy=False))

    def begin(self, most: int, params: Mapping[str, Any], distributions: Any) -> Trial | None:
        """Begin a new trial; None if others have just begun as many as are wanted.

        Args:
            most: how many trials the study may have.
            params, distributions: of Optuna, for values that are not to be drawn.

        Raises ConfigError if another process has just started the study as another one.
        """
        template = create_trial(
            state=TrialState.RUNNING,
            params=dict(params),
            distributions=distributions,
            user_attrs=self._ours(),
        )
        trial = self._new(template)
        try:
            self.definition.check(self.study, self.folder)
        except ConfigError:
            self.withdraw(trial)
            raise
        if trial.number in [one.number for one in self.all()[:most]]:
            return trial
        self.withdraw(trial)
        return None

    def adopt(self, dead: FrozenTrial) -> Trial | None:
        """Begin the successor of a dead process's trial; None if another process was first."""
        progress = len(dead.intermediate_values)
        attempts = 1
        if RELEASED in dead.user_attrs:
            attempts = 0
        elif progress == dead.user_attrs.get(EPOCHS_BEFORE, 0):
            attempts = 1 + int(dead.user_attrs.get(ATTEMPTS, 0))
        if attempts >= MOST_ATTEMPTS:
            self.fail(dead, f"{MOST_ATTEMPTS} processes in a row were killed while training it")
            return None
        template = create_trial(
            state=TrialState.RUNNING,
            params=dead.params,
            distributions=dead.distributions,
            intermediate_values=dead.intermediate_values,
            user_attrs={
                **self._ours(),
                ORIGIN: origin(dead),
                CONTINUES: dead.number,
                ATTEMPTS: attempts,
                EPOCHS_BEFORE: progress,
            },
        )
        trial = self._new(template)
        if not self._counts(trial):
            self.withdraw(trial)
            return None
        for other in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if origin(other) == origin(dead) and other.number < trial.number:
                self._set_state(other._trial_id, TrialState.FAIL)
        if not self._counts(trial):  # it was not dead, and has finished meanwhile
            self.withdraw(trial)
            return None
        return trial

    def _new(self, template: FrozenTrial) -> Trial:
        # Of a study opened anew, because one that is not asked for trials (`Study.ask`) gives its
        # sampler for ever what was stored when it was first sampled.
        study = load_study(
            study_name=self.study.study_name, storage=self.storage, pruner=self.study.pruner
        )
        return Trial(study, self.storage.create_new_trial(self._study_id, template))

    def _ours(self) -> dict[str, Any]:
        return {
            PROCESS: self.process,
            HOST: platform.node(),
            DEFINITION: self.definition.digest,
        }

    def _counts(self, trial: Trial) -> bool:
        return trial.number in [one.number for one in self.all()]

    def finish(self, trial: Trial, state: TrialState, value: float) -> bool:
        """End a trial for good; False if another process has taken it over."""
        return self._set_state(trial._trial_id, state, value)

    def fail(self, trial: Trial | FrozenTrial, error: str) -> bool:
        """End a trial that has no result; False if another process has taken it over."""
        with contextlib.suppress(UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(trial._trial_id, ERROR, error)
        return self._set_state(trial._trial_id, TrialState.FAIL)

    def withdraw(self, trial: Trial) -> None:
        """End a trial of ours that does not count."""
        self._set_state(trial._trial_id, TrialState.FAIL)

    def release(self, trial: Trial) -> None:
        """Leave a trial for any process to continue, now."""
        with contextlib.suppress(Exception):  # the error that ended the trial is the one to tell
            self.storage.set_trial_user_attr(trial._trial_id, RELEASED, True)

    def _set_state(self, trial_id: int, state: TrialState, value: float | None = None) -> bool:
        values = None if value is None else [value]
        try:
            return bool(self.storage.set_trial_state_values(trial_id, state, values))
        except UpdateFinishedTrialError:
            return False

    def is_dead(self, trial: FrozenTrial) -> bool:
        """Return whether the process of a running trial has ended.

        In the same folder on the same machine, its lock shows that; elsewhere, that its heartbeat
        has not changed for STALE_S, on our clock.
        """
        attributes = trial.user_attrs
        if RELEASED in attributes:
            return True
        file = self.folder / PROCESSES / str(attributes.get(PROCESS))
        if attributes.get(HOST) == platform.node() and file.is_file():
            with locked(file, wait=False) as lock:
                if lock != "unknown":
                    return lock == "held"
        now, heartbeat = time.monotonic(), attributes.get(HEARTBEAT)
        last, since = self._heartbeats.get(trial.number, (None, 0.0))
        if trial.number not in self._heartbeats or last != heartbeat:
            self._heartbeats[trial.number] = heartbeat, now
            return False
        return now - since > STALE_S

    @contextlib.contextmanager
    def beating(self, trial: Trial) -> Iterator[None]:
        """Store a heartbeat for a trial from time to time, in another thread."""
        ended = threading.Event()

        def beat() -> None:
            number = 0
            while not ended.wait(HEARTBEAT_S):
                number += 1
                # A storage that cannot be reached is no reason to stop training.
                with contextlib.suppress(Exception):
                    self.storage.set_trial_user_attr(trial._trial_id, HEARTBEAT, number)

        thread = threading.Thread(target=beat, daemon=True, name=f"heartbeat-{os.getpid()}")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
