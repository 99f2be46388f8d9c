"""`emodetect demo`: train, evaluate and use a model in a minute or two."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from emodetect.cli.options.files import folder_option

SCENE_EMOTIONS = ("happy", "surprise", "sad", "angry")


@click.command(short_help="Train, evaluate and run a model on drawn faces.")
@folder_option(
    "--out", default="emodetect-demo", help="Output folder; an earlier demo in it is replaced."
)
@click.pass_context
def demo(context: click.Context, out: Path) -> None:
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

    run, report, scene_file = out / "run", out / "report", out / "scene.png"
    marker = out / ".emodetect-demo"
    if marker.is_file():
        shutil.rmtree(out)
    check_output_folder(out, force=False)
    out.mkdir(parents=True, exist_ok=True)
    marker.write_text("Created by emodetect demo, which replaces this folder.\n", encoding="utf-8")
    scene = draw_scene(SCENE_EMOTIONS, np.random.default_rng(7), width=800, height=500)
    scene_file.write_bytes(cv2.imencode(".png", scene.image)[1].tobytes())
    model = run / "best_model.keras"

    click.secho("1/3  training on drawn faces", bold=True)
    context.invoke(train, config_name="demo", overrides=(f"output={run}",))
    click.secho("2/3  evaluating on drawn faces not used in training", bold=True)
    context.invoke(evaluate, models=(str(model),), out=report)
    click.secho("3/3  recognising the emotions in a drawn scene", bold=True)
    context.invoke(predict, images=(scene_file,), model=str(model), annotate=out / "annotated")
    left_to_right = sorted(scene.faces, key=lambda face: face.box)
    click.echo(f"drawn, left to right: {', '.join(face.emotion for face in left_to_right)}")

    click.echo()
    for name, path in (
        ("model", model),
        ("report", report / "report.html"),
        ("learning curves", run / "curves.png"),
        ("confusion matrix", report / "confusion_matrix.png"),
        ("annotated scene", out / "annotated" / scene_file.name),
    ):
        click.echo(f"{name + ':':<18}{path}")
