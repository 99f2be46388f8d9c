"""`emodetect doctor`: it says what is broken and how to fix it, whatever is broken."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from running import posix_only, run_python

from emodetect.cli import app
from emodetect.doctor import checks, pip_commands, probe_processes, probes, report
from emodetect.doctor.finding import Finding
from emodetect.faces.detectors.yunet import has_yunet
from emodetect.model_file.shipped_models import DEFAULT_MODEL, shipped_models


@pytest.fixture
def fake_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that puts a module with the given code before the installed one."""

    def make(name: str, code: str) -> None:
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    return make


def broken(findings: list[Finding]) -> dict[str, Finding]:
    """Return the broken findings by name."""
    return {one.name: one for one in findings if one.status == "broken"}


def findings_of(probe: str) -> list[Finding]:
    """Run one probe in its own process, as the command does."""
    with probe_processes.start_probe(probe) as process:
        return list(probe_processes.probe_findings(probe, process))


def test_every_probe_is_run() -> None:
    """The names of the probes, which are told without loading any, are those that there are."""
    assert tuple(probes.PROBES) == checks.PROBES


def test_a_sound_installation_has_nothing_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here, where the suite runs, all that must work works, and the exit status says so.

    As a table, details are wrapped below themselves; a command to copy stays on one line.
    """
    done = CliRunner().invoke(app, ["doctor", "--format", "json"])
    found = [Finding(**one) for one in json.loads(done.stdout)]
    monkeypatch.setattr(checks, "examine", lambda: iter(found))
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, ["doctor"]).stdout.splitlines()
    assert len(shown) > len(found)
    long = [line for line in shown if len(line) > 80]
    assert [line for line in long if " -> " not in line and line.count("/") < 2] == []
    assert not broken(found)
    assert done.exit_code == 0
    names = {one.name for one in found}
    assert {
        "Python",
        "packages",
        "OpenCV",
        "LiteRT",
        "TensorFlow",
        f"model {DEFAULT_MODEL}",
    } <= names
    assert all(one.fix for one in found if one.status == "absent" and one.name != "GPU")


def test_a_missing_system_library_is_named_with_its_package(fake_module) -> None:
    """OpenCV without libGL: the line that installs it, not a traceback."""
    fake_module("cv2", "raise ImportError('libGL.so.1: cannot open shared object file')")
    found = broken(findings_of("opencv"))
    assert found["OpenCV"].fix == "sudo apt install libgl1"
    assert "libGL.so.1" in found["OpenCV"].detail


@posix_only
def test_a_library_that_ends_the_process_costs_only_its_check(fake_module) -> None:
    """An instruction that the processor lacks ends the probe, and the doctor says which."""
    fake_module("cv2", "import os, signal\nos.kill(os.getpid(), signal.SIGILL)")
    assert "SIGILL" in broken(findings_of("opencv"))["opencv"].detail


def test_tensorflow_that_cannot_be_loaded_is_told(fake_module) -> None:
    """A broken TensorFlow is one line; the models still answer without it."""
    fake_module("tensorflow", "raise RuntimeError('two protobufs')")
    assert "two protobufs" in broken(findings_of("tensorflow"))["tensorflow"].detail
    assert not broken(findings_of("models"))


@pytest.mark.parametrize(("module", "package"), [("PIL", "pillow"), ("sklearn", "scikit-learn")])
def test_a_package_that_cannot_be_loaded_is_told(module: str, package: str, fake_module) -> None:
    """A package of the right version that is broken is told by the name that pip knows."""
    fake_module(module, "raise ImportError('half of it is of another version')")
    found = broken(findings_of("packages"))
    assert "of another version" in found[package].detail
    assert found[package].fix.endswith(f"--force-reinstall {package}")


def test_a_probe_without_an_answer_is_stopped(fake_module, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that hangs is given up, and told."""
    fake_module("cv2", "import time\ntime.sleep(600)")
    monkeypatch.setattr(probe_processes, "PROBE_TIMEOUT_S", 0.5)
    assert "no result" in broken(findings_of("opencv"))["opencv"].detail


def test_two_opencv_wheels_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They overwrite each other's files: the line that removes both and installs one."""
    info = tmp_path / "opencv_python_headless-4.11.0.86.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: opencv-python-headless\nVersion: 4.11.0.86\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (finding,) = checks._opencv_wheels()
    assert "uninstall -y opencv-python opencv-python-headless" in finding.fix


def test_an_installation_that_only_serves_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow and Keras may be removed together, as in the image; one without the other not."""
    known = checks.installed_version
    removed = {"keras", "tensorflow"}
    monkeypatch.setattr(
        checks, "installed_version", lambda name: None if name in removed else known(name)
    )
    monkeypatch.setattr(checks, "PROBES", ("tensorflow",))
    found = list(checks.examine())
    (finding,) = [one for one in found if one.name == "TensorFlow"]
    assert finding.status == "absent"
    assert all(f"'{name}<" in finding.fix for name in removed)
    assert not {*broken(found)} & {"keras", "tensorflow"}
    assert not any("None" in one.detail for one in found)
    removed.remove("keras")
    assert "tensorflow" in broken(checks._requirements())


def test_a_package_of_the_wrong_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The version that is there, what is needed, and the line that installs it."""
    monkeypatch.setattr(
        importlib.metadata, "requires", lambda _: ["click>=99", "no-such-package>=1", "numpy>=2"]
    )
    found = broken(list(checks._requirements()))
    assert set(found) == {"click", "no-such-package"}
    assert found["click"].fix.endswith("install 'click>=99'")
    assert "not installed" in found["no-such-package"].detail


def test_without_ffmpeg_the_extra_that_brings_one_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who cannot write annotated videos reads which, and the command that changes that."""
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    (finding,) = checks._ffmpeg()
    assert finding.status == "absent"
    assert "cannot be written as .mp4, .webm" in finding.detail
    assert "pip install" in finding.fix
    assert "[video]" in finding.fix


def test_a_missing_extra_is_missing_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """What only some commands need does not fail the check, and gives its pip line."""
    version = importlib.metadata.version

    def without_onnx(name: str) -> str:
        if name.startswith("onnx"):
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_onnx)
    (finding,) = (one for one in checks._extras() if one.name == "extra onnxruntime")
    assert finding.status == "absent"
    assert finding.fix.endswith(f"install {pip_commands.install_source('onnxruntime')}")


def test_an_extra_needs_the_extras_of_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow alone is not CUDA: what tensorflow[and-cuda] adds is missing without it."""
    needed = {
        "emodetect": ["tensorflow>=2", "tensorflow[and-cuda]>=2; extra == 'cuda'"],
        "tensorflow": ["numpy>=2", "nvidia-none; extra == 'and-cuda'", "x; extra == 'other'"],
    }
    requires = importlib.metadata.requires
    monkeypatch.setattr(
        importlib.metadata, "requires", lambda name: needed.get(name) or requires(name)
    )
    (finding,) = (one for one in checks._extras() if one.name == "extra cuda")
    assert finding.status == "absent"
    assert finding.detail == "nvidia-none not installed"


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        (None, "'emodetect[serve]'"),
        ({"url": "file:///my%20code", "dir_info": {}}, "'/my code[serve]'"),
        ({"url": "file:///code", "dir_info": {"editable": True}}, "-e '/code[serve]'"),
        (
            {"url": "https://x.example/r", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "'emodetect[serve] @ git+https://x.example/r@abc'",
        ),
        (
            {"url": "https://x.example/a.zip", "archive_info": {}, "subdirectory": "b"},
            "'emodetect[serve] @ https://x.example/a.zip#subdirectory=b'",
        ),
    ],
)
def test_it_is_installed_again_from_where_it_came(
    origin: dict | None, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder, a repository or an archive is named as pip takes it, the extra with it."""
    (tmp_path / "METADATA").write_text("Name: emodetect\nVersion: 1\n")
    if origin:
        (tmp_path / "direct_url.json").write_text(json.dumps(origin))
    there = importlib.metadata.PathDistribution(tmp_path)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: there)
    assert pip_commands.install_source("serve") == source


def test_a_damaged_shipped_model_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shipped file with a byte changed is told by name, and the others are still checked."""
    shipped = shipped_models()
    copy = tmp_path / "ferplus.keras"
    content = bytearray(shipped["ferplus"].read_bytes())
    content[len(content) // 2] ^= 0xFF
    copy.write_bytes(content)
    monkeypatch.setattr(
        "emodetect.model_file.shipped_models.shipped_models", lambda: shipped | {"ferplus": copy}
    )
    found = list(probes.models())
    assert set(broken(found)) == {"model ferplus"}
    assert any(one.name == "LiteRT" and one.status == "ok" for one in found)


def test_a_cache_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file stands where the cache would be: which one, and the variable that moves it."""
    (tmp_path / "emodetect").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (finding,) = checks._cache()
    assert finding.status == "broken"
    assert "XDG_CACHE_HOME" in finding.fix


def test_a_user_without_a_home_is_told_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As services have; without a place for temporary files, that is told as well."""

    def none(*_: object, **__: object) -> None:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("platformdirs.user_cache_path", none)
    monkeypatch.setattr(Path, "home", none)
    (finding,) = checks._cache()
    assert (finding.status, "XDG_CACHE_HOME" in finding.fix) == ("broken", True)
    assert not has_yunet()
    assert "no home folder" in report.bug_report([finding])
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
    (finding,) = checks._temporary_folder()
    assert (finding.status, "TMPDIR" in finding.fix) == ("broken", True)


@pytest.mark.parametrize(
    "name", ["cv2", "numpy", "rich", "pydantic", "packaging", "platformdirs", "keras"]
)
def test_no_broken_package_is_a_traceback(
    name: str, fake_module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With any one package broken, the command itself still starts, says so and ends with 1."""
    fake_module(name, "raise ImportError('broken on purpose')")
    code = (
        "import sys\nfrom emodetect.doctor import checks\nchecks.PROBES = ('opencv', 'models')\n"
        "sys.argv = ['emodetect', 'doctor']\nfrom emodetect.cli import main\nmain()"
    )
    if name == "keras":
        code = code.replace("('opencv', 'models')", "('tensorflow',)")
    done = run_python(code)
    assert "Traceback" not in done.stderr
    assert done.returncode == (0 if name in ("rich", "pydantic") else 1), done.stdout + done.stderr
    assert "writes .mp4, .webm, .gif, .avi" in done.stdout


@pytest.mark.parametrize(
    ("built_with_cuda", "driver", "words", "fix"),
    [
        (False, True, "no GPU support", ""),
        (True, False, "no NVIDIA driver", ""),
        (True, True, "misses CUDA's libraries", "[cuda]"),
    ],
)
def test_a_gpu_that_tensorflow_does_not_find_has_a_reason(
    built_with_cuda: bool, driver: bool, words: str, fix: str
) -> None:
    """Whether the build, the driver or CUDA is missing is said, and what can be mended."""
    found = probes.gpu_finding(0, built_with_cuda=built_with_cuda, driver=driver)
    assert found.status == "absent"
    assert words in found.detail
    assert fix in found.fix
    assert bool(found.fix) == bool(fix)


def test_several_gpus_come_with_the_setting_that_uses_them() -> None:
    """Two GPUs are found, and the key that trains on both is named."""
    found = probes.gpu_finding(2, built_with_cuda=True, driver=True)
    assert found.status == "ok"
    assert "training.devices = 'all'" in found.detail


def test_a_bug_report_names_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions and what is wrong are left; the person, their folders and their computer are not."""
    home = tmp_path / "Anna Smith"
    home.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    for name in ("LOGNAME", "USER", "USERNAME"):
        monkeypatch.setenv(name, "asmith")
    monkeypatch.setenv("PATH", str(tmp_path / "My tools"), prepend=os.pathsep)
    monkeypatch.setattr("socket.gethostname", lambda: "annas-mac.clinic.example")
    found = [
        Finding(
            name="emodetect", status="ok", detail=f"0.1.0 in {home}/Patients of 2026/emodetect"
        ),
        Finding(
            name="ffmpeg", status="ok", detail=f"{tmp_path}/My tools/ffmpeg; writes .mp4, .webm"
        ),
        Finding(
            name="OpenCV", status="broken", detail="'/opt/clinic/lib/libGL.so.1': no such file"
        ),
        Finding(name="cache", status="absent", detail=r"C:\Users\Somebody\cache: asmith@annas-mac"),
        Finding(name="camera", status="ok", detail="/dev/video0 at rtsp://clinic.example/bed/7"),
    ]
    # As the entries of PATH that no URL can hold do on Windows.
    as_url = report.pathname2url

    def refuse(folder: str) -> str:
        if "tools" in folder:
            raise OSError("Bad path")
        return as_url(folder)

    monkeypatch.setattr(report, "pathname2url", refuse)
    text = report.bug_report(found)
    for secret in ("anna", "smith", "clinic", "users", "somebody", "tools", str(tmp_path), "bed"):
        assert secret not in text.lower()
    for told in (
        "0.1.0",
        ".../ffmpeg; writes .mp4, .webm",
        "'.../libGL.so.1': no such",
        ".../video0",
    ):
        assert told in text
    assert platform.python_version() in text
    assert f"{os.cpu_count()} cores" in text


def test_the_command_prints_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """`doctor --report` has the checks, and not the home folder of whoever runs it."""
    monkeypatch.setattr(checks, "PROBES", ("models",))
    done = CliRunner().invoke(app, ["doctor", "--report"])
    assert done.exit_code == 0
    assert "model fer2013" in done.stdout
    assert str(Path(__file__).parents[1]) not in done.stdout
    assert str(Path.home()) + os.sep not in done.stdout
