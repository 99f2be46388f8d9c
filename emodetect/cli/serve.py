"""`emodetect serve`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from emodetect.cli.options.numbers import WholeNumber
from emodetect.cli.options.recognizer import RecognizerChoice, recognizer_options
from emodetect.errors import EmodetectError
from emodetect.serve.limits import HELD_BYTES_PER_CLIENT


def _limit(
    name: str, default: int, *, most: int, metavar: str, help: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        name,
        type=WholeNumber(1, most),
        default=default,
        show_default=True,
        metavar=metavar,
        help=help,
    )


@click.command(short_help="Serve a model over HTTP, with a web page.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on; :: for all addresses of this machine, 0.0.0.0 for those of IPv4 "
    "(both need a token).",
)
@click.option(
    "--port",
    type=WholeNumber(0, 65535),
    default=8000,
    show_default=True,
    metavar="N",
    help="Port to listen on; 0 picks a free one.",
)
@recognizer_options
@click.option(
    "--workers",
    type=WholeNumber(1, 256),
    metavar="N",
    help="Threads that decode images and find faces, in addition to the model's own threads. "
    "[default: number of cores, at most 8]",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="File containing the access token. [default: the environment variable EMODETECT_TOKEN, "
    "if set]",
)
@click.option(
    "--without-token",
    is_flag=True,
    help="Serve everyone who can reach the address, without a token.",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME",
    help="Without a token: a name under which clients reach the server, besides its addresses. "
    "Repeatable.",
)
@_limit(
    "--queue",
    32,
    most=10_000,
    metavar="N",
    help="Maximum unfinished images over all requests; beyond that, status 503 with Retry-After.",
)
@click.option(
    "--max-per-client",
    type=WholeNumber(1, 10_000),
    metavar="N",
    help="Maximum unfinished images of one client address; beyond that, status 429 with "
    "Retry-After. Those that connect to localhost are not counted. [default: half of --queue, at "
    "least --max-images]",
)
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    metavar="ADDRESS",
    help="Address or network of a proxy. Its X-Forwarded-For names the client for "
    "the count of --max-per-client. Repeatable.",
)
@_limit("--max-images", 16, most=1_000, metavar="N", help="Maximum images per request.")
@_limit(
    "--max-body",
    32,
    most=HELD_BYTES_PER_CLIENT // 2**20,
    metavar="MIB",
    help="Maximum size of a request.",
)
@_limit(
    "--max-pixels",
    25,
    most=200,
    metavar="MILLIONS",
    help="Maximum size of an image, checked before decoding. Larger JPEG and HEIC photos are "
    "decoded reduced.",
)
@_limit(
    "--timeout",
    30,
    most=3600,
    metavar="SECONDS",
    help="Time limit to receive a request, and then to respond.",
)
@click.option(
    "--drain-timeout",
    "drain_s",
    type=WholeNumber(1, 7200),
    metavar="SECONDS",
    help="Time limit to finish the requests in progress after SIGTERM or Ctrl-C. [default: twice "
    "--timeout]",
)
def serve(
    recognizer: RecognizerChoice,
    token_file: Path | None,
    without_token: bool,
    queue: int,
    max_images: int,
    max_body: int,
    max_pixels: int,
    max_per_client: int | None,
    timeout: int,
    **server: Any,
) -> None:
    """Serve a model over HTTP, with a web page for photos and the camera.

    \b
    emodetect serve
    curl --data-binary @photo.jpg http://127.0.0.1:8000/v1/analyze
    curl -F files=@a.jpg -F files=@b.jpg http://127.0.0.1:8000/v1/analyze
    EMODETECT_TOKEN=$(openssl rand -hex 16) emodetect serve --host 0.0.0.0

    The web page is at /, the API's description at /docs. The API returns the rows of `emodetect
    predict --format json`. Images are processed in memory and not stored.

    After SIGTERM or Ctrl-C, the server finishes the requests in progress, refuses new ones with
    status 503 and closes streams; /healthz then responds 503. The exit status is 0 after SIGTERM,
    130 after Ctrl-C, 1 if a request was cut off. A second signal ends the server at once.
    """
    try:
        from emodetect.serve.access import read_token
        from emodetect.serve.limits import Limits
        from emodetect.serve.server import ServerOptions
        from emodetect.serve.server import serve as run_server
    except ImportError as error:
        raise EmodetectError(
            f"serve needs packages that are not installed ({error}). Install them: "
            'pip install "emodetect[serve]"'
        ) from None

    if without_token and token_file is not None:
        raise click.UsageError("--token-file and --without-token exclude each other.")
    if max_images > queue:
        raise click.UsageError(f"--max-images {max_images} must not exceed --queue {queue}.")
    if max_per_client is None:
        max_per_client = max(queue // 2, max_images)
    elif max_images > max_per_client:
        raise click.UsageError(
            f"--max-images {max_images} must not exceed --max-per-client {max_per_client}."
        )
    options = ServerOptions(
        token=None if without_token else read_token(token_file),
        without_token=without_token,
        limits=Limits(
            body_bytes=max_body * 2**20,
            pixels=max_pixels * 1_000_000,
            images=max_images,
            queue=queue,
            per_client=max_per_client,
            seconds=timeout,
        ),
        **server,
    )
    try:
        run_server(options, recognizer.opener(), announce=partial(click.echo, err=True))
    except KeyboardInterrupt:
        sys.exit(130)
