"""Open the storage of a study: SQLite, another database, or a journal file."""

from __future__ import annotations

import contextlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, get_storage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from emodetect.errors import EmodetectError, first_line
from emodetect.machine.locks import locked
from emodetect.machine.output_folder import make_output_folder

OWN_DATABASE = "study.db"
SQLITE_SUFFIXES = (".db", ".sqlite", ".sqlite3")
SQLITE_WAIT_S = 60  # for other processes that write
SECONDS_BETWEEN_TRIES = 1.0
BEGINNING = b'{"op_code":'  # of each line of a journal


def open_storage(name: str | None, folder: Path) -> BaseStorage:
    """Open a storage, and create it if it does not exist.

    Args:
        name: a database URL, or the path of a journal file; None for SQLite in `folder`.
        folder: of the study; created for its own SQLite file.

    Raises EmodetectError if it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if name is None:
        make_output_folder(folder)
        with locked(folder, wait=True):  # or two processes would create the tables
            path = str(folder.absolute() / OWN_DATABASE)
            return _open_database(
                f"sqlite:///{quote(path)}",
                name=f"{path}:",
                advice=" If it is damaged, choose another --output, or remove it and the folder "
                "trials to start anew.",
            )
    return _open_database(name) if "://" in name else _open_journal(Path(name))


def reason_of(error: Exception) -> str:
    """Return what the database says, which Optuna and SQLAlchemy wrap into errors of their own."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, DBAPIError) and isinstance(link.orig, Exception):
            return first_line(link.orig).rstrip(".")
        # Keras raises what a callback raised from None, which leaves the context.
        link = link.__cause__ or link.__context__
    while isinstance(cause := error.__cause__, Exception):
        error = cause
    return first_line(error).rstrip(".")


def is_deleted(error: Exception) -> bool:
    """Return whether Optuna raised an error because somebody has deleted the study."""
    return isinstance(error, KeyError) and error.args == ("Record does not exist.",)


def _open_database(url: str, *, name: str | None = None, advice: str = "") -> BaseStorage:
    def connect() -> BaseStorage:
        return get_storage(RDBStorage(url, engine_kwargs=_engine_settings(url)))

    shown = "the URL"
    try:
        shown = make_url(url).render_as_string(hide_password=True)
        return _in_two_tries(connect)
    except (
        SQLAlchemyError,
        optuna.exceptions.OptunaError,
        ImportError,
        RuntimeError,  # tables of another version of Optuna
        ValueError,
    ) as error:
        if isinstance(error, ImportError):
            missing = getattr(error.__context__, "name", None) or getattr(error, "name", None)
            reason = f"it needs the Python package {missing}, which is not installed"
        elif isinstance(error, NoSuchModuleError) and url.startswith("postgres://"):
            reason = "expected postgresql:// instead of postgres://"
        else:
            reason = reason_of(error)
        where = name or f"--storage: {shown}"
        if isinstance(error, RuntimeError):  # it is whole, and Optuna says what to do
            advice = ""
        raise EmodetectError(f"{where} cannot be opened: {reason}.{advice}") from None


def _engine_settings(url: str) -> dict[str, Any]:
    if not url.startswith("sqlite"):
        return {"pool_pre_ping": True}  # or the restart of a server would end the study
    settings: dict[str, Any] = {"connect_args": {"timeout": SQLITE_WAIT_S}}
    place = make_url(url)
    in_memory = ":memory:" in (place.database or ":memory:") or place.query.get("mode") == "memory"
    if not in_memory:
        settings["poolclass"] = NullPool  # or connections would stay open until Python ends
    return settings


def _in_two_tries(connect: Callable[[], BaseStorage]) -> BaseStorage:
    # Another machine may create the same tables at this moment.
    with contextlib.suppress(SQLAlchemyError, optuna.exceptions.OptunaError):
        return connect()
    time.sleep(SECONDS_BETWEEN_TRIES)
    return connect()


def _open_journal(path: Path) -> BaseStorage:
    if path.suffix.lower() in SQLITE_SUFFIXES:
        raise EmodetectError(
            f"--storage: expected a URL or a journal file, got the name of a database: {path}; "
            f"for SQLite, write sqlite:///{path}."
        )
    try:
        backend = Journal(path)
        _check_first_line(path)
        backend.append_logs([])  # raises where nothing can be written
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return JournalStorage(backend)
    except OSError as error:
        raise EmodetectError(
            f"--storage: {path}: cannot be opened: {error.strerror}; expected a URL such as "
            "postgresql://HOST/DATABASE, or the path of a journal file."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise EmodetectError(f"--storage: {path}: expected a journal file of Optuna.") from None


class Journal(JournalFileBackend):
    """A journal file in which nothing is appended to half a line."""

    def __init__(self, path: Path) -> None:
        # With the lock by a symbolic link, Optuna's default, a process killed while it held it
        # would block all others for ever if the path is relative.
        self.path, self.lock = path.absolute(), JournalFileOpenLock(str(path.absolute()))
        super().__init__(str(self.path), lock_obj=self.lock)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        try:
            yield from super().read_logs(log_number_from)
        except ValueError:
            raise EmodetectError(
                f"--storage: {self.path}: a line of the journal is damaged; remove the line, and "
                "run the same command again to continue."
            ) from None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = b"".join(json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs)
        self.lock.acquire()
        try:
            with self.path.open("r+b") as file:
                _drop_half_line(file)
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        finally:
            self.lock.release()


def _drop_half_line(file: BinaryIO) -> None:
    """Remove an incomplete last line, of a full disk, power cut or killed process; seek the end."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 1))
    if end and file.read() != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)


def _check_first_line(path: Path) -> None:
    """Raise ValueError, KeyError or TypeError if the first line is not of a journal."""
    with path.open("rb") as file:
        line = file.readline()
    half = not line.endswith(b"\n") and (line.startswith(BEGINNING) or BEGINNING.startswith(line))
    if line and not half:
        json.loads(line)["op_code"]
