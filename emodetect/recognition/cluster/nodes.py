"""Check that each node of a cluster has what its workers need, and the same as the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field
from types import ModuleType
from typing import Any

from emodetect.errors import EmodetectError

# Other versions of these may give other results.
PACKAGES = (
    *("ai-edge-litert", "keras", "numpy", "onnxruntime", "opencv-python", "openvino"),
    *("pi-heif", "pillow", "pyarrow", "ray"),
)
ANSWER_S = 120


@dataclass(frozen=True)
class Needs:
    """What workers open on their node.

    Attributes:
        model: path of the model file, or name of a shipped model.
        files: absolute paths of other files, such as that of a detector.
        photos: absolute paths and URLs of some photos.
    """

    model: str
    files: tuple[str, ...] = ()
    photos: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeFacts:
    """What a machine has.

    Attributes:
        python: its version.
        versions: of `emodetect` and PACKAGES; None if not installed.
        hashes: the SHA-256 of `Needs.model` and `Needs.files`; None if missing.
        photos: for each of `Needs.photos`, None if it can be read, or why not.
    """

    python: str
    versions: dict[str, str | None]
    hashes: dict[str, str | None]
    photos: dict[str, str | None] = field(default_factory=dict)


def facts_here(needs: Needs) -> NodeFacts:
    """Return the facts of this machine."""
    return NodeFacts(**_facts_function()(("emodetect", *PACKAGES), *astuple(needs)))


def check_nodes(
    ray: ModuleType, needs: Needs, here: NodeFacts, say: Callable[[str], object]
) -> None:
    """Compare the nodes with this machine, and say which versions differ.

    Raises:
        EmodetectError: if a node has another emodetect or model, lacks a file, cannot read a photo
            that this machine can, or does not answer.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    task = ray.remote(num_cpus=0, max_retries=0)(_facts_function())
    near = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    answers = {
        node["NodeManagerAddress"] + "/" + node["NodeID"][:6]: task.options(
            scheduling_strategy=near(node["NodeID"], soft=False)
        ).remote(("emodetect", *PACKAGES), *astuple(needs))
        for node in nodes
    }
    ray.wait(list(answers.values()), num_returns=len(answers), timeout=ANSWER_S)
    different: dict[str, list[str]] = {}
    for name, answer in answers.items():
        try:
            facts = NodeFacts(**ray.get(answer, timeout=0))
        except ray.exceptions.RayError as error:
            why = type(error).__name__
            raise EmodetectError(
                f"node {name}: does not answer ({why}); remove it from the cluster or fix it."
            ) from None
        if problem := next(problems(facts, here), None):
            raise EmodetectError(f"node {name}: {problem}.")
        for difference in differences(facts, here):
            different.setdefault(difference, []).append(name)
    for difference, names in different.items():
        say(f"warning: {difference} (on {len(names):,} of {len(answers):,} nodes: {names[0]}...)")


def problems(node: NodeFacts, here: NodeFacts) -> Iterator[str]:
    """Yield why a node cannot work for this machine."""
    wanted, got = here.versions["emodetect"], node.versions["emodetect"]
    if got != wanted:
        yield (
            f"expected emodetect {wanted}, as here, got {got or 'none'}; install this version there"
        )
    for path, sha256 in here.hashes.items():
        if node.hashes[path] is None:
            yield f"{path} is missing; copy it to the same place on all nodes"
        elif node.hashes[path] != sha256:
            yield f"{path} is another file than here; copy it to the same place on all nodes"
    for photo, why in here.photos.items():
        if why is None and node.photos[photo] is not None:
            yield (
                f"cannot read {photo} ({node.photos[photo]}); photos must be on a file system that "
                "all nodes share, under the same path, or in a store for which all have credentials"
            )


def differences(node: NodeFacts, here: NodeFacts) -> Iterator[str]:
    """Yield which versions differ that may change results."""
    if node.python != here.python:
        yield f"Python {node.python}, here {here.python}"
    for name in PACKAGES:
        if node.versions[name] != here.versions[name]:
            yield (
                f"{name} {node.versions[name] or 'not installed'}, here "
                f"{here.versions[name] or 'not installed'}"
            )


def _facts_function() -> Callable[..., dict[str, Any]]:
    # Inside a function, so that Ray sends its code: a node may have no emodetect to import it from.
    def facts(
        packages: tuple[str, ...], model: str, files: tuple[str, ...], photos: tuple[str, ...]
    ) -> dict[str, Any]:
        import hashlib
        import importlib.metadata
        import platform
        from pathlib import Path

        def version(name: str) -> str | None:
            try:
                return importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                return None

        def sha256(path: Path | None) -> str | None:
            try:
                return None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError:
                return None

        def model_file() -> Path | None:
            try:
                from emodetect.model_file.shipped_models import model_path

                return model_path(model)
            except Exception:  # no emodetect, or one without this model
                return None

        def why_not_read(photo: str) -> str | None:
            try:
                from emodetect.recognition.cluster.remote_files import is_url, read_url

                if is_url(photo):
                    read_url(photo)
                else:
                    with Path(photo).open("rb"):
                        pass
            except Exception as error:
                return str(error)
            return None

        return {
            "python": platform.python_version(),
            "versions": {name: version(name) for name in packages},
            "hashes": {
                model: sha256(model_file()),
                **{path: sha256(Path(path)) for path in files},
            },
            "photos": {photo: why_not_read(photo) for photo in photos},
        }

    return facts
