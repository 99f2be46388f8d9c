"""The config's schema: what is taken, and what each refusal tells the user."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from running import posix_only

from emodetect.cli import app, main
from emodetect.config import (
    changed_keys,
    config_toml,
    load_config,
    preset_names,
    preset_text,
    validate_data,
)
from emodetect.errors import ConfigError, EmodetectError

DRAWN = '[data]\nsource = "synthetic"\n'


def _write(folder: Path, text: str) -> str:
    file = folder / "experiment.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def _refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(_write(folder, text))
    return str(caught.value)


def test_a_config_states_only_what_differs(tmp_path: Path) -> None:
    """Keys that a file does not name take the schema's defaults."""
    config = load_config(_write(tmp_path, DRAWN + "[training]\nepochs = 5\n"))
    assert config.training.epochs == 5
    assert config.training.batch_size == 64
    assert config.model.name == "mobilenet_v2"
    assert config.data.image_size == 48


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("sead = 3\n" + DRAWN, "sead", "seed"),
        (DRAWN + "[trainning]\nepochs = 3\n", "trainning", "training"),
        (DRAWN + "image_sise = 48\n", "data.image_sise", "image_size"),
        (DRAWN + "[training]\nepoch = 3\n", "training.epoch", "epochs"),
        (
            DRAWN + "[data.synthetic]\ntrain_per_clas = 3\n",
            "data.synthetic.train_per_clas",
            "train_per_class",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(
    tmp_path: Path, text: str, key: str, nearest: str
) -> None:
    """A misspelt key, at any depth, is an error that names it in full and the key meant."""
    message = _refusal(tmp_path, text)
    assert f"{key}: unknown key" in message
    assert f"'{nearest}'" in message


def test_an_unknown_key_like_no_other_lists_the_known_ones(tmp_path: Path) -> None:
    """Where no known key is near, all that the table takes are listed."""
    message = _refusal(tmp_path, DRAWN + "[augmentation]\nxqzw = 1\n")
    assert "augmentation.xqzw" in message
    for known in ("flip", "rotation_degrees", "erasing"):
        assert known in message


@pytest.mark.parametrize(
    ("key", "value", "expected", "got"),
    [
        ("training.epochs", '"three"', "integer", '"three"'),
        ("training.epochs", '"3"', "integer", '"3"'),
        ("training.epochs", "true", "integer", "true"),
        ("training.epochs", "2.5", "integer", "2.5"),
        ("training.learning_rate", '"1e-3"', "number", '"1e-3"'),
        ("training.learning_rate", "true", "number", "true"),
        ("training.freeze_batch_norm", "1", "boolean", "1"),
        ("training.track", '["comet"]', "'tensorboard'", '"comet"'),
        ("augmentation.flip", '"yes"', "boolean", '"yes"'),
        ("model.weights", "3", "string", "3"),
        ("data.classes", '"happy"', 'array such as ["happy"]', '"happy"'),
        ("data.classes", "happy, sad", 'array such as ["happy", "sad"]', '"happy, sad"'),
        ("model.dense", "64", "array such as [64]", "64"),
        ("model.dense", "128,64", "array such as [128, 64]", '"128,64"'),
        ("model.dense", "[64, 0]", "1 or more", "0"),
        ("data.color", '"grey"', "'gray'", '"grey"'),
        ("data.source", '"csv"', "'folder'", '"csv"'),
        ("training.monitor", '"accuracy"', "'val_accuracy'", '"accuracy"'),
    ],
)
def test_a_wrong_type_is_told_with_key_expectation_and_value(
    tmp_path: Path, key: str, value: str, expected: str, got: str
) -> None:
    """A value of the wrong type is refused, never converted, and the error shows it."""
    with pytest.raises(ConfigError) as caught:
        load_config(_write(tmp_path, DRAWN), [f"{key}={value}"])
    message = str(caught.value)
    assert key in message
    assert expected in message
    assert message.endswith(f"got {got}")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.epochs", "-1"),
        ("training.batch_size", "0"),
        ("training.learning_rate", "0"),
        ("training.learning_rate", "nan"),
        ("training.learning_rate", "inf"),
        ("training.weight_decay", "nan"),
        ("training.weight_decay", "inf"),
        ("training.label_smoothing", "1.0"),
        ("training.ema_momentum", "1"),
        ("data.image_size", "8"),
        ("data.image_size", "100000"),
        ("data.validation_fraction", "0"),
        ("data.test_fraction", "-0.1"),
        ("data.synthetic.size", "8"),
        ("model.width", "0"),
        ("model.dropout", "1"),
        ("augmentation.erasing", "1.5"),
        ("augmentation.zoom", "nan"),
        ("seed", "-1"),
        ("seed", "2147483648"),
    ],
)
def test_a_value_out_of_range_is_refused(tmp_path: Path, key: str, value: str) -> None:
    """Numbers that no training could use, NaN and infinity among them, are refused by key."""
    with pytest.raises(ConfigError, match=key):
        load_config(_write(tmp_path, DRAWN), [f"{key}={value}"])


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [
        (
            DRAWN + "validation_fraction = 0.5\ntest_fraction = 0.5\n",
            ("validation_fraction", "test_fraction", "1"),
        ),
        (DRAWN + 'path = "faces"\n', ("data.path", "synthetic")),
        ("[data]\n", ("data.path", "folder")),
        (DRAWN + "[training]\nepochs = 3\nwarmup_epochs = 3.0\n", ("warmup_epochs", "3")),
        (DRAWN + "[training]\nepochs = 0\nwarmup_epochs = 2.0\n", ("warmup_epochs", "2")),
        (
            DRAWN + "[training]\nepochs = 0\nhead_epochs = 0\nwarmup_epochs = 0.0\n",
            ("epochs", "head_epochs"),
        ),
        (
            DRAWN + '[model]\nweights = "none"\n[training]\nhead_epochs = 1\n',
            ("training.head_epochs", "model.weights"),
        ),
        (DRAWN + "[training]\nfocal_gamma = 3.0\n", ("training.focal_gamma", "imbalance")),
        (
            '[data]\npath = "faces"\nsynthetic.size = 48\n',
            ("data.synthetic", "folder"),
        ),
        (
            '[data]\npath = "faces"\nlabel_names = {"1" = "cheerful"}\n',
            ("data.label_names: ", "cheerful"),
        ),
        ("", ("data",)),
    ],
)
def test_an_impossible_combination_names_its_keys(
    tmp_path: Path, text: str, mentioned: tuple[str, ...]
) -> None:
    """Values that are fine alone but not together are refused, and the error names the keys."""
    message = _refusal(tmp_path, text)
    for part in mentioned:
        assert part in message


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """A file with three faults is told all three, not one a run."""
    text = DRAWN + 'image_size = 1\n[training]\nepochs = "many"\nbatchsize = 8\n'
    message = _refusal(tmp_path, text)
    assert "data.image_size" in message
    assert "training.epochs" in message
    assert "training.batchsize" in message


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("training.epochs=3", 3),
        ("training.epochs = 3", 3),
        ("training.epochs=1_000", 1000),
        ("training.learning_rate=2e-4", 2e-4),
        ("training.learning_rate=1", 1.0),
        ("training.freeze_batch_norm=true", True),
        ('training.track=["mlflow", "wandb"]', ("mlflow", "wandb")),
        ("model.dense=[128, 64]", (128, 64)),
        ("model.weights=none", "none"),
        ('data.classes=["happy", "sad"]', ("happy", "sad")),
        ("output=runs/my first run", Path("runs/my first run")),
        ("output='runs/a=b'", Path("runs/a=b")),
        ("output=runs/a=b", Path("runs/a=b")),
        ("output=[2026] runs", Path("[2026] runs")),
    ],
)
def test_an_override_is_read_as_toml_or_else_as_text(
    tmp_path: Path, override: str, value: object
) -> None:
    """--set takes numbers, booleans and lists as TOML writes them, and bare text as it is."""
    text = DRAWN + "[training]\nhead_epochs = 0\n"
    found: object = load_config(_write(tmp_path, text), [override])
    for part in override.partition("=")[0].strip().split("."):
        found = getattr(found, part)
    assert found == value


def test_the_last_override_wins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of two --set of one key the later counts, over the file's own value, and is named."""
    text = DRAWN + "[training]\nepochs = 9\n"
    config = load_config(_write(tmp_path, text), ["training.epochs=4", "training.epochs=5"])
    assert config.training.epochs == 5
    assert caplog.messages == ["--set training.epochs: given twice; 5 counts"]
    caplog.clear()
    with pytest.raises(ConfigError, match="dropout"):
        load_config(_write(tmp_path, text), ["model.dropout=nan"])  # which equals nothing
    assert caplog.messages == []


def test_a_table_is_added_to(tmp_path: Path) -> None:
    """A second data.label_names adds labels to the first and to the file's; {} clears them."""
    path = _write(tmp_path, '[data]\npath = "faces"\n[data.label_names]\n1 = "sad"\n')
    names = ['data.label_names={"2" = "happy"}', 'data.label_names={"3" = "fear"}']
    found = load_config(path, names, label_names={"4": "angry"}).data.label_names
    assert found == {"1": "sad", "2": "happy", "3": "fear", "4": "angry"}
    assert load_config(path, [*names, "data.label_names={}"]).data.label_names == {}


def test_an_error_names_its_options_and_what_came_once(tmp_path: Path) -> None:
    """`with --data and --set`; a message that says what came does not say it again."""
    path = _write(tmp_path, DRAWN)
    with pytest.raises(ConfigError) as refused:
        load_config(path, ['data.label_names={a="hapy"}', "seed=x"], data="folder:faces")
    said = str(refused.value)
    assert "with --data and --set: invalid config" in said
    assert [line.count(" got ") for line in said.splitlines()] == [0, 1, 1]


def test_a_default_that_depends_on_an_invalid_key_is_no_error(tmp_path: Path) -> None:
    """An unknown network is one error, not a second one of model.weights, which was not given."""
    with pytest.raises(ConfigError) as refused:
        load_config(_write(tmp_path, DRAWN), ["model.name=resnet50"])
    _, *lines = str(refused.value).splitlines()
    assert [line.partition(":")[0].strip() for line in lines] == ["model.name"]


def test_keys_without_a_value_are_comments() -> None:
    """A written config has every key; TOML has no null, so those that are unset are comments."""
    text = config_toml(load_config("fine_tuning"))
    for key in ("training.ema_momentum", "training.warmup_epochs", "data.classes", "data.fold"):
        assert f"\n#   {key}: " in text
    assert "training.epochs:" not in text


@pytest.mark.parametrize(
    "override", ["training.epochs", "=3", ".epochs=3", "training.=3", "training..epochs=3", ""]
)
def test_a_malformed_override_shows_how_it_is_written(tmp_path: Path, override: str) -> None:
    """--set without a key or an equals sign is refused with an example."""
    with pytest.raises(ConfigError, match=r"--set.*key=value"):
        load_config(_write(tmp_path, DRAWN), [override])


@pytest.mark.parametrize("override", ["data.classes=[happy,sad]", "data.label_names={3=happy}"])
def test_a_list_without_its_quotes_shows_how_a_shell_leaves_them(
    tmp_path: Path, override: str
) -> None:
    """A shell takes the double quotes of ["happy", "sad"] away; the error shows what keeps them."""
    with pytest.raises(ConfigError, match=r"""--set "data\.classes=\['happy', 'sad'\]\""""):
        load_config(_write(tmp_path, DRAWN), [override])


def test_an_override_below_a_plain_value_is_refused(tmp_path: Path) -> None:
    """--set seed.x=1 is refused, because seed is a number and no table."""
    with pytest.raises(ConfigError, match=r"seed"):
        load_config(_write(tmp_path, "seed = 1\n" + DRAWN), ["seed.x=1"])


def test_an_override_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    """A misspelt --set is an error with the nearest name, as in a file."""
    with pytest.raises(ConfigError, match=r"training\.epoch: .*'epochs'"):
        load_config(_write(tmp_path, DRAWN), ["training.epoch=3"])


def test_an_override_is_one_value_and_nothing_more(tmp_path: Path) -> None:
    """Further lines behind a --set value are refused, not dropped in silence."""
    with pytest.raises(ConfigError, match="seed"):
        load_config(_write(tmp_path, DRAWN), ["seed=3\ntraining.epochs=4"])


def test_a_folder_named_like_a_preset_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder `demo` in the working folder leaves the preset `demo` usable."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert load_config("demo").data.source == "synthetic"


def test_broken_toml_is_told_with_file_and_line(tmp_path: Path) -> None:
    """A syntax error names the file and the line it is on."""
    message = _refusal(tmp_path, "seed = 1\n[data\n")
    assert "experiment.toml" in message
    assert "line 2" in message


@pytest.mark.parametrize("path", [r"C:\Users\me", r"D:\pictures", r"D:\x"])
def test_a_path_of_windows_in_double_quotes_is_told_to_use_single_ones(
    tmp_path: Path, path: str
) -> None:
    """In double quotes, TOML takes a backslash for the beginning of an escape."""
    message = _refusal(tmp_path, f'[data]\npath = "{path}"\n')
    assert "line 2" in message
    assert message.endswith("single quotes: 'C:\\Users'.")


@pytest.mark.parametrize("path", [r"C:\test", r"D:\faces", r"d:/data\new"])
def test_a_path_of_windows_that_is_a_valid_escape_is_told_too(tmp_path: Path, path: str) -> None:
    """TOML takes the backslash and letter for a tab, form feed or newline."""
    message = _refusal(tmp_path, f'[data]\npath = "{path}"\n')
    assert "data.path: expected a path without control characters" in message
    assert "in single quotes: 'C:\\test'" in message


def test_a_path_may_begin_with_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell replaces no ~ after =, and there is none for a config; an empty path is refused."""
    monkeypatch.setenv("HOME", "/home/me")
    config = load_config("demo", ["data.cache_dir=~/cache", "output=~/runs/a"])
    assert config.data.cache_dir == Path("/home/me/cache")
    assert config.output == Path("/home/me/runs/a")
    for none in ("", '"a\\u0000b"'):
        with pytest.raises(ConfigError, match=r"data\.cache_dir: expected a path"):
            load_config("demo", [f"data.cache_dir={none}"])


@posix_only
def test_a_config_may_come_from_a_pipe(tmp_path: Path) -> None:
    """As with `--config <(command)` in bash."""
    text = '[data]\nsource = "synthetic"\n[training]\nepochs = 7\n'
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(pipe.write_text, text, encoding="utf-8")
        assert load_config(str(pipe)).training.epochs == 7
        written.result()


def test_a_key_twice_is_refused(tmp_path: Path) -> None:
    """A key that a file states twice is an error, not a silent choice."""
    assert "experiment.toml" in _refusal(tmp_path, "seed = 1\nseed = 2\n" + DRAWN)


def test_a_table_replaced_by_a_value_is_refused(tmp_path: Path) -> None:
    """A section written as a plain value, or as a list of tables, is told by its name."""
    assert "training" in _refusal(tmp_path, "training = 3\n" + DRAWN)
    assert "training" in _refusal(tmp_path, DRAWN + "[[training]]\nepochs = 3\n")


def test_a_name_that_is_no_utf_8_is_one_line() -> None:
    """A path of other bytes, as the command line hands it over, is named with what to do."""
    with pytest.raises(ConfigError, match=r"^--data: path: expected text in UTF-8.*rename it\.$"):
        validate_data({"source": "folder", "path": "faces\udcff"}, origin="--data")


def test_a_date_is_no_text(tmp_path: Path) -> None:
    """A TOML date where text is expected is refused rather than taken as its letters."""
    assert "model.weights" in _refusal(tmp_path, DRAWN + "[model]\nweights = 2024-01-01\n")


def test_a_file_in_another_encoding_is_told(tmp_path: Path) -> None:
    """A config saved as Latin-1 or UTF-16 is refused with its name and the word UTF-8."""
    for encoding in ("latin-1", "utf-16"):
        file = tmp_path / f"{encoding}.toml"
        file.write_bytes(('output = "Zürich"\n' + DRAWN).encode(encoding))
        with pytest.raises(ConfigError, match=rf"{encoding}\.toml.*UTF-8"):
            load_config(str(file))


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    """A config saved by Windows' Notepad with a byte order mark loads like any other."""
    file = tmp_path / "marked.toml"
    file.write_bytes(b"\xef\xbb\xbf" + b"seed = 7\n" + DRAWN.encode())
    assert load_config(str(file)).seed == 7


def test_a_missing_file_is_told_by_its_path(tmp_path: Path) -> None:
    """A path that ends in .toml and is not there is told as a missing file."""
    missing = tmp_path / "none.toml"
    with pytest.raises(ConfigError, match=r"none\.toml.*[Nn]o such file"):
        load_config(str(missing))


def test_a_directory_is_no_config(tmp_path: Path) -> None:
    """A folder given as the config is refused with its path."""
    with pytest.raises(ConfigError, match=str(tmp_path)):
        load_config(str(tmp_path))


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("dmeo", "demo"), ("mobilenetv2_fer213", "mobilenetv2_fer2013")]
)
def test_an_unknown_preset_names_the_nearest(wrong: str, nearest: str) -> None:
    """A misspelt preset is answered with all presets and the one meant."""
    with pytest.raises(ConfigError) as caught:
        load_config(wrong)
    assert repr(wrong) in str(caught.value)
    assert f"Did you mean '{nearest}'?" in str(caught.value)
    for name in preset_names():
        assert name in str(caught.value)


def test_every_file_in_configs_is_a_preset() -> None:
    """The presets are exactly the files of the configs folder."""
    folder = Path(__file__).parent.parent / "configs"
    assert preset_names() == sorted(file.stem for file in folder.glob("*.toml"))
    assert "demo" in preset_names()


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid_and_explains_itself(name: str) -> None:
    """Each preset loads as it stands and starts with a line that says what it is."""
    load_config(name)
    first_line = preset_text(name).splitlines()[0]
    assert first_line.startswith("# ")
    assert len(first_line) > 20


@pytest.mark.parametrize("name", preset_names())
def test_a_resolved_config_reads_back_unchanged(tmp_path: Path, name: str) -> None:
    """The TOML that a run writes down gives the same config again."""
    config = load_config(name, ["seed=5", 'output=runs/Größe "x"', "model.dense=[8, 4]"])
    assert load_config(_write(tmp_path, config_toml(config))) == config
    assert config.output == Path('runs/Größe "x"')


def test_changed_keys_are_named_in_full() -> None:
    """Two configs differ in exactly the dotted keys that were overridden."""
    old = load_config("demo")
    new = load_config("demo", ["seed=9", "training.epochs=99", "data.synthetic.size=48"])
    assert changed_keys(old, old) == []
    assert changed_keys(old, new) == ["data.synthetic.size", "seed", "training.epochs"]


def test_a_key_that_only_one_config_has_counts_as_changed() -> None:
    """Leaving data.cache_dir out and naming one is a difference."""
    named = load_config("demo", ["data.cache_dir=/tmp/elsewhere"])
    assert changed_keys(load_config("demo"), named) == ["data.cache_dir"]


def test_classes_may_be_named_by_their_aliases(tmp_path: Path) -> None:
    """data.classes takes other words and capitals for an emotion and keeps the order given."""
    text = DRAWN + 'classes = ["Surprised", "happiness", " SAD "]\n'
    assert load_config(_write(tmp_path, text)).data.classes == ("surprise", "happy", "sad")


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ('["happy", "sad", "happy"]', "once"),
        ('["happy", "joy"]', "once"),
        ('["happy"]', "two"),
        ("[]", "two"),
        ('["happy", "sadd"]', "'sad'"),
    ],
)
def test_unusable_classes_are_refused(tmp_path: Path, classes: str, said: str) -> None:
    """Emotions named twice (also by an alias), fewer than two, or unknown are refused."""
    message = _refusal(tmp_path, DRAWN + f"classes = {classes}\n")
    assert "data.classes" in message
    assert said in message


def test_config_list_prints_each_preset_with_its_first_line() -> None:
    """`config list` shows every preset beside what it is for."""
    result = CliRunner().invoke(app, ["config", "list"])
    assert result.exit_code == 0
    entries = re.split(r"\n(?! )", result.stdout.rstrip())
    assert [entry.split()[0] for entry in entries] == preset_names()
    for entry, name in zip(entries, preset_names(), strict=True):
        assert preset_text(name).splitlines()[0].lstrip("# ") in " ".join(entry.split())


def test_presets_start_from_what_users_have() -> None:
    """No preset starts from a run or a manifest of this repository; those of its models do."""
    for name in preset_names():
        config = load_config(name)
        assert config.model.init in (None, "shipped")
        assert config.data.source != "manifest"
    steps = sorted((Path(__file__).parents[1] / "scripts" / "shipped_models").glob("*.toml"))
    assert [step.stem for step in steps] == ["fer2013", "ferplus", "step1", "step2"]
    assert all(load_config(str(step)).data.source == "manifest" for step in steps)


def test_config_write_copies_a_preset_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`config write demo` leaves demo.toml here, byte for byte, and it means the same."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["config", "write", "demo"])
    assert result.exit_code == 0
    assert result.stdout == "demo.toml\n"
    assert (tmp_path / "demo.toml").read_text(encoding="utf-8") == preset_text("demo")
    assert load_config("demo.toml") == load_config("demo")


def test_config_write_replaces_nothing(tmp_path: Path) -> None:
    """`config write` leaves a file that is there as it was, and replaces it with --force."""
    there = tmp_path / "mine.toml"
    there.write_text("seed = 1\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["config", "write", "demo", "--output", str(there)])
    assert isinstance(result.exception, EmodetectError)
    assert "mine.toml" in str(result.exception)
    assert there.read_text(encoding="utf-8") == "seed = 1\n"
    words = ["config", "write", "demo", "--output", str(there), "--force"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert there.read_text(encoding="utf-8") == preset_text("demo")


def test_config_write_into_a_missing_folder_is_told(tmp_path: Path) -> None:
    """`config write --output` below a folder that is not there names the path."""
    out = tmp_path / "none" / "demo.toml"
    result = CliRunner().invoke(app, ["config", "write", "demo", "--output", str(out)])
    assert isinstance(result.exception, EmodetectError)
    assert str(out) in str(result.exception)


def test_config_write_of_an_unknown_preset_names_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`config write dem` asks whether demo was meant and writes nothing."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["config", "write", "dem"])
    assert isinstance(result.exception, EmodetectError)
    assert "'demo'" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_config_ends_in_a_line_on_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The program prints `error: ...` on stderr and exits with 1, without a traceback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["emodetect", "config", "write", "dem"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    output, errors = capfd.readouterr()
    assert output == ""
    assert errors.startswith("error: ")
    assert "Traceback" not in errors


def test_other_data_does_not_keep_the_path_of_the_config(tmp_path: Path) -> None:
    """Also data without a path, such as drawn faces."""
    file = tmp_path / "experiment.toml"
    file.write_text('[data]\nsource = "fer2013_csv"\npath = "fer2013.csv"\n', encoding="utf-8")
    config = load_config(str(file), data="synthetic")
    assert (config.data.source, config.data.path) == ("synthetic", None)


def test_a_number_of_thousands_of_digits_is_told(tmp_path: Path) -> None:
    """Python refuses to read one, with an error that TOML does not know."""
    digits = "9" * 5000
    (tmp_path / "a.toml").write_text(f"seed = {digits}")
    with pytest.raises(ConfigError, match=r"a\.toml: not valid TOML: Exceeds the limit"):
        load_config(str(tmp_path / "a.toml"))
    with pytest.raises(ConfigError, match="seed"):
        load_config("fine_tuning", [f"seed={digits}"])
    with pytest.raises(ConfigError, match="too large or nested too deeply"):
        load_config("fine_tuning", {"seed": 10**5000})
    with pytest.raises(ConfigError, match="too large or nested too deeply"):
        load_config("fine_tuning", [f"seed{'.a' * 3000}=1"])
    with pytest.raises(ConfigError, match="expected 100000 or less"):
        load_config("fine_tuning", ["data.synthetic.train_per_class=1000000000000"])


def test_keys_of_overrides_may_be_numbers() -> None:
    """As labels are; a number that is no key is told like any other."""
    config = load_config("fine_tuning", {"data.label_names": {1: "happy"}})
    assert config.data.label_names == {"1": "happy"}
    with pytest.raises(ConfigError, match="3"):
        load_config("fine_tuning", {3: 4})  # type: ignore[dict-item]
