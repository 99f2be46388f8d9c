"""`emodetect serve`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from emodetect.cli.options.model import model_options, runtime_option, usable_model
from emodetect.cli.options.numbers import uncertain_option
from emodetect.cli.options.tracking import detector_option
from emodetect.errors import EmodetectError

TOKEN_VARIABLE = "EMODETECT_TOKEN"


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 for all of this machine's, which takes a token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0 takes a free one.",
)
@model_options
@runtime_option
@detector_option
@uncertain_option
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Threads that decode pictures and find faces; the model has one of its own.  [default: "
    "the cores, at most 8]",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Clients must know what stands in this file.  [default: the environment variable "
    f"{TOKEN_VARIABLE}, if it is set]",
)
@click.option(
    "--without-token", is_flag=True, help="Serve whoever reaches this machine, whatever the host."
)
@click.option(
    "--queue",
    type=click.IntRange(1, 10_000),
    default=32,
    show_default=True,
    metavar="N",
    help="Pictures taken on at once, of all requests; others are answered 503 with Retry-After.",
)
@click.option(
    "--max-images",
    type=click.IntRange(1, 1_000),
    default=16,
    show_default=True,
    metavar="N",
    help="Pictures in one request.",
)
@click.option(
    "--max-body",
    type=click.IntRange(1, 256),
    default=32,
    show_default=True,
    metavar="MIB",
    help="Size of one request.",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(1, 200),
    default=25,
    show_default=True,
    metavar="MILLIONS",
    help="Of one picture; told from its header, before it is decoded.",
)
@click.option(
    "--timeout",
    type=click.IntRange(1, 3600),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="In which a request must have come, and then be answered.",
)
def serve(
    host: str,
    port: int,
    model: str | None,
    labels: str | None,
    pixels: str | None,
    runtime: str | None,
    detector: str,
    uncertain_below: float,
    workers: int | None,
    token_file: Path | None,
    without_token: bool,
    queue: int,
    max_images: int,
    max_body: int,
    max_pixels: int,
    timeout: int,
) -> None:
    """Answer HTTP requests, and show a page for photos and the camera.

    \b
    emodetect serve
    curl --data-binary @photo.jpg http://127.0.0.1:8000/v1/analyze
    curl -F files=@a.jpg -F files=@b.jpg http://127.0.0.1:8000/v1/analyze
    EMODETECT_TOKEN=secret emodetect serve --host 0.0.0.0 --port 8080

    The page is at /, the API's description at /docs. Rows are those of `emodetect predict
    --format json`; pictures are worked on in memory and not kept. SIGTERM and Ctrl-C finish the
    requests that were taken, and take no more; the exit status is then 143 or 130.
    """
    try:
        from emodetect.serve.server import is_loopback, open_socket
        from emodetect.serve.server import serve as run_server
    except ImportError as error:
        raise EmodetectError(
            f"serve needs what is not installed here ({error}): pip install 'emodetect[serve]'"
        ) from None
    from emodetect.machine.threads import usable_cores
    from emodetect.recognition.recognizer import EmotionRecognizer
    from emodetect.serve.limits import Limits

    if max_images > queue:
        raise click.UsageError(f"--max-images {max_images} never finds room in --queue {queue}.")
    token = None if without_token else _token(token_file)
    with open_socket(host, port) as listening:
        if token is None and not without_token and not is_loopback(listening):
            raise EmodetectError(
                f"{host}: others can reach this address: set {TOKEN_VARIABLE} or add --token-file "
                "FILE, so that only those who know the token may ask, or --without-token."
            )
        recognizer = EmotionRecognizer(
            usable_model(model, labels, pixels),
            detector=detector,
            threads=max(1, usable_cores() // 2),  # the workers need cores too
            runtime=runtime,
            uncertain_below=uncertain_below,
        )
        name = f"[{host}]" if ":" in host else host
        click.echo(
            f"{recognizer.metadata.name} at http://{name}:{listening.getsockname()[1]} "
            "(Ctrl-C ends)",
            err=True,
        )
        limits = Limits(
            body_bytes=max_body * 2**20,
            pixels=max_pixels * 1_000_000,
            images=max_images,
            queue=queue,
            seconds=timeout,
        )
        try:
            run_server(
                recognizer, listening, host=host, limits=limits, token=token, workers=workers
            )
        except KeyboardInterrupt:
            sys.exit(130)


def _token(file: Path | None) -> str | None:
    import os

    where = TOKEN_VARIABLE if file is None else str(file)
    try:
        text = os.environ.get(TOKEN_VARIABLE) if file is None else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EmodetectError(f"{where}: the token cannot be read: {error}.") from None
    if text is None:
        return None
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable():
        found = "something else" if token else "nothing"
        raise EmodetectError(
            f"{where}: expected a token, one line of printable ASCII letters, got {found}."
        )
    return token
