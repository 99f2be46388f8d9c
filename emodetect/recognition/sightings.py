"""What is seen in the frames of a video, held back until it is known which new faces are faces."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from emodetect.errors import EmodetectError
from emodetect.faces.tracks import CONFIRMING_FRAMES

if TYPE_CHECKING:
    from emodetect.recognition.face import Face

Item = TypeVar("Item")


@dataclass(frozen=True)
class Sighting:
    """A face in a frame.

    Attributes:
        unconfirmed: the key of a new face that was not seen often enough yet to be sure that it is
            one; None otherwise.
    """

    face: Face
    unconfirmed: int | None = None


@dataclass(frozen=True)
class Seen:
    """What is seen in a frame.

    Attributes:
        sightings: the faces, and what may be one.
        confirmed: the IDs of new faces that this frame confirms, by key; None without tracking.
        dropped: the keys of those that were not seen again.
        missed: faces that this frame misses, where they were; they may still be there.
    """

    sightings: tuple[Sighting, ...]
    confirmed: Mapping[int, int | None] = field(default_factory=dict)
    dropped: AbstractSet[int] = frozenset()
    missed: tuple[Face, ...] = ()

    @classmethod
    def known(cls, faces: Sequence[Face]) -> Self:
        """Return faces that need no confirmation."""
        return cls(tuple(map(Sighting, faces)))

    @property
    def faces(self) -> list[Face]:
        """The confirmed faces, to be shown and logged."""
        return [sighting.face for sighting in self.sightings if sighting.unconfirmed is None]

    @property
    def everything(self) -> list[Face]:
        """The faces, what may be one, and those that the frame misses, to be blurred."""
        return [*(sighting.face for sighting in self.sightings), *self.missed]

    def resolved(self, confirmed: Mapping[int, int | None]) -> Seen:
        """Return the same with these faces confirmed."""
        return Seen(
            tuple(
                Sighting(replace(one.face, id=confirmed[one.unconfirmed]))
                if one.unconfirmed is not None and one.unconfirmed in confirmed
                else one
                for one in self.sightings
            ),
            missed=self.missed,
        )


class HeldFrames(Generic[Item]):
    """Holds back each frame until its new faces are confirmed or dropped.

    At most CONFIRMING_FRAMES + 1 analysed frames are held, and those that come between them.
    """

    def __init__(self) -> None:
        self.held: deque[tuple[Item, Seen]] = deque()
        self.confirmed: dict[int, int | None] = {}
        self.open: set[int] = set()
        self.analyzed = 0
        self.last: Seen | None = None

    def add(self, item: Item, seen: Seen) -> Iterator[tuple[Item, Seen]]:
        """Add a frame, and yield those that are complete now, in order.

        Args:
            seen: for a frame that is not analysed, the same object as for the frame before it.
        """
        self.analyzed += seen is not self.last
        self.last = seen
        self.held.append((item, seen))
        self.open |= {one.unconfirmed for one in seen.sightings if one.unconfirmed is not None}
        self.open -= seen.confirmed.keys() | seen.dropped
        self.confirmed.update(seen.confirmed)
        yield from self._complete()

    def finish(self) -> Iterator[tuple[Item, Seen]]:
        """Yield the remaining frames; their unconfirmed faces are dropped.

        They are kept if there were too few frames to confirm any.
        """
        if self.analyzed < CONFIRMING_FRAMES:
            self.confirmed |= {
                one.unconfirmed: one.face.id
                for _, seen in self.held
                for one in seen.sightings
                if one.unconfirmed is not None
            }
        self.open = set()
        yield from self._complete()

    def _complete(self) -> Iterator[tuple[Item, Seen]]:
        while self.held:
            item, seen = self.held[0]
            if self.open & {one.unconfirmed for one in seen.sightings}:
                return
            self.held.popleft()
            yield item, seen.resolved(self.confirmed)
        self.confirmed.clear()


def complete_frames(
    frames: Iterable[tuple[Item, Seen]], *, signals: Sequence[int] = ()
) -> Iterator[tuple[Item, Seen]]:
    """Yield frames, in order, when their new faces are confirmed or dropped.

    If an error ends the frames, those before it are yielded first.

    Args:
        signals: if it is not empty at the end, the frames still held back are left out.
    """
    held: HeldFrames[Item] = HeldFrames()
    try:
        for item, seen in frames:
            yield from held.add(item, seen)
    except EmodetectError:
        yield from held.finish()
        raise
    if not signals:
        yield from held.finish()
