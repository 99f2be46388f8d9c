"""Studies of many trainings: what is searched, who trains what, and what comes out."""

from __future__ import annotations

import contextlib
import csv
import math
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from click.testing import CliRunner
from labelled import predictions_of
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from running import posix_only, run_emodetect, run_without
from small import LENET, SMALL

from emodetect.cli import app
from emodetect.config import ExperimentConfig, load_config
from emodetect.data.dataset import load_dataset
from emodetect.data.synthetic import draw_dataset
from emodetect.errors import ConfigError, DataError, EmodetectError, ModelError, StoppedRunError
from emodetect.evaluation.predictions import write_predictions
from emodetect.training import schedule
from emodetect.tuning import storage as storage_module
from emodetect.tuning import trials as trials_module
from emodetect.tuning import work as work_module
from emodetect.tuning.definition import Definition
from emodetect.tuning.options import TuningOptions
from emodetect.tuning.outcome.best_trial import compare_best
from emodetect.tuning.outcome.importance import importances
from emodetect.tuning.outcome.plots import draw_values
from emodetect.tuning.outcome.trial_result import TrialResult, trial_result
from emodetect.tuning.search_space import (
    check_space,
    count_combinations,
    parse_search,
    trial_config,
)
from emodetect.tuning.storage import Journal, open_storage
from emodetect.tuning.trials import SharedTrials, announced, counted, origin
from emodetect.tuning.tune import tune
from emodetect.tuning.work import Work

CONFIG = load_config(SMALL, [*LENET, "training.epochs=5"])
RATE = "training.learning_rate=1e-4..1e-2"


# What is searched.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("training.lr=1..2", "training.lr: unknown key"),
        ("training.learning_rate=0..1", "expected more than 0, got 0"),
        ("model.dropout=0.1..1", "model.dropout: expected less than 1, got 1"),
        ("training.epochs=1..2.5", "training.epochs: expected an integer, got 2.5"),
        ("augmentation.flip=0..1", "augmentation.flip: expected a boolean, got 0"),
        ("model.name=lenet5,vgg", "'lenet5', got \"vgg\""),
        ("model.name=1..2", "model.name: expected 'mobilenet_v2'"),
        ("training.epochs=5..5", "the range is empty"),
        ("training.epochs=5..2", "the range is empty"),
        ("training.learning_rate=a..b", "expected two numbers"),
        ("training.learning_rate=0.1..inf", "expected two numbers"),
        ("training.epochs=3", "--set training.epochs=3"),
        ("augmentation.mixup=0.2,0.20", "given twice"),
        ("augmentation.mixup=0,0.0", "given twice"),
        ('training.devices=1,"1"', "given twice"),
        (f"training.epochs=1..{'9' * 400}", "expected two numbers"),
        ("augmentation.mixup=0,,0.2", "no value between two commas"),
        ("augmentation.mixup", "expected KEY=LOW..HIGH or KEY=VALUE,VALUE"),
        ("=1..2", "expected KEY=LOW..HIGH or KEY=VALUE,VALUE"),
        ("output=a,b", "own run folder"),
        ("seed=1..9", "chance"),
        ('data.classes=["happy", "sad"],["sad", "angry"]', "other images cannot be compared"),
        ("training.folds=0,5", "does not change the model"),
        ('training.track=["tensorboard"],[]', "does not change the model"),
    ],
)
def test_a_search_that_cannot_be_is_refused_like_a_config(text: str, words: str) -> None:
    """Both ends of a range and all choices are checked, with the key and what was expected."""
    with pytest.raises(ConfigError) as error:
        check_space(CONFIG, parse_search([text]))
    assert words in str(error.value)
    assert "--search" in str(error.value)


def test_values_are_checked_together() -> None:
    """Values that are valid alone, but not in one config, are refused before any training."""
    alone = parse_search(["training.warmup_epochs=1..4"])
    check_space(CONFIG, alone)
    together = parse_search(["training.epochs=2..8", "training.warmup_epochs=1..4"])
    with pytest.raises(ConfigError, match="warmup_epochs: expected less than epochs"):
        check_space(CONFIG, together)
    # The error names the value that is to blame, whichever pair it is found with.
    three = parse_search([RATE, "training.batch_size=8..32", "training.imbalance=none,focal"])
    check_space(CONFIG, three)
    with pytest.raises(ConfigError, match=r"imbalance=none.*\n.*only for training\.imbalance"):
        check_space(CONFIG, (*three, *parse_search(["training.focal_gamma=1.0,2.0"])))
    check_space(CONFIG, parse_search(["training.epochs=20..30", "training.warmup_epochs=5..9"]))


def test_a_key_is_searched_once() -> None:
    """A key given twice to --search, or also to --set, is refused."""
    with pytest.raises(ConfigError, match="given twice"):
        parse_search([RATE, "training.learning_rate=1e-3,1e-2"])
    words = ["tune", "--config", "demo", "--search", RATE, "--set", "training.learning_rate=1e-3"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "--set and --search" in result.output


@pytest.mark.parametrize(
    ("text", "log"),
    [
        ("training.learning_rate=1e-3..5e-3", True),  # a rate
        ("training.weight_decay=0.001..0.1", True),
        ("training.weight_decay=0.01..0.1", False),  # a factor of 10, not more
        ("model.dropout=0..0.5", False),  # 0 has no logarithm
        ("training.batch_size=8..128", True),
    ],
)
def test_rates_and_wide_ranges_are_searched_on_a_log_scale(text: str, log: bool) -> None:
    """A factor matters there, not a difference."""
    (searched,) = parse_search([text])
    assert searched.distribution.log is log


def test_a_trial_gets_values_of_the_type_of_the_key() -> None:
    """Integers stay integers, a range from 0 to 1 of a number has fractions, arrays stay arrays."""
    space = parse_search(
        ["training.epochs=5..9", "augmentation.erasing=0..1", "model.dense=[64],[128, 64]"]
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(20):
        trial = study.ask()
        params = {one.key: one.draw(trial) for one in space}
        config = trial_config(CONFIG, space, params)
        assert isinstance(config.training.epochs, int)
        assert 0 < config.augmentation.erasing < 1
        assert config.model.dense in ((64,), (128, 64))


# Who trains what. A stub trains; the storage and the claims are real.


class KilledError(BaseException):
    """What stands for SIGKILL: no code of ours may handle it."""


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Return a function: from as many writes to the storage on, every further one kills."""
    usual = Journal.append_logs
    left: list[int | None] = [None]

    def append(backend: Journal, logs: list[dict[str, Any]]) -> None:
        if left[0] is not None:
            if left[0] <= 0:
                raise KilledError
            left[0] -= 1
        usual(backend, logs)

    monkeypatch.setattr(Journal, "append_logs", append)

    def set_left(writes: int | None) -> None:
        left[0] = writes

    return set_left


def stub_training(monkeypatch: pytest.MonkeyPatch, trained: list[int]) -> None:
    """Let a training be two reported epochs, and note that it has ended."""

    def train(work: Work, trial: Any, number: int, config: Any) -> float:
        for epoch in range(2):
            if epoch not in work._stored(trial).intermediate_values:
                trial.report(0.5, epoch)
        trained.append(number)
        return float(config.training.learning_rate)

    monkeypatch.setattr(Work, "_train", train)
    monkeypatch.setattr(work_module, "SECONDS_BETWEEN_LOOKS", 0.01)


def options_of(folder: Path, **others: Any) -> TuningOptions:
    """Return the options of a small study with a journal file."""
    values = {"config": CONFIG, "search": (RATE,), "output": folder, "trials": 3, **others}
    return TuningOptions(**values)


def open_study(options: TuningOptions, process: str) -> SharedTrials:
    """Open the study's storage as a process of its own does."""
    storage = open_storage(str(options.output / "journal.log"), options.output)
    study = optuna.create_study(
        storage=storage, study_name="study", direction="maximize", load_if_exists=True
    )
    definition = Definition.of(options, parse_search(options.search), images="")
    definition.store(study)
    return SharedTrials(study, storage, options.output, process, definition)


def work_on(options: TuningOptions) -> list[optuna.trial.FrozenTrial]:
    """Work on a study until it is complete, as one process, and return its trials."""
    with announced(options.output) as process:
        trials = open_study(options, process)
        Work(options, parse_search(options.search), trials).run()
        return trials.all()


def test_a_kill_at_any_write_loses_and_doubles_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dying: Callable[[int | None], None]
) -> None:
    """Killed before each write of a study in turn, then twice in a row, it ends with 3 trials."""
    trained: list[int] = []
    stub_training(monkeypatch, trained)
    for writes in range(1, 60):
        folder = tmp_path / str(writes)
        folder.mkdir()
        options = options_of(folder)
        killed = False
        for allowed in (writes, writes // 2):
            dying(allowed)
            try:
                work_on(options)
            except KilledError:
                killed = True
        dying(None)
        trained.clear()
        known = work_on(options)
        assert [trial.state for trial in known] == [TrialState.COMPLETE] * 3
        assert len({trial.params["training.learning_rate"] for trial in known}) == 3
        assert len({origin(trial) for trial in known}) == 3
        if not killed:
            assert writes > 12  # all writes have been tried
            return
    pytest.fail("the study has more writes than expected")


def test_of_two_successors_only_the_first_counts(tmp_path: Path) -> None:
    """Two processes that find the same dead trial at the same moment do not both continue it."""
    options = options_of(tmp_path)
    dead = open_study(options, "dead").begin(3, {}, {})
    assert dead is not None
    first, second = open_study(options, "first"), open_study(options, "second")
    (seen,) = first.all()
    (also_seen,) = second.all()
    assert first.adopt(seen) is not None
    assert second.adopt(also_seen) is None
    (left,) = second.all()
    assert origin(left) == dead.number
    assert left.user_attrs["process"] == "first"


def test_a_process_that_was_only_silent_does_not_count_twice(tmp_path: Path) -> None:
    """A trial taken over cannot be finished by its first process, and not be taken if finished."""
    options = options_of(tmp_path)
    silent = open_study(options, "silent")
    other = open_study(options, "other")
    taken, finished = silent.begin(3, {}, {}), silent.begin(3, {}, {})
    assert taken is not None
    assert finished is not None
    before = other.all()
    assert silent.finish(finished, TrialState.COMPLETE, 0.5)
    assert other.adopt(before[1]) is None
    adopted = other.adopt(before[0])
    assert adopted is not None
    assert not silent.finish(taken, TrialState.COMPLETE, 0.5)
    assert other.finish(adopted, TrialState.COMPLETE, 0.6)
    assert [trial.value for trial in silent.all()] == [0.6, 0.5]


def test_a_process_on_another_machine_is_dead_without_a_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no lock can be seen, a trial is left alone as long as its heartbeat changes."""
    options = options_of(tmp_path)
    elsewhere = open_study(options, "elsewhere")
    monkeypatch.setattr(trials_module, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(trials_module, "STALE_S", 1.0)
    here = open_study(options, "here")
    trial = elsewhere.begin(3, {}, {})
    assert trial is not None
    with elsewhere.beating(trial):
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert not here.is_dead(here.all()[0])
            time.sleep(0.1)
    here.is_dead(here.all()[0])
    time.sleep(1.1)
    assert here.is_dead(here.all()[0])


def test_a_trial_that_kills_every_process_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that no memory holds must not occupy the study for ever."""
    stub_training(monkeypatch, [])
    options = options_of(tmp_path)
    assert open_study(options, "0").begin(3, {}, {}) is not None
    for process in range(1, trials_module.MOST_ATTEMPTS + 1):
        trials = open_study(options, str(process))
        (dead,) = trials.all()
        trials.adopt(dead)
    (given_up,) = open_study(options, "last").all()
    assert given_up.state is TrialState.FAIL
    assert "killed" in given_up.user_attrs["error"]


def test_a_finite_space_is_searched_without_repetition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With four combinations there are four trials, however many are asked for."""
    stub_training(monkeypatch, [])
    search = ("augmentation.mixup=0,0.2", "training.epochs=5..6")
    known = work_on(options_of(tmp_path, search=search, trials=40))
    assert len(known) == 4
    assert len({tuple(sorted(trial.params.items())) for trial in known}) == 4


def test_later_trials_learn_from_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ten trials, which are drawn at random, values are drawn where they were best."""
    tried: list[float] = []

    def train(work: Work, trial: Any, number: int, config: Any) -> float:
        tried.append(abs(math.log10(config.training.learning_rate) + 3))
        return -tried[-1]

    monkeypatch.setattr(Work, "_train", train)
    work_on(options_of(tmp_path, trials=40))
    assert np.median(tried[-15:]) < 0.5 * np.median(tried[:10])


def test_a_torn_line_does_not_spoil_a_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut in the middle of a write leaves a study that goes on."""
    stub_training(monkeypatch, [])
    options = options_of(tmp_path)
    work_on(options)
    with (tmp_path / "journal.log").open("ab") as file:
        file.write(b'{"op_code":4,"wor')
    assert len(work_on(options_of(tmp_path, trials=5))) == 5


def test_nothing_is_appended_to_half_a_line(tmp_path: Path) -> None:
    """A heartbeat that a full disk or a kill cut short does not spoil the one after it."""
    options = options_of(tmp_path)
    trials = open_study(options, "process")
    trial = trials.begin(3, {}, {})
    assert trial is not None
    with (tmp_path / "journal.log").open("ab") as file:
        file.write(b'{"op_code":8,"wor')
    trial.report(0.5, 0)
    assert open_study(options, "other").all()[0].intermediate_values == {0: 0.5}


def test_a_damaged_line_of_a_journal_is_told(tmp_path: Path) -> None:
    """While a study lasts, and when it is opened."""
    trials = open_study(options_of(tmp_path), "process")
    with (tmp_path / "journal.log").open("ab") as file:
        file.write(b'{"op_code":8,"wor{"op_code":8}\n{}\n')
    with pytest.raises(EmodetectError, match=r"journal\.log: a line of the journal is damaged"):
        trials.all()
    with pytest.raises(EmodetectError, match=r"journal\.log: a line of the journal is damaged"):
        open_study(options_of(tmp_path), "other")


def test_a_file_of_others_is_not_emptied(tmp_path: Path) -> None:
    """A JSON file in one line, without a line end, is not half a line of a journal."""
    other = tmp_path / "results.json"
    other.write_text('{"accuracy": 0.7}')
    with pytest.raises(EmodetectError, match="expected a journal file of Optuna"):
        open_storage(str(other), tmp_path)
    assert other.read_text() == '{"accuracy": 0.7}'


@pytest.mark.parametrize("name", ["file::memory:?cache=shared&uri=true", ":memory:", ""])
def test_a_study_in_memory_has_one_connection(tmp_path: Path, name: str) -> None:
    """SQLite's databases in memory are gone with their last connection."""
    storage = open_storage(f"sqlite:///{name}", tmp_path)
    assert storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE]) is not None


@pytest.mark.parametrize("revision", ["v3.0.0.d", "v9.9.9.z"])
def test_a_database_of_another_optuna_is_told(revision: str, tmp_path: Path) -> None:
    """Optuna says what to do, in an error of no type of its own."""
    url = f"sqlite:///{tmp_path / 'study.db'}"
    open_storage(url, tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    with pytest.raises(EmodetectError, match=r"study.db cannot be opened: The runtime optuna"):
        open_storage(url, tmp_path)


def test_a_study_that_is_deleted_meanwhile_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_overrides: list[str]
) -> None:
    """That is no fault of the trial that is trained at that moment."""

    def train(work: Work, trial: Any, number: int, config: Any) -> float:
        optuna.delete_study(study_name="tuning", storage=work.trials.storage)
        trial.report(0.5, 0)
        return 0.5

    monkeypatch.setattr(Work, "_train", train)
    config = load_config(SMALL, [*small_overrides, *LENET])
    options = options_of(tmp_path / "tuned", config=config)
    with pytest.raises(EmodetectError, match=r"study.db: the study has been deleted meanwhile"):
        tune(options)


def test_what_a_database_says_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_overrides: list[str]
) -> None:
    """Optuna says of all errors that the data may be invalid, and Keras drops their cause."""

    def train(work: Work, trial: Any, number: int, config: Any) -> float:
        with contextlib.closing(sqlite3.connect(tmp_path / "tuned" / "study.db")) as other:
            other.execute("BEGIN")
            other.execute("SELECT * FROM trials").fetchone()  # until it ends, nobody can commit
            try:
                trial.report(0.5, 0)
            except StorageInternalError as error:
                raise error from None  # as Keras does with what a callback raises
        return 0.5

    monkeypatch.setattr(Work, "_train", train)
    monkeypatch.setattr(storage_module, "SQLITE_WAIT_S", 0.1)
    config = load_config(SMALL, [*small_overrides, *LENET])
    with pytest.raises(EmodetectError, match="cannot be used any longer: database is locked"):
        tune(options_of(tmp_path / "tuned", config=config))


def test_a_restarted_server_ends_no_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that the server has closed is noticed before it is used, and replaced."""
    engines = list[dict[str, Any]]()

    def connect(url: str, *, engine_kwargs: dict[str, Any]) -> RDBStorage:
        engines.append(engine_kwargs)
        return RDBStorage("sqlite://")

    monkeypatch.setattr(storage_module, "RDBStorage", connect)
    open_storage("postgresql://server/name", tmp_path)
    assert engines == [{"pool_pre_ping": True}]


@posix_only
def test_a_folder_whose_name_is_not_utf8_is_refused(
    tmp_path: Path, small_overrides: list[str]
) -> None:
    """The config of a trial could not be written, nor a database be named there."""
    folder = tmp_path / os.fsdecode(b"\xe9t\xe9")
    config = load_config(SMALL, [*small_overrides, *LENET])
    with pytest.raises(ConfigError, match=r"^--output: expected text in UTF-8, got b'.*t\\xe9'"):
        tune(options_of(folder, config=config))
    assert not folder.exists()


@posix_only
@pytest.mark.parametrize("name", ["a?b", "50%41", "{x}", "a b#é"])
def test_a_study_is_in_its_folder_whatever_its_name(name: str, tmp_path: Path) -> None:
    """A character that means something in a URL is part of the folder's name."""
    open_storage(None, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "study.db").is_file()


def test_a_huge_range_is_counted_without_memory_for_its_values() -> None:
    """A range of 10^12 integers has so many combinations."""
    assert count_combinations(parse_search([f"seed=1..{10**12}"])) == 10**12


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        ("postgresql://me:secret@127.0.0.1:1/faces", "me:***@127.0.0.1"),
        ("sqlite:////nowhere/study.db", "unable to open database file"),
        ("postgres://host/name", "expected postgresql:// instead of postgres://"),
        ("nonsense://host/name", "Can't load plugin: sqlalchemy.dialects:nonsense"),
        ("/nowhere/journal.log", "No such file or directory"),
        ("study.db", "sqlite:///study.db"),
        ("{other}", "expected a journal file of Optuna"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_one_line(
    storage: str, words: str, tmp_path: Path
) -> None:
    """It names the storage, without its password, and no folder is left behind."""
    other = tmp_path / "notes.txt"
    other.write_text("mine\n")
    folder = tmp_path / "study"
    with pytest.raises(EmodetectError) as error:
        open_storage(storage.format(other=other), folder)
    assert words in str(error.value)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)
    assert not folder.exists()
    assert other.read_text() == "mine\n"


# What comes out.


def test_of_two_configs_that_start_a_study_at_once_only_one_is_trained(tmp_path: Path) -> None:
    """That of the first trial; the other process is told before it trains anything."""
    options = options_of(tmp_path)
    longer = {"training": CONFIG.training.model_copy(update={"epochs": 77})}
    other = replace(options, config=CONFIG.model_copy(update=longer))
    first, second = open_study(options, "first"), open_study(other, "second")
    assert first.begin(3, {}, {}) is not None
    with pytest.raises(ConfigError, match=r"other values of training\.epochs; give the same"):
        second.begin(3, {}, {})
    assert len(first.all()) == 1
    assert first.begin(3, {}, {}) is not None


def test_a_study_of_another_program_is_refused(tmp_path: Path) -> None:
    """Its trials cannot be compared with ours."""
    options = options_of(tmp_path)
    open_study(options, "first").study.ask()
    with pytest.raises(ConfigError, match="trials of another program"):
        open_study(options, "second").begin(3, {}, {})


@pytest.mark.parametrize("seed", range(4))
def test_processes_that_draw_at_the_same_moment_try_different_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """The later trial waits for the values of the earlier one, and does not repeat them."""
    stub_training(monkeypatch, [])
    config = CONFIG.model_copy(update={"seed": seed})
    batches = ("training.batch_size=16,32",)
    options = options_of(tmp_path, config=config, search=batches, trials=2)
    with announced(tmp_path) as name:
        trials = open_study(options, name)
        early, late = (Work(options, parse_search(batches), trials) for _ in range(2))
        before = trials.begin(2, {}, {})
        other = threading.Thread(target=late._attempt, args=[trials.begin(2, {}, {})])
        other.start()
        until_s = time.monotonic() + 60
        while not trials.all()[1].params and time.monotonic() < until_s:
            time.sleep(0.01)
        early._attempt(before)
        other.join()
        early.run()
        sizes = [trial.params["training.batch_size"] for trial in trials.all()]
    assert len(sizes) == len({*sizes}) == 2


@pytest.mark.parametrize("seed", range(4))
def test_a_trial_that_was_begun_but_not_drawn_repeats_no_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Its process was killed in between, and later trials have not waited for it."""
    stub_training(monkeypatch, [])
    config = CONFIG.model_copy(update={"seed": seed})
    batches = ("training.batch_size=16,32,64",)
    options = options_of(tmp_path, config=config, search=batches, trials=3)
    assert open_study(options, "killed").begin(3, {}, {}) is not None
    monkeypatch.setattr(SharedTrials, "is_dead", lambda trials, one: one.number == 0)
    sizes = [trial.params["training.batch_size"] for trial in work_on(options)]
    assert sorted(sizes) == ["16", "32", "64"]


def test_a_run_of_other_images_than_the_study_is_told(tmp_path: Path) -> None:
    """Trained in the moment in which a photo was away, it is to be trained again."""
    config = config_of_faces(tmp_path)
    options = options_of(tmp_path / "tuned", config=config, trials=1)
    tune(options)
    photo = next((tmp_path / "faces" / "sad").iterdir())
    photo.rename(tmp_path / photo.name)
    with pytest.raises(DataError, match="other images than those of the study; remove this folder"):
        work_module._validate(options.run_folder(0), config)


def test_a_trial_that_another_machine_finished_has_no_run_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it was begun here, and its folder is there: it has no model to evaluate."""
    stub_training(monkeypatch, [])
    options = options_of(tmp_path, trials=1)
    (trial,) = work_on(options)
    run = options.run_folder(0)
    run.mkdir(parents=True)
    (run / "config.toml").touch()
    assert trial_result(options, parse_search(options.search), trial).run is None
    (run / "best_model.keras").touch()
    assert trial_result(options, parse_search(options.search), trial).run == run


def test_trials_that_others_still_train_are_no_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_overrides: list[str]
) -> None:
    """A process that asked for fewer trials ends with those that have ended."""
    stub_training(monkeypatch, [])
    config = load_config(SMALL, [*small_overrides, *LENET])
    options = options_of(tmp_path / "tuned", config=config, trials=1)
    tune(options)
    space = parse_search(options.search)
    images = load_dataset(config.data, seed=config.seed).fingerprint
    storage = open_storage(None, options.output)
    study = optuna.load_study(study_name="tuning", storage=storage)
    definition = Definition.of(options, space, images=images)
    with announced(options.output) as name:
        other = SharedTrials(study, storage, options.output, name, definition)
        assert other.begin(2, {}, {}) is not None
        result = tune(options)
    assert [one.state for one in result.trials] == ["finished"]
    assert result.summary[0] == "1 trials: 1 finished"


def result_of(
    folder: Path, number: int, right: list[bool], *, people: int | None = None
) -> TrialResult:
    """Return a finished trial whose model is right on some images, and is half sure.

    Images are of so many people, taken in turn; if None, each is of its own.
    """
    run = folder / str(number)
    run.mkdir()
    rows = [[0.7, 0.3] if one else [0.3, 0.7] for one in right]
    predictions = predictions_of([0] * len(right), rows, ("happy", "sad"))
    predictions = replace(predictions, groups=predictions.groups % (people or len(right)))
    write_predictions(predictions, run / "validation.csv")
    accuracy = sum(right) / len(right)
    return TrialResult(number, "finished", accuracy, accuracy, 0.5, 2, {}, run, "", (accuracy,))


def test_the_summary_says_whether_the_best_is_better_by_more_than_chance(tmp_path: Path) -> None:
    """By McNemar's test on the same validation images: 40 images more are, two are not."""
    best = result_of(tmp_path, 4, [True] * 90 + [False] * 10)
    close = result_of(tmp_path, 1, [True] * 88 + [False] * 12)
    far = result_of(tmp_path, 2, [True] * 50 + [False] * 50)
    options = options_of(tmp_path)
    assert "no difference shown" in compare_best(options, [best, close])[0]
    assert "trial 4 is better than trial 2" in compare_best(options, [best, far])[0]
    lines = compare_best(options, [best, close, far])
    assert "Of 2 other finished trials, 1 are not shown to be worse" in lines[1]


@pytest.mark.parametrize("objective", ["accuracy", "log_loss"])
def test_the_best_of_a_few_people_is_not_said_to_be_better(objective: str, tmp_path: Path) -> None:
    """Where 100 validation images are of three people, 40 images more prove nothing."""
    options = options_of(tmp_path, objective=objective)
    for name, people, expected in (("few", 3, "no difference shown"), ("many", 50, "is better")):
        folder = tmp_path / name
        folder.mkdir()
        best = result_of(folder, 4, [True] * 90 + [False] * 10, people=people)
        far = result_of(folder, 2, [True] * 50 + [False] * 50, people=people)
        assert expected in compare_best(options, [best, far])[0]


@pytest.fixture(scope="module")
def words(small_overrides: list[str]) -> list[str]:
    """The command of a study that takes seconds for each trial."""
    overrides = [*small_overrides, *LENET, "training.early_stopping_patience=0"]
    sets = [word for override in overrides for word in ("--set", override)]
    search = ["--search", RATE, "--search", "augmentation.mixup=0,0.2,0.4"]
    return ["tune", "--config", SMALL, *sets, *search]


def rows_of(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a study's trials.csv."""
    with (folder / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def start(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a command line in a process of its own."""
    with log.open("ab") as file:
        command = [sys.executable, "-m", "emodetect", *words]
        return subprocess.Popen(command, stdout=file, stderr=file)


@pytest.mark.nightly
def test_two_processes_share_a_study_and_are_killed(tmp_path: Path, words: list[str]) -> None:
    """With two processes killed at random moments, every trial is there once, none is doubled."""
    folder, log = tmp_path / "tuned", tmp_path / "log"
    command = [*words, "--trials", "4", "--output", str(folder)]
    processes = [start(command, log) for _ in range(2)]
    while not (folder / "trials").is_dir():
        assert processes[0].poll() is None, log.read_text()
        time.sleep(0.1)
    for process in processes:
        time.sleep(random.Random().uniform(0, 4))
        process.kill()
        process.wait()
    processes = [start(command, log) for _ in range(2)]
    assert [process.wait(timeout=300) for process in processes] == [0, 0], log.read_text()
    rows = rows_of(folder)
    assert len(rows) == 4
    assert {row["state"] for row in rows} <= {"finished", "stopped early"}
    assert len({row["training.learning_rate"] for row in rows}) == 4
    for row in rows:
        history = (folder / row["run"] / "history.csv").read_text().splitlines()
        assert len(history) == 1 + int(row["epochs"])


@pytest.mark.parametrize("ends", ["5e-4..2e-3", "1e-4..1e-2", "1e-7..1"])
def test_the_axis_of_a_value_spans_its_range_and_can_be_read(ends: str, tmp_path: Path) -> None:
    """Trials near each other do not narrow it, and at least two labels stand side by side."""
    search = (f"training.learning_rate={ends}", "training.epochs=2..12", "model.dropout=0..0.5")
    options = TuningOptions(config=CONFIG, search=search, output=tmp_path)
    results = [
        TrialResult(
            number=number,
            state="finished",
            value=0.5 + number / 10,
            accuracy=None,
            log_loss=None,
            epochs=1,
            values={"training.learning_rate": rate, "training.epochs": 3, "model.dropout": 0.1},
            run=None,
            error="",
            curve=(),
        )
        for number, rate in enumerate((7e-4, 8e-4, 9e-4))
    ]
    figure = draw_values(options, parse_search(search), results, {})
    figure.draw_without_rendering()
    low, high = (float(end) for end in ends.split(".."))
    assert figure.axes[0].get_xlim()[0] < low < high < figure.axes[0].get_xlim()[1]
    for axes in figure.axes:
        ticks = [*axes.xaxis.get_major_ticks(), *axes.xaxis.get_minor_ticks()]
        first, last = axes.get_xlim()
        labels = [tick.label1 for tick in ticks if first <= tick.get_loc() <= last]
        boxes = [label.get_window_extent() for label in labels if label.get_text()]
        boxes.sort(key=lambda box: box.x0)
        assert len(boxes) >= 2
        assert not any("$" in label.get_text() for label in labels)
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_key_searched_on_a_log_scale_has_its_share() -> None:
    """Most of a range of four decades is in the largest one, where this one changes nothing."""
    rng = np.random.default_rng(0)
    study = optuna.create_study()
    space = {
        "rate": optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True),
        "dropout": optuna.distributions.FloatDistribution(0.0, 0.6),
    }
    for _ in range(60):
        rate, dropout = 10 ** rng.uniform(-5, -1), rng.uniform(0, 0.6)
        value = 0.5 + 0.2 * min(0.0, math.log10(rate) + 3) + 0.03 * dropout
        study.add_trial(
            optuna.trial.create_trial(
                value=value, params={"rate": rate, "dropout": dropout}, distributions=space
            )
        )
    shares = importances(study)
    assert shares["rate"] > 0.8
    assert shares["dropout"] < 0.1
    assert sum(shares.values()) < 1


def test_a_study_ends_with_a_config_to_train(tmp_path: Path, words: list[str]) -> None:
    """best.toml trains the best trial's model again; plots, table and a caution come with it."""
    folder = tmp_path / "tuned"
    done = run_emodetect(*words, "--trials", "2", "--output", folder)
    assert done.returncode == 0, done.stderr
    best = rows_of(folder)[0]
    config = load_config(str(folder / "best.toml"))
    assert config.training.learning_rate == float(best["training.learning_rate"])
    assert config.output == folder / "best"
    for name in ("progress.png", "values.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert "optimistic" in done.stdout
    assert "test split" in done.stdout
    assert "2 of 2 trials done" in done.stderr
    # A warning of ours or of Optuna's; TensorFlow 2.18 has one about its own log.
    assert not re.search(r"WARNING(?!: All log messages before absl)", done.stderr)
    trained = ["train", "--config", str(folder / "best.toml"), "--dry-run"]
    assert CliRunner().invoke(app, trained).exit_code == 0
    folder = folder.rename(tmp_path / "renamed")
    other = CliRunner().invoke(app, [*words, "--output", str(folder), "--set", "model.l2=0.1"])
    assert "started with other values of model.l2" in str(other.exception)
    longer = CliRunner().invoke(app, [*words, "--trials", "3", "--output", str(folder)])
    assert longer.exit_code == 0, longer.exception
    assert len(rows_of(folder)) == 3


def test_a_damaged_database_is_told(tmp_path: Path, words: list[str]) -> None:
    """Without it, a trial of the same values is not trained again, and has all its figures."""
    folder = tmp_path / "tuned"
    command = [*words, "--trials", "1", "--output", str(folder)]
    assert CliRunner().invoke(app, command).exit_code == 0
    before = rows_of(folder)
    database = folder / "study.db"
    database.write_bytes(b"other bytes")
    result = CliRunner().invoke(app, command)
    assert str(result.exception).startswith(f"{database}: cannot be opened: file is not a database")
    assert "remove it and the folder trials to start anew" in str(result.exception)
    database.unlink()
    model = folder / "trials" / "0000" / "best_model.keras"
    written = model.stat().st_mtime_ns
    assert CliRunner().invoke(app, command).exit_code == 0
    assert rows_of(folder) == before
    assert model.stat().st_mtime_ns == written


def test_a_damaged_history_does_not_fail_a_trained_trial(tmp_path: Path, words: list[str]) -> None:
    """It is needed for the figures of epochs only; a spreadsheet may have written it anew."""
    folder = tmp_path / "tuned"
    command = [*words, "--trials", "1", "--output", str(folder)]
    assert CliRunner().invoke(app, command).exit_code == 0
    (folder / "study.db").unlink()
    history = folder / "trials" / "0000" / "history.csv"
    history.write_text(history.read_text().replace(",", ";"))
    assert CliRunner().invoke(app, command).exit_code == 0
    assert [row["state"] for row in rows_of(folder)] == ["finished"]


def test_a_database_that_takes_nothing_more_says_why(tmp_path: Path, words: list[str]) -> None:
    """In the words of the database, not those that Optuna finds for it."""
    folder = tmp_path / "tuned"
    command = [*words, "--trials", "1", "--output", str(folder)]
    assert CliRunner().invoke(app, command).exit_code == 0
    with sqlite3.connect(folder / "study.db") as database:
        database.execute(
            "CREATE TRIGGER closed BEFORE INSERT ON trials BEGIN SELECT RAISE(ABORT, 'closed'); END"
        )
    database.close()
    result = CliRunner().invoke(app, [*words, "--trials", "2", "--output", str(folder)])
    expected = f"{folder / 'study.db'}: cannot be used any longer: closed. Once it can be, run"
    assert str(result.exception).startswith(expected)


def test_a_run_that_cannot_be_written_is_told_without_options_of_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study goes on with its own command, not with --resume."""

    def train(work: Work, trial: Any, number: int, config: Any) -> float:
        raise StoppedRunError(
            "t/0: writing failed: Read-only file system.", "--resume t/0", remedy="make it writable"
        )

    monkeypatch.setattr(Work, "_train", train)
    with pytest.raises(EmodetectError) as error:
        work_on(options_of(tmp_path))
    assert str(error.value) == (
        "t/0: writing failed: Read-only file system. Make it writable, and run the same command "
        "again to continue."
    )


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is POSIX")
@pytest.mark.nightly
def test_ctrl_c_leaves_a_study_that_goes_on(tmp_path: Path, words: list[str]) -> None:
    """It says how to continue, and the trial at hand is continued, not lost."""
    folder, log = tmp_path / "tuned", tmp_path / "log"
    command = [*words, "--trials", "2", "--output", str(folder)]
    process = start(command, log)
    while not (folder / "trials" / "0000" / "history.csv").is_file():
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert "run the same command again" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert run_emodetect(*command).returncode == 0
    assert [row["state"] for row in rows_of(folder)] == ["finished"] * 2


@pytest.mark.parametrize("objective", ["accuracy", "log_loss"])
def test_unpromising_trials_stop_early_and_a_diverged_one_is_a_result(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    small_overrides: list[str],
    objective: str,
) -> None:
    """A trial below the median is cut short; one with NaN is listed with the reason.

    The loss of an epoch, by which trials are stopped, is never shown as a model's log-loss.
    """
    caplog.set_level("INFO")
    from emodetect.errors import DivergedError
    from emodetect.training import train as training

    accuracies = iter([0.5, 0.6, 0.7, 0.6, 0.5, 0.1])
    calls: list[int] = []

    def train(config: Any, *, draw: Any, on_epoch: Any) -> None:
        if len(calls) == 6:
            raise DivergedError("the loss became NaN or infinite")
        accuracy = next(accuracies)
        calls.append(0)
        for epoch in range(5):
            calls[-1] = epoch
            on_epoch(epoch, {"val_accuracy": accuracy, "val_loss": 1 - accuracy})

    figures = {"accuracy": 0.6, "log_loss": 0.4}
    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(work_module, "_validate", lambda run, config: figures)
    config = load_config(SMALL, [*small_overrides, *LENET, "training.epochs=5"])
    result = tune(options_of(tmp_path / "tuned", config=config, trials=7, objective=objective))
    assert calls == [4, 4, 4, 4, 4, 1]
    by_loss = objective == "log_loss"
    told = "validation loss 0.900" if by_loss else "accuracy 10.0%"
    assert f"stopped early at {told}" in caplog.text
    assert result.trials[5].value == (None if by_loss else 0.1)
    assert ("--set training.monitor=val_loss" in caplog.text) == by_loss
    states = [one.state for one in result.trials]
    assert states == ["finished"] * 5 + ["stopped early", "failed"]
    assert "NaN" in result.trials[-1].error


def config_of_faces(tmp_path: Path) -> ExperimentConfig:
    """Return the config of a small training whose splits are drawn from 24 faces in `faces`."""
    draw_dataset(tmp_path, counts={"faces": 12}, emotions=("happy", "sad"), seed=1, size=64)
    changes = ["training.epochs=1", "data.image_size=32", "model.backbone_size=32"]
    words = [*LENET, *changes, f"data.cache_dir={tmp_path / 'cache'}"]
    return load_config(SMALL, words, data=f"folder:{tmp_path / 'faces'}")


def test_a_trial_is_not_validated_on_other_images_than_it_was_trained_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a photo less, another split is drawn, in which there are images of the training."""
    from emodetect.training import train as training

    config = config_of_faces(tmp_path)
    photo = next((tmp_path / "faces" / "sad").iterdir())
    usual = training.train

    def train(*arguments: Any, **options: Any) -> None:
        usual(*arguments, **options)
        photo.rename(tmp_path / photo.name)

    options = options_of(tmp_path / "tuned", config=config, trials=1)
    with monkeypatch.context() as patched:
        patched.setattr(training, "train", train)
        with pytest.raises(DataError, match="the images have changed since the study was started"):
            tune(options)
    (tmp_path / photo.name).rename(photo)
    assert [one.state for one in tune(options).trials] == ["finished"]


def test_no_trial_counts_that_had_other_images_than_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their figures could not be compared; with the photo back, the study goes on."""
    from emodetect.training import train as training

    config = config_of_faces(tmp_path)
    photo = next((tmp_path / "faces" / "sad").iterdir())
    trained = []

    def validate(run: Path, config: Any) -> dict[str, float]:
        if photo.exists() and len(trained) == 1:
            photo.rename(tmp_path / photo.name)
        return {"accuracy": 0.6, "log_loss": 0.4}

    monkeypatch.setattr(training, "train", lambda config, **_: trained.append(config.output))
    monkeypatch.setattr(work_module, "_validate", validate)
    options = options_of(tmp_path / "tuned", config=config, trials=2)
    with pytest.raises(DataError, match="the images have changed since the study was started"):
        tune(options)
    assert len(trained) == 2
    (tmp_path / photo.name).rename(photo)
    assert [one.state for one in tune(options).trials] == ["finished"] * 2
    assert len(trained) == 3


def test_a_trial_is_not_stopped_after_its_last_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_overrides: list[str]
) -> None:
    """There is nothing left to save, and its model is as good a result as any."""
    from emodetect.training import train as training

    last_accuracy = iter([0.9] * 5 + [0.6])

    def train(config: Any, *, draw: Any, on_epoch: Any) -> None:
        for epoch, accuracy in enumerate((0.5, 0.5, next(last_accuracy))):
            on_epoch(epoch, {"val_accuracy": accuracy, "val_loss": 1 - accuracy})

    monkeypatch.setattr(training, "train", train)
    figures = {"accuracy": 0.6, "log_loss": 0.4}
    monkeypatch.setattr(work_module, "_validate", lambda run, config: figures)
    config = load_config(SMALL, [*small_overrides, *LENET, "training.epochs=3"])
    result = tune(options_of(tmp_path / "tuned", config=config, trials=6))
    assert [one.state for one in result.trials] == ["finished"] * 6


@pytest.mark.parametrize(
    ("search", "error"),
    [
        ("model.init=shipped,nope", "nope: expected"),
        ("model.weights=none,nope.h5", "nope.h5"),
        ("training.devices=1,9", "training.devices: expected at most"),
    ],
)
def test_what_a_later_trial_lacks_is_told_before_the_first(
    search: str, error: str, tmp_path: Path, small_overrides: list[str]
) -> None:
    """A missing file or device among the choices is no failed trial after minutes of others."""
    config = load_config(SMALL, [*small_overrides, "training.batch_size=18"])
    with pytest.raises((ConfigError, ModelError), match=re.escape(error)):
        tune(options_of(tmp_path / "tuned", config=config, search=(search,)))
    assert not (tmp_path / "tuned").exists()


def test_a_network_that_cannot_be_built_is_a_failed_trial(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, small_overrides: list[str]
) -> None:
    """Values that no config check can refuse do not end the study, nor each later run of it."""
    caplog.set_level("INFO", "emodetect")
    config = load_config(
        SMALL, [*small_overrides, "model.weights=imagenet", "training.head_epochs=1"]
    )
    search = ("model.width=0.3,0.4",)
    result = tune(options_of(tmp_path / "widths", config=config, search=search))
    assert [one.state for one in result.trials] == ["failed"] * 2
    assert "0.25" in result.trials[0].error  # a width that has weights
    assert "Download" not in result.trials[0].error
    assert caplog.text.count(": failed: model.weights = 'imagenet' cannot be used") == 2
    assert "no trial finished" in result.summary[1]
    assert result.trials[0].error in result.summary[1]
    config = load_config(SMALL, [*small_overrides, *LENET, "training.epochs=1"])
    search = ("training.fine_tune_from=convolution_1,block_12_expand",)
    result = tune(options_of(tmp_path / "layers", config=config, search=search))
    assert [one.state for one in result.trials] == ["finished", "failed"]
    assert "block_12_expand" in result.trials[1].error


def test_values_that_are_invalid_together_get_an_outcome_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A pair that only the trial shows to be invalid is reported as any other failure."""
    caplog.set_level("INFO", "emodetect")

    def refuse(*_: Any) -> None:
        raise ConfigError("this trial: too much of both")

    monkeypatch.setattr(work_module, "trial_config", refuse)
    work_on(options_of(tmp_path, trials=1))
    assert "trial 0: failed: this trial: too much of both; 1 of 1 trials done" in caplog.text


def test_a_batch_that_devices_cannot_share_is_a_failed_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With devices = "all", how many there are is known only here; other batches are tried."""
    monkeypatch.setattr(schedule, "training_devices", lambda _: ["CPU:0", "CPU:1"])
    stub_training(monkeypatch, [])
    config = load_config(SMALL, [*LENET, "training.devices=all"])
    options = options_of(tmp_path, config=config, search=("training.batch_size=8,9",))
    ended = {trial.params["training.batch_size"]: trial.state for trial in work_on(options)}
    assert ended == {"8": TrialState.COMPLETE, "9": TrialState.FAIL}


@pytest.mark.parametrize(
    ("changes", "search"),
    [
        (["training.devices=9", "training.batch_size=18"], RATE),
        (["training.devices=9", "training.batch_size=18"], "training.batch_size=18,27"),
        (["training.devices=all", "training.batch_size=9"], RATE),
    ],
)
def test_devices_that_no_trial_could_use_end_the_study_at_once(
    changes: list[str],
    search: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_overrides: list[str],
) -> None:
    """Devices or a batch that are not searched and cannot be make no study of failed trials."""
    if "training.devices=all" in changes:
        monkeypatch.setattr(schedule, "training_devices", lambda _: ["CPU:0", "CPU:1"])
    config = load_config(SMALL, [*small_overrides, *LENET, *changes])
    with pytest.raises(ConfigError, match="devices"):
        tune(options_of(tmp_path / "tuned", config=config, search=(search,)))
    assert not (tmp_path / "tuned").exists()


@pytest.mark.parametrize(
    ("changes", "search", "output", "words"),
    [
        (["data.fold=[1,3]"], "data.image_size=24,32", "tuned", "draws the folds by the crops"),
        ([], RATE, "faces/tuned", "is inside"),
    ],
)
def test_trials_that_would_get_other_images_are_refused(
    changes: list[str],
    search: str,
    output: str,
    words: str,
    tmp_path: Path,
) -> None:
    """Folds are drawn by pixels; and the plots of a trial are no images for the next."""
    counts = {"faces/train": 6, "faces/val": 3, "faces/test": 1}
    draw_dataset(tmp_path, counts=counts, emotions=("happy", "sad"), seed=1, size=32)
    overrides = [*LENET, f"data.cache_dir={tmp_path / 'cache'}", *changes]
    config = load_config(SMALL, overrides, data=f"folder:{tmp_path / 'faces'}")
    with pytest.raises(EmodetectError, match=words):
        tune(options_of(tmp_path / output, config=config, search=(search,)))
    assert not (tmp_path / output).exists()


def test_an_unexpected_error_is_a_failed_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault that the values bring out does not end the study, nor each later run of it."""

    def train(work: Work, trial: Any, number: int, config: Any) -> float:
        if number == 0:
            raise ValueError("Input contains NaN.")
        return 0.5

    monkeypatch.setattr(Work, "_train", train)
    states = [trial.state for trial in work_on(options_of(tmp_path, trials=2))]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]
    assert "trial 0: an unexpected error" in caplog.text
    assert "Traceback" in caplog.text


def test_weights_that_no_trial_could_use_end_the_study_at_once(
    tmp_path: Path, small_overrides: list[str]
) -> None:
    """A mistake in what is not searched makes no study of failed trials."""
    missing = tmp_path / "gone.weights.h5"
    config = load_config(SMALL, [*small_overrides, f"model.weights={missing}"])
    with pytest.raises(ModelError, match=r"gone\.weights\.h5: no such file"):
        tune(options_of(tmp_path / "tuned", config=config))
    assert not (tmp_path / "tuned").exists()


def test_warnings_of_a_training_are_heard(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    small_overrides: list[str],
) -> None:
    """Few images are told once in a study, and a tracker that fails in each trial."""
    from emodetect.training.tracking import trackers

    def fail(name: str) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(trackers, "new_tracker", fail)
    changes = [*LENET, "training.epochs=1", 'training.track=["tensorboard"]']
    config = load_config(SMALL, [*small_overrides, *changes])
    tune(options_of(tmp_path / "tuned", config=config, trials=2))
    assert caplog.text.count("few validation images: 24") == 1
    assert caplog.text.count("tensorboard failed and records no more of this run") == 2
    assert "an epoch; " not in caplog.text  # of the schedule


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, words: list[str]) -> None:
    """A study does not mix with files that are not its own."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="no study"):
        tune(options_of(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_without_optuna_the_pip_line_is_shown(tmp_path: Path) -> None:
    """Optuna is an extra, and the error says which."""
    words = ("tune", "--config", "demo", "--search", RATE)
    done = run_without(("optuna",), *words, cwd=tmp_path)
    assert done.returncode == 1
    assert 'pip install "emodetect[tune]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_trials_that_others_withdrew_do_not_count() -> None:
    """A failed trial without a reason was withdrawn or continued."""
    states = (TrialState.COMPLETE, TrialState.FAIL)
    values = (0.5, None)
    known = [
        optuna.trial.create_trial(state=state, value=value)
        for state, value in zip(states, values, strict=True)
    ]
    for number, trial in enumerate(known):
        trial.number = number
    assert [trial.number for trial in counted(known)] == [0]


@pytest.mark.parametrize(
    "text", ["training.learning_rate=1e-4..1e-2", "model.dropout=0..0.5", "training.epochs=1..30"]
)
def test_a_trial_draws_on_the_scale_of_the_range(text: str) -> None:
    """A wide range is drawn from on a log scale."""
    (one,) = parse_search([text])
    trial = optuna.create_study().ask()
    one.draw(trial)
    assert trial.distributions[one.key] == one.distribution


def test_the_best_is_only_compared_with_the_next(tmp_path: Path) -> None:
    """If the next one's run is elsewhere, a worse one does not stand for it."""
    best = result_of(tmp_path, 4, [True] * 90 + [False] * 10)
    close = replace(result_of(tmp_path, 1, [True] * 88 + [False] * 12), run=None)
    far = result_of(tmp_path, 2, [True] * 50 + [False] * 50)
    (line,) = compare_best(options_of(tmp_path), [best, close, far])
    assert "was not tested" in line
