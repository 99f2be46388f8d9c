"""TFRecord shards of images: features image/encoded, emotion, split and name.

A record is the length of its data (8 bytes, little-endian), a checksum of the length (4 bytes), the
data (a tf.train.Example), and a checksum of the data (4 bytes). Single records are read by the code
here, not by a library: images are read in random order, and TensorFlow reads a file only from start
to end, without reporting the byte offset of each record.
"""

from __future__ import annotations

import os
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from emodetect.config import DataConfig
from emodetect.data.labels import LabelReader, split_of
from emodetect.data.listing import Listing, Sample
from emodetect.data.readers.listing_builder import ListingBuilder
from emodetect.errors import DataError, ImageError
from emodetect.images.reading import decode_image

SUFFIX = ".tfrecord"
IMAGE, EMOTION, LABEL, SPLIT, NAME = "image/encoded", "emotion", "label", "split", "name"
HEADER_BYTES, FOOTER_BYTES = 12, 4
SHARD_NAME = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})$")


def read_tfrecord(config: DataConfig) -> Listing:
    """List the images of a .tfrecord file, or of all in a folder.

    `emotion` may be any name of an emotion, or a label of one's own; `split` is optional. The
    images are decoded when they are needed.

    Raises DataError for a missing shard, a damaged or compressed file, or missing features.
    """
    path = config.data_path
    root = path if path.is_dir() else path.parent
    found, labels = ListingBuilder(config), LabelReader(config)
    splits: set[str | None] = set()
    for shard in _shards(path):
        for number, (offset, data) in enumerate(_records(shard), start=1):
            where = f"{shard}, record {number}"
            features = _features(data, where)
            label = _text(features, EMOTION, where)
            if label is None or IMAGE not in features:
                raise DataError(
                    f"{where}: expected the features {IMAGE} and {EMOTION}, got "
                    f"{', '.join(sorted(features)) or 'none'}."
                )
            if label not in labels:
                labels.add(label, where=where)
            emotion = labels.names.get(label)
            split = split_of(_text(features, SPLIT, where) or "", where=where)
            splits.add(split)
            if emotion is not None and found.wants(emotion):
                name = f"{shard.name}:{number}"
                found.samples.append(Sample(name, shard.name, emotion, split, offset))
    labels.refuse_unknown()
    found.settle_public_test(splits)
    return found.listing(root, where=path, label_names=labels.names)


def read_record_image(path: Path, offset: int) -> np.ndarray:
    """Return the image of the record that begins at `offset`.

    Returns:
        (height, width, 3) uint8 BGR.

    Raises:
        ImageError: for a record without an image that can be decoded.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            header = file.read(HEADER_BYTES)
            if len(header) < HEADER_BYTES:
                raise ImageError("the file is cut short")
            data = file.read(min(struct.unpack("<Q", header[:8])[0], path.stat().st_size))
        encoded = _features(data, path.name)[IMAGE].bytes_list.value
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}") from None
    except (DataError, KeyError):
        raise ImageError("the record has changed since it was listed") from None
    if len(encoded) != 1:
        raise ImageError(f"expected one image, got {len(encoded)}")
    return decode_image(encoded[0])


def example(*, image: bytes, emotion: str, label: int, split: str | None, name: str) -> bytes:
    """Return the data of a record, a serialized tf.train.Example.

    Args:
        image: an image file's bytes.
        label: the emotion's position in the label order.
    """
    train = _tensorflow().train

    def text(value: str) -> Any:
        return train.Feature(bytes_list=train.BytesList(value=[value.encode()]))

    features = {
        IMAGE: train.Feature(bytes_list=train.BytesList(value=[image])),
        EMOTION: text(emotion),
        LABEL: train.Feature(int64_list=train.Int64List(value=[label])),
        SPLIT: text(split or ""),
        NAME: text(name),
    }
    data: bytes = train.Example(features=train.Features(feature=features)).SerializeToString(
        deterministic=True
    )
    return data


def write_shard(path: Path, records: Iterable[bytes]) -> int:
    """Write records to a shard, and return their number.

    Raises OSError if it cannot be written.
    """
    tensorflow = _tensorflow()
    written = 0
    try:
        # TensorFlow expects text in UTF-8, which a path need not be.
        with tensorflow.io.TFRecordWriter(os.fsencode(path)) as writer:
            for record in records:
                writer.write(record)
                written += 1
    except tensorflow.errors.OpError as error:
        raise OSError(error.message.splitlines()[0]) from None
    return written


def _shards(path: Path) -> list[Path]:
    if path.is_file() and path.suffix != SUFFIX:
        raise DataError(f"{path}: expected a file name ending in {SUFFIX}; rename it.")
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; expected {SUFFIX} files.")
    shards = sorted(file for file in path.iterdir() if file.suffix == SUFFIX)
    if not shards:
        raise DataError(f"{path}: contains no {SUFFIX} files.")
    there = Counter(
        match.group("stem", "count") for file in shards if (match := SHARD_NAME.match(file.stem))
    )
    for (stem, count), found in there.items():
        if found != int(count):
            raise DataError(
                f"{path}: expected {int(count)} shards of {stem!r}, found {found}; copy the "
                "missing ones as well."
            )
    return shards


def _records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and the data of each record; TensorFlow verifies the checksums."""
    tensorflow = _tensorflow()
    _refuse_cut(path)
    offset = 0
    try:
        for record in tensorflow.data.TFRecordDataset([os.fsencode(path)]):
            data: bytes = record.numpy()
            yield offset, data
            offset += HEADER_BYTES + len(data) + FOOTER_BYTES
    except tensorflow.errors.OpError as error:
        raise DataError(
            f"{path}: damaged, cut short or compressed; expected an uncompressed TFRecord file "
            f"({error.message.splitlines()[0]})."
        ) from None


def _refuse_cut(path: Path) -> None:
    """Raise DataError if a record claims to be longer than its file.

    TensorFlow would allocate whatever memory it claims.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        end = 0
        while end < size:
            file.seek(end)
            end += HEADER_BYTES + int.from_bytes(file.read(8), "little") + FOOTER_BYTES
    if end != size:
        raise DataError(
            f"{path}: damaged, cut short or compressed; expected an uncompressed TFRecord file."
        )


def _features(data: bytes, where: str) -> Any:
    try:
        return _tensorflow().train.Example.FromString(data).features.feature
    except Exception as error:  # protobuf's own, in a module that depends on its version
        if type(error).__name__ != "DecodeError":
            raise
        raise DataError(f"{where}: expected a tf.train.Example, got other data.") from None


def _text(features: Any, key: str, where: str) -> str | None:
    if key not in features:
        return None
    values = features[key].bytes_list.value
    try:
        if len(values) == 1:
            return str(values[0].decode())
    except UnicodeDecodeError:
        pass
    raise DataError(f"{where}: expected one text as the feature {key}.")


@cache
def _tensorflow() -> Any:
    # Only this layout needs it, and it takes seconds to load.
    from emodetect.machine.tensorflow_devices import use_tensorflow

    use_tensorflow()
    import tensorflow

    return tensorflow
