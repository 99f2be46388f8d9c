"""Photos on a Ray cluster: their list, each exactly once, what is refused, and S3."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from running import posix_only, run_emodetect, run_python, run_without
from test_workers import FATAL_WIDTH

from emodetect.cli import app
from emodetect.data.synthetic import draw_face
from emodetect.errors import EmodetectError
from emodetect.machine.atomic_files import PARTIAL_FILES
from emodetect.recognition.cluster import dispatch, remote_files
from emodetect.recognition.cluster.dataset_folder import (
    PHOTOS_PER_PART,
    DatasetFolder,
    Part,
    open_dataset,
)
from emodetect.recognition.cluster.dispatch import Dispatcher, WorkerStarts
from emodetect.recognition.cluster.nodes import Needs, differences, facts_here, problems
from emodetect.recognition.cluster.photo_list import list_photos
from emodetect.recognition.cluster.session import check_ray, ray_session
from emodetect.recognition.cluster.worker import photo_table
from emodetect.recognition.photos.analysis import PhotoResult

JOB = {"model": "a"}
FACES = 200
RAY = [sys.executable, "-m", "ray.scripts.scripts"]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of crops, and one file that is none."""
    folder = tmp_path_factory.mktemp("faces")
    for number in range(FACES - 1):
        face = draw_face(("happy", "sad")[number % 2], np.random.default_rng(number), size=40)
        (folder / f"{number:03d}.png").write_bytes(cv2.imencode(".png", face)[1].tobytes())
    (folder / "broken.png").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def store() -> Iterator[Any]:
    """An S3 server on this machine, with a client for it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patch.setenv(name, value)
        import boto3
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
        server.start()
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        yield boto3.client("s3", endpoint_url=endpoint)
        server.stop()


@pytest.fixture(scope="module")
def address(store: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of one node with two CPUs, which can reach the S3 server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # where Ray looks for a token
        path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        patch.setenv("PYTHONPATH", path)
        words = ["start", "--head", "--port", "0", "--num-cpus", "2", "--block"]
        words += ["--include-dashboard", "false", "--disable-usage-stats"]
        with subprocess.Popen(
            [*RAY, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as ray:
            assert ray.stdout is not None
            found = next(filter(None, (re.search(r"address='(\S+)'", line) for line in ray.stdout)))
            yield found[1]
            ray.terminate()


def predict(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run predict on Ray, with every image as one face."""
    own = ("--engine", "ray", "--detector", "none")
    return run_emodetect("predict", *words, *own, timeout=300, **options)


def listed(*sources: Path | str) -> list[str]:
    """Return the photos of sources."""
    found = list_photos(sources, null=False, not_read=Counter(), seen=hashlib.sha256())
    return list(found)


def rows_in(output: Path) -> list[dict[str, Any]]:
    """Return the rows of a data set, as any reader of Parquet finds them."""
    rows: list[dict[str, Any]] = pq.read_table(output).to_pylist()
    return rows


def test_photos_on_a_cluster_get_the_rows_of_the_csv(
    faces: Path, address: str, store: Any, tmp_path: Path
) -> None:
    """Files and objects in S3 get the values that the local engine writes, and a face's number."""
    store.create_bucket(Bucket="album")
    for name in ("a b/ü#%41?.png", "a b/[0].png", "notes.cr2"):
        store.upload_file(str(faces / "000.png"), "album", name)
    missing = tmp_path / "missing.png"
    output = tmp_path / "rows"
    done = predict(faces, missing, "s3://album/", "--address", address, "--output", output)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"log of Ray: {output / '_ray.log'} (if this ends without a word, Ray was lost: continue "
        "with --resume)",
        f"{output}: {FACES + 3} photos added",
        f"2 of {FACES + 3} could not be read",
        "1 file not read: 1 .cr2 (camera raw)",
    ]
    csv = tmp_path / "rows.csv"
    run_emodetect("predict", faces, missing, "--detector", "none", "--output", csv)
    header, *lines = csv.read_text().splitlines()
    rows = rows_in(output)
    columns = [name for name in rows[0] if name != "face"]
    assert columns == header.split(",")
    texts = [
        ",".join("" if row[name] is None else str(row[name]) for name in columns) for row in rows
    ]
    assert [text.replace('"', "") for text in texts[:-2]] == [
        line.replace('"', "") for line in lines
    ]
    assert [row["face"] for row in rows] == [1] * (FACES - 1) + [None, None, 1, 1]
    assert [row["path"] for row in rows[-2:]] == [
        "s3://album/a b/[0].png",
        "s3://album/a b/ü#%41?.png",
    ]


@posix_only
@pytest.mark.nightly
def test_a_photo_that_kills_its_worker_is_an_error(
    faces: Path, address: str, tmp_path: Path
) -> None:
    """The photo at which worker after worker dies gets an error; all others get their rows."""
    fatal = tmp_path / "fatal.png"
    cv2.imwrite(str(fatal), np.zeros((20, FATAL_WIDTH, 3), np.uint8))
    code = (
        "import sys\nfrom functools import partial\nfrom pathlib import Path\n"
        "from test_workers import FragileRecognizer\n"
        "from emodetect.recognition.cluster.predict_on_cluster import *\n"
        "faces, fatal, output = map(Path, sys.argv[1:4])\n"
        "options = ClusterOptions(images=(faces, fatal), output=output, address=sys.argv[4])\n"
        "print(predict_on_cluster(options, partial(FragileRecognizer, detector='none')).failed)\n"
    )
    done = run_python(code, faces, fatal, tmp_path / "rows", address, timeout=300)
    assert done.stdout.splitlines()[-1:] == ["2"], done.stderr
    rows = rows_in(tmp_path / "rows")
    assert len(rows) == FACES + 1
    assert rows[-1]["path"] == str(fatal)
    assert "worker process died" in rows[-1]["error"]
    assert [row["error"] is not None for row in rows].count(True) == 2


@posix_only
@pytest.mark.nightly
def test_a_killed_job_is_resumed_and_every_photo_is_there_once(
    faces: Path, address: str, tmp_path: Path
) -> None:
    """After SIGKILL, --resume does what is missing, from the list that is written already."""
    names = tmp_path / "names.txt"
    names.write_text(
        "".join(f"{faces}/{n % (FACES - 1):03d}.png\n" for n in range(3 * PHOTOS_PER_PART))
    )
    output = tmp_path / "rows"
    words = (names, "--address", address, "--output", output)
    command = [sys.executable, "-m", "emodetect", "predict", *map(str, words)]
    process = subprocess.Popen([*command, "--engine", "ray", "--detector", "none"])
    while not list(output.glob("part-*")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    held = {file: file.stat().st_mtime_ns for file in output.glob("part-*")}
    done = predict(*words, "--resume")
    assert done.returncode == 0, done.stderr
    assert f"{output}: continues with its list of {3 * PHOTOS_PER_PART:,} photos" in done.stderr
    assert f"{len(held) * PHOTOS_PER_PART:,} skipped" in done.stderr
    assert all(file.stat().st_mtime_ns == time_ns for file, time_ns in held.items())
    assert [row["path"] for row in rows_in(output)] == names.read_text().splitlines()


def test_a_job_without_an_answer_or_a_worker_ends_in_a_line(
    faces: Path, address: str, tmp_path: Path
) -> None:
    """No Ray at the address, and a bucket that is not there, are one line each."""
    done = predict(faces, "--address", "127.0.0.1:9", "--output", tmp_path / "rows")
    assert done.returncode == 1
    assert "error: --address 127.0.0.1:9: no answer (Connection refused)" in done.stderr
    assert "Traceback" not in done.stderr
    done = predict("s3://nowhere/", "--address", address, "--output", tmp_path / "rows", "--force")
    assert done.stderr.startswith("error: s3://nowhere: no such bucket")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("x\nRuntimeError: Ray version mismatch: cluster has 2.9", "cluster has 2.9; install the"),
        ("ray.exceptions.AuthenticationError: RPC error", "another token than here; copy"),
        ("ConnectionError: x", "not the head of a Ray cluster"),
    ],
)
def test_why_a_cluster_does_not_answer_is_said(
    said: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version and a missing token are told apart from what is no Ray at all."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    done = subprocess.CompletedProcess[str]([], 1, "", said)
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: done)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(EmodetectError, match=message):
            check_ray(address)


def test_a_job_for_which_no_worker_starts_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A job says once that it waits for a worker; if none comes in time, it ends and says why."""

    class Full:
        def cluster_resources(self) -> dict[str, float]:
            return {"CPU": 4.0}

        def available_resources(self) -> dict[str, float]:
            return {}

    now_s, said = 0, list[str]()
    monkeypatch.setattr(dispatch, "time", SimpleNamespace(monotonic=lambda: now_s))
    starts = WorkerStarts(Full(), 300, said.append)  # type: ignore[arg-type]
    now_s = 1000
    starts.check(running=True)
    for waited_s in (1, 30, 31, 299):
        now_s = 1000 + waited_s
        starts.check(running=False)
    (line,) = said
    assert line.startswith("waiting for a worker to start: each needs 1 CPU")
    now_s = 1301
    with pytest.raises(EmodetectError, match=r"each needs 1 CPU; .* has 4, of which 0 are free"):
        starts.check(running=False)


def test_workers_that_end_at_once_are_not_started_for_ever() -> None:
    """After some workers in a row that died before they had started, the job ends."""
    starts = WorkerStarts(None, 60, print)  # type: ignore[arg-type]
    for _ in range(4):
        starts.failed(RuntimeError("no such module"))
    starts.succeeded()
    for _ in range(4):
        starts.failed(RuntimeError("no such module"))
    with pytest.raises(EmodetectError, match=r"5 workers in a row ended .* no such module"):
        starts.failed(RuntimeError("no such module"))


class LowMemory:
    """Ray on a node that ends the worker whenever it is given `fatal`.

    Attributes:
        given: the photos of each task.
        started: all workers.
        killed: those that were told to end.
    """

    def __init__(self, fatal: str, *, alive: bool = True) -> None:
        self.fatal, self.alive = fatal, alive
        self.given, self.started, self.killed = list[list[str]](), list[Any](), list[Any]()
        import ray

        self.exceptions = ray.exceptions

    def put(self, setup: object) -> object:
        return setup

    def remote(self, **_: object) -> Callable[[type], Any]:
        def call(answer: Callable[..., Any]) -> SimpleNamespace:
            return SimpleNamespace(remote=lambda *words: partial(answer, *words))

        def start(_: object) -> SimpleNamespace:
            self.started.append(SimpleNamespace(open=call(self.open), analyze=call(self.analyze)))
            return self.started[-1]

        return lambda _: SimpleNamespace(remote=start)

    def open(self) -> str:
        return "node"

    def analyze(self, photos: list[str]) -> pa.Table:
        self.given.append(photos)
        if self.fatal in photos:
            raise self.exceptions.OutOfMemoryError("1 worker(s) were killed")
        return photo_table([PhotoResult(photo) for photo in photos], ("happy",))

    def wait(self, refs: list[Any], **_: object) -> tuple[list[Any], list[Any]]:
        return refs, []

    def get(self, ref: Callable[[], Any]) -> Any:
        return ref()

    def kill(self, actor: object) -> None:
        self.killed.append(actor)

    def nodes(self) -> list[dict[str, object]]:
        return [{"NodeID": "node", "Alive": self.alive}]


def two_workers(ray: LowMemory, written: dict[int, pa.Table]) -> Dispatcher:
    """Return what keeps two workers busy, and puts the rows of each part into `written`."""
    return Dispatcher(
        ray,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        count=2,
        emotions=("happy",),
        write_part=written.__setitem__,
        start_timeout_s=60,
        say=print,
    )


@pytest.mark.parametrize(("alive", "times"), [(True, 3), (False, 5)], ids=["worker", "node"])
def test_a_worker_that_ray_ends_for_its_memory_is_replaced(alive: bool, times: int) -> None:
    """Low memory costs the photo at which it runs out, not the job, even if it takes the node."""
    ray, written = LowMemory("b", alive=alive), dict[int, pa.Table]()
    done = list(two_workers(ray, written).run([Part(0, ["a", "b", "c"]), Part(1, ["d"])]))
    assert [sum(counts) for counts in zip(*done, strict=True)] == [4, 1, 3]
    rows = pa.concat_tables([written[0], written[1]]).to_pylist()
    assert [row["path"] for row in rows] == ["a", "b", "c", "d"]
    assert [row["error"] is None for row in rows] == [True, False, True, True]
    assert rows[1]["error"].startswith("its worker" if alive else "the nodes that had it went down")
    assert "memory ran out" in rows[1]["error"]
    tried = [photos for photos in ray.given if "b" in photos]
    assert tried == [["a", "b", "c"], *(times - 1) * [["b"]]]
    assert len(ray.started) == 2 + times
    assert {id(actor) for actor in ray.killed} == {id(actor) for actor in ray.started}


def test_rows_are_in_the_order_of_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever worker is done first, the rows of a part follow the list of photos."""

    class FirstIsSlow(LowMemory):
        def wait(self, refs: list[Any], **options: object) -> tuple[list[Any], list[Any]]:
            slow = [["a"]] if len(self.given) < 2 else []
            return super().wait([ref for ref in refs if [*ref.args] != slow], **options)

    monkeypatch.setattr(dispatch, "PHOTOS_PER_TASK", 1)
    ray, written = FirstIsSlow(""), dict[int, pa.Table]()
    list(two_workers(ray, written).run([Part(0, ["a", "b", "c", "d"])]))
    assert ray.given == [["b"], ["d"], ["a"], ["c"]]
    assert written[0].column("path").to_pylist() == ["a", "b", "c", "d"]


def test_a_node_that_joins_late_with_another_version_is_told() -> None:
    """What a worker finds wrong with its node ends the job as one line, without a traceback."""

    class OtherVersion(LowMemory):
        def open(self) -> str:
            error = EmodetectError("a node has emodetect 0.0.1")
            traceback = "Traceback (most recent call last): ..."
            raise self.exceptions.RayTaskError("open", traceback, error).as_instanceof_cause()

    with pytest.raises(EmodetectError, match=r"\Aa node has emodetect 0\.0\.1\Z"):
        list(two_workers(OtherVersion(""), {}).run([Part(0, ["a"])]))


def test_a_list_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """A list that fails half-way leaves none; parts are photos in order, until a file is there."""
    names = [f"{number}.png" for number in range(2 * PHOTOS_PER_PART + 2)]
    seen = hashlib.sha256()

    def half() -> Iterator[str]:
        yield from names[: PHOTOS_PER_PART + 1]
        raise EmodetectError("no list")

    with open_dataset(tmp_path / "rows", JOB, resume=False, force=False) as dataset:
        with pytest.raises(EmodetectError, match="no list"):
            dataset.write_list(half(), Counter(), seen)
        assert not dataset.has_list
        dataset.write_list(iter(names), Counter({"raw": 2}), seen)
        dataset.write_part(1, pa.table({"path": ["a"]}))
        with dataset.open_list() as photos:
            assert len(photos) == len(names)
            assert photos.not_read == {"raw": 2}
            assert photos.done() == PHOTOS_PER_PART
            assert photos.ends() == [names[0], names[-1]]
            left = list(photos.remaining())
    assert [part.number for part in left] == [0, 2]
    assert left[0].photos + left[1].photos == names[:PHOTOS_PER_PART] + names[-2:]


@posix_only
def test_a_disk_without_space_is_said_and_leaves_no_half_file(tmp_path: Path) -> None:
    """A part that cannot be written is one line with what to do, and no file."""
    import resource  # not on Windows

    rows = pa.table({"path": [str(number) for number in range(100_000)]})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_dataset(tmp_path / "rows", JOB, resume=False, force=False) as dataset:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            with pytest.raises(EmodetectError, match=r"cannot be written: .*--resume"):
                dataset.write_part(0, rows)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [file.name for file in (tmp_path / "rows").iterdir()] == ["_job.json"]


def test_a_damaged_list_is_told(tmp_path: Path) -> None:
    """A job whose list a power cut or a copy has cut short cannot be continued."""
    with open_dataset(tmp_path / "rows", JOB, resume=False, force=False) as dataset:
        dataset.write_list(iter(["a.jpg"]), Counter(), hashlib.sha256())
        file = tmp_path / "rows" / "_list.parquet"
        content = file.read_bytes()
        told = partial(pytest.raises, EmodetectError)
        file.write_bytes(content[:4] + bytes(40) + content[44:])
        with dataset.open_list() as photos, told(match=r"_list\.parquet: is damaged .* a new one"):
            photos.ends()
        pq.write_table(pa.table({"path": [b"a.jpg"]}), file)
        with dataset.open_list() as photos, told(match=r"_list\.parquet: is damaged"):
            photos.not_read.total()
        file.write_bytes(content[:300])
        with told(match=r"_list\.parquet: is damaged"), dataset.open_list():
            pass
        file.unlink()
        with told(match=r"_list\.parquet: cannot be read: No such file"), dataset.open_list():
            pass


def test_a_ray_that_does_not_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, Ray gives up with an error of no type of its own."""
    import ray

    def begin(error: Exception) -> None:
        def fail(**_: object) -> None:
            raise error

        monkeypatch.setattr(ray, "init", fail)
        with ray_session(None, cpus=1, log=tmp_path / "log"):
            pass

    with pytest.raises(EmodetectError, match=r"^--engine ray: Ray cannot be used: .* out during"):
        begin(Exception("The current node timed out\nduring startup."))
    with pytest.raises(EmodetectError, match=r"^--engine ray: Ray cannot be used: no disk"):
        begin(ray.exceptions.OutOfDiskError("no disk"))
    with pytest.raises(TypeError):  # a mistake of ours
        begin(TypeError("unexpected argument"))


def test_an_output_of_another_job_is_refused(tmp_path: Path) -> None:
    """Results are neither overwritten nor mixed, and two runs do not write to one folder."""
    rows = tmp_path / "rows"
    open_rows = partial(open_dataset, rows)

    def refused(job: dict[str, Any], *, resume: bool, match: str) -> None:
        with pytest.raises(EmodetectError, match=match), open_rows(job, resume=resume, force=False):
            pass

    with open_rows(JOB, resume=False, force=False) as dataset:
        dataset.write_part(0, pa.table({"path": ["a"]}))
        refused(JOB, resume=True, match="another run is writing to it")
    refused(JOB, resume=False, match="already contains results; add --resume")
    refused({"model": "b"}, resume=True, match="it was started with model a, not b")
    whole = (rows / "_job.json").read_text()
    for damaged in ("[]", '["a"]', '"abc"', "{", "[" * 100_000):
        (rows / "_job.json").write_text(damaged)
        refused(JOB, resume=True, match="_job.json is damaged")
    (rows / "_job.json").write_text(whole)
    refused({**JOB, "detector": "none"}, resume=True, match="with detector null, not none")
    refused({}, resume=True, match="with model a, not null")
    with open_rows({"model": "b"}, resume=False, force=True) as dataset:
        assert not dataset.has_part(0)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    with (
        pytest.raises(EmodetectError, match="already contains files"),
        open_dataset(tmp_path / "other", JOB, resume=True, force=False),
    ):
        pass


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    """A job that is resumed deletes the partial files of the run before, and keeps its parts."""
    rows = tmp_path / "rows"
    with open_dataset(rows, JOB, resume=False, force=False) as dataset:
        dataset.write_part(0, pa.table({"path": ["a"]}))
    partial_file = rows / ".part-0000001.parquet.0123456789abcdef.partial"
    partial_file.touch()
    assert list(rows.glob(PARTIAL_FILES)) == [partial_file]
    with open_dataset(rows, JOB, resume=True, force=False) as dataset:
        assert dataset.has_part(0)
    assert not partial_file.exists()


def test_photos_come_from_folders_patterns_lists_and_manifests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each source yields paths and URLs as they were given, those of a manifest beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album").mkdir()
    for name in ("a.jpg", "b.png"):
        (tmp_path / "album" / name).touch()
    web = "https://example.org/x//y.jpg?size=1"
    (tmp_path / "list.txt").write_text(f"album/a.jpg\n{web}\n\nalbum\n")
    (tmp_path / "album" / "some.csv").write_text(f"label;path\nhappy;b.png\nsad;{web}\n")
    pq.write_table(pa.table({"path": ["album/a.jpg", web]}), "all.parquet")
    assert listed(Path("album")) == ["album/a.jpg", "album/b.png"]
    assert listed(Path("al*/*.png"), web) == ["album/b.png", web]
    assert listed(Path("list.txt")) == ["album/a.jpg", web, "album/a.jpg", "album/b.png"]
    assert listed(Path("album/some.csv")) == ["album/b.png", web]
    assert listed(Path("all.parquet")) == ["album/a.jpg", web]
    pq.write_table(pa.table({"path": ["a.jpg"] * 5000}), "damaged.parquet", use_dictionary=False)
    content = Path("damaged.parquet").read_bytes()
    for damaged in (content[:300], content[:4] + bytes(100) + content[104:]):
        Path("damaged.parquet").write_bytes(damaged)
        with pytest.raises(EmodetectError, match=r"^damaged.parquet: expected a Parquet file: "):
            listed(Path("damaged.parquet"))
    latin = pa.StringArray.from_buffers(
        1, pa.array([0, 3], pa.int32()).buffers()[1], pa.py_buffer(b"\xe9t\xe9")
    )
    pq.write_table(pa.table({"path": latin}), "latin.parquet")
    with pytest.raises(EmodetectError, match=r"^latin.parquet: expected a Parquet file: 'utf-8'"):
        listed(Path("latin.parquet"))
    (tmp_path / "empty.txt").touch()
    with pytest.raises(EmodetectError, match=r"empty.txt: the list is empty"):
        listed(Path("empty.txt"))
    (tmp_path / "windows.txt").write_text("album/a.jpg", encoding="utf-16")
    with pytest.raises(EmodetectError, match=r"^windows.txt: .* in UTF-8, got UTF-16"):
        listed(Path("windows.txt"))
    with pytest.raises(EmodetectError, match=r"expected a URL that begins with s3://"):
        listed("ftp://example.org/a.jpg")


def test_objects_are_found_below_a_prefix_and_by_patterns(store: Any) -> None:
    """A prefix is a folder, searched to any depth; a pattern matches as it does for files."""
    store.create_bucket(Bucket="holiday")
    for name in ("day1/a.jpg", "day1/late/b.png", "day2/c.jpg", "day2/._c.jpg", "day2/raw.cr2"):
        store.put_object(Bucket="holiday", Key=name, Body=b"x")
    everything = ["day1/a.jpg", "day1/late/b.png", "day2/c.jpg"]
    found = Counter[str]()
    photos = list_photos(("s3://holiday",), null=False, not_read=found, seen=hashlib.sha256())
    assert list(photos) == [f"s3://holiday/{name}" for name in everything]
    assert found.total() == 2
    assert listed("s3://holiday/day2/") == ["s3://holiday/day2/c.jpg"]
    assert listed("s3://holiday/day*/*.jpg") == [
        "s3://holiday/day1/a.jpg",
        "s3://holiday/day2/c.jpg",
    ]
    assert listed("s3://holiday/**/*.png") == ["s3://holiday/day1/late/b.png"]
    assert listed("s3://holiday/none/") == ["s3://holiday/none/"]  # which ends as an error
    latin = os.fsdecode(b"s3://holiday/\xe9t\xe9/")
    with pytest.raises(EmodetectError, match=r"cannot be listed"):
        listed(latin)


def test_objects_below_an_empty_name_are_counted(store: Any) -> None:
    """`photos//a.jpg` can be neither listed nor read; all other objects are found."""
    store.create_bucket(Bucket="uneven")
    for name in ("day1/a.jpg", "day1//b.jpg", "/c.jpg"):
        store.put_object(Bucket="uneven", Key=name, Body=b"x")
    found = Counter[str]()
    photos = list_photos(("s3://uneven",), null=False, not_read=found, seen=hashlib.sha256())
    assert list(photos) == ["s3://uneven/day1/a.jpg"]
    assert found == {remote_files.NAMELESS: 2}
    found.clear()
    photos = list_photos(("s3://uneven/d*/*",), null=False, not_read=found, seen=hashlib.sha256())
    assert list(photos) == ["s3://uneven/day1/a.jpg"]
    assert found == {remote_files.NAMELESS: 1}


class FoldersUnlisted(pyarrow.fs.FSSpecHandler):
    """Lists like pyarrow's client of Google's store: the folders themselves are left out."""

    def get_file_info_selector(self, selector: Any) -> list[Any]:
        found = super().get_file_info_selector(selector)
        return [info for info in found if info.type == pyarrow.fs.FileType.File]


def test_objects_in_googles_store_are_found_to_any_depth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client does not list folders, which must not hide what is in them."""
    for name in ("holiday/day1/a.jpg", "holiday/day1/late/b.png", "holiday/day2/c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    below = fsspec.filesystem("dir", path=str(tmp_path), fs=fsspec.filesystem("file"))
    google = pyarrow.fs.PyFileSystem(FoldersUnlisted(below))
    monkeypatch.setattr(remote_files, "_open_store", lambda scheme, bucket: google)
    assert listed("gs://holiday") == [
        f"gs://holiday/{name}" for name in ("day1/a.jpg", "day1/late/b.png", "day2/c.jpg")
    ]
    assert listed("gs://holiday/*/*.jpg") == [
        "gs://holiday/day1/a.jpg",
        "gs://holiday/day2/c.jpg",
    ]


def test_a_node_must_have_the_same_model_and_emodetect(tmp_path: Path) -> None:
    """Another version or model is refused; other versions of packages are said."""
    photo = tmp_path / "a.jpg"
    photo.touch()
    needs = Needs(model="fer2013", photos=(str(photo),))
    here = facts_here(needs)
    assert not [*problems(here, here), *differences(here, here)]
    photo.unlink()
    there = facts_here(needs)
    there.versions.update(emodetect="0.0.1", numpy="1.0")
    there.hashes["fer2013"] = "0"
    version, model, unread = problems(there, here)
    assert "expected emodetect 0.1.0, as here, got 0.0.1" in version
    assert "fer2013 is another file than here" in model
    assert f"cannot read {photo}" in unread
    assert list(differences(there, here)) == [f"numpy 1.0, here {np.__version__}"]


def test_without_ray_stands_the_line_that_installs_it(tmp_path: Path) -> None:
    """Without the extra, the command says how to install it."""
    words = ("predict", "a.jpg", "--engine", "ray", "--output", tmp_path / "rows")
    done = run_without(("ray",), *words)
    assert done.returncode == 1
    assert 'install them with: pip install "emodetect[ray]"' in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "rows").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.jpg", "--address", "auto"], "require --engine ray"),
        (["s3://bucket/a.jpg"], "add --engine ray"),
        (["a.jpg", "--engine", "ray"], "requires --output DIR"),
        (["a.jpg", "--engine", "ray", "--output", "s3://b/x"], "a folder on this machine"),
        (["a.jpg", "--engine", "ray", "--output", "o", "--format", "csv"], "omit --format"),
        (["a.jpg", "--engine", "ray", "--output", "o", "--annotate", "d"], "--annotate cannot"),
        (["a.jpg", "--engine", "ray", "--output", "o", "--workers", "0"], "at least 1"),
    ],
)
def test_options_that_do_not_fit_are_refused(words: list[str], message: str) -> None:
    """What an engine cannot do is said before any work."""
    done = CliRunner().invoke(app, ["predict", *words])
    assert done.exit_code == 2
    assert message in done.output


def test_an_address_that_is_none_is_refused(faces: Path, tmp_path: Path) -> None:
    """An address is auto or HOST:PORT."""
    done = predict(faces, "--address", "ray://head:10001", "--output", tmp_path / "rows")
    assert "expected auto or HOST:PORT" in done.stderr
    assert done.returncode == 1


def test_a_dataset_folder_reads_names_that_are_not_unicode(tmp_path: Path) -> None:
    """A file's name may be any bytes; the list keeps them."""
    name = os.fsdecode(b"\xff.jpg")
    dataset = DatasetFolder(tmp_path)
    dataset.write_list(iter([name]), Counter(), hashlib.sha256())
    with dataset.open_list() as photos:
        assert photos.ends() == [name, name]
