"""`emodetect demo`: train, evaluate and use a model in a minute or two."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from emodetect.cli.options.files import FOLDER, force_option, output_option
from emodetect.errors import EmodetectError
from emodetect.model_file.shipped_models import RUN_MODEL

SCENE_EMOTIONS = ("happy", "surprise", "sad", "angry")


@click.command(short_help="Train, evaluate and run a model on drawn faces.")
@output_option(
    type=FOLDER, metavar="DIR", default="emodetect-demo", show_default=True, help="Output folder."
)
@force_option()
@click.pass_context
def demo(context: click.Context, output: Path, force: bool) -> None:
    """Draw faces, train a model on them, evaluate it, and classify the faces of a drawn scene.

    Fine-tunes the shipped model on drawn faces. Needs no data, download or camera, and takes a
    minute or two on two cores.
    """
    import cv2
    import numpy as np

    from emodetect.cli.evaluate import evaluate
    from emodetect.cli.predict import predict
    from emodetect.cli.train import train
    from emodetect.data.synthetic import draw_scene
    from emodetect.machine.output_folder import check_output_folder

    run, report, scene_file = output / "run", output / "report", output / "scene.png"
    marker = output / ".emodetect-demo"
    check_output_folder(output, force=force)
    if marker.is_file():
        shutil.rmtree(output)
    elif output.is_dir() and any(output.iterdir()):
        raise EmodetectError(
            f"{output}: contains files that are not from a demo, which --force does not replace; "
            "choose another folder."
        )
    output.mkdir(parents=True, exist_ok=True)
    marker.write_text("Created by emodetect demo; demo --force replaces it.\n", encoding="utf-8")
    scene = draw_scene(SCENE_EMOTIONS, np.random.default_rng(7), width=800, height=500)
    scene_file.write_bytes(cv2.imencode(".png", scene.image)[1].tobytes())
    model = run / RUN_MODEL

    click.secho("1/3  training on drawn faces", bold=True)
    context.invoke(train, config_name="demo", overrides=(f"output={run}",))
    click.secho("2/3  evaluating on drawn faces not used in training", bold=True)
    context.invoke(evaluate, models=(str(run),), output=report)
    click.secho("3/3  recognising the emotions in a drawn scene", bold=True)
    context.invoke(predict, images=(scene_file,), model=str(run), annotate=output / "annotated")
    left_to_right = sorted(scene.faces, key=lambda face: face.box)
    click.echo(f"drawn, left to right: {', '.join(face.emotion for face in left_to_right)}")

    click.echo()
    for name, path in (
        ("model", model),
        ("report", report / "report.html"),
        ("learning curves", run / "curves.png"),
        ("confusion matrix", report / "confusion_matrix.png"),
        ("annotated scene", output / "annotated" / scene_file.name),
    ):
        click.echo(f"{name + ':':<18}{path}")
