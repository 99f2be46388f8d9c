"""Progress bars with rate and time left, on stderr so that results can be piped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Item = TypeVar("Item")

SECONDS_BETWEEN_UPDATES = 0.1


def track(
    items: Iterable[Item],
    *,
    description: str,
    total: int | Callable[[], int] | None,
    done: int = 0,
) -> Generator[Item]:
    """Yield `items` while showing a progress bar; without one if stderr is not a terminal.

    Args:
        total: the number of items; a function that counts them, called in another thread; or None
            if it is unknown.
        done: the number of items done before.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    with _progress_bar(console) as bar:
        known = total if isinstance(total, int) else None
        task = bar.add_task(description, total=known, completed=done)
        if callable(total):

            def count(count_all: Callable[[], int] = total) -> None:
                bar.update(task, total=count_all())

            threading.Thread(target=count, daemon=True).start()
        shown_s = time.monotonic()
        for number, item in enumerate(items, start=done + 1):
            yield item
            if time.monotonic() > shown_s + SECONDS_BETWEEN_UPDATES:
                shown_s = time.monotonic()
                bar.update(task, completed=number)


def _progress_bar(console: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        """Items per second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.{1 if speed < 10 else 0}f}/s")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
