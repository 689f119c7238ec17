"""Of a set that is far away only what is asked for is read."""

from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mimic.errors import InputError
from mimic.images.assemble import assemble
from mimic.images.streaming import streamed_pictures

FILES = [Path(f"train-{index:05d}-of-00004.parquet") for index in range(4)]
GROUP, GROUPS = 8, 5
NAMES = b'{"info": {"features": {"label": {"names": ["cat", "dog"]}}}}'


def picture(level: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 8), (level, level, level)).save(buffer, "PNG")
    return buffer.getvalue() + bytes(8000)  # so that the ends of a file are a small part of it


class Remote:
    """Parquet files that count what is read of them; image i of file f is i + 40 f grey."""

    def __init__(self, rows: int = GROUP * GROUPS, *, label_first: bool = False) -> None:
        self.read: Counter[str] = Counter()
        self.contents: dict[str, bytes] = {}
        for place, file in enumerate(FILES):
            levels = [row + 40 * place for row in range(rows)]
            table = pa.table(
                {
                    "image": [{"bytes": picture(level), "path": None} for level in levels],
                    "label": [level % 2 for level in levels],
                    "story": ["?" * 10_000] * rows,
                }
            ).replace_schema_metadata({b"huggingface": NAMES})
            if label_first:
                table = table.select(["label", "image", "story"])
            buffer = BytesIO()
            pq.write_table(table, buffer, row_group_size=GROUP, compression="none")
            self.contents[file.name] = buffer.getvalue()

    def open(self, file: Path) -> BinaryIO:
        remote = self

        class Counting(BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                found = super().read(size)
                remote.read[file.name] += len(found)
                return found

        return Counting(self.contents[file.name])


def stream(remote: Remote, count: int, *, limit: int = 1 << 30):
    pictures = streamed_pictures(
        FILES, remote.open, count, name="far", labels=True, memory_limit=limit
    )
    return assemble(pictures, size=None, max_broken_share=0.1, memory_limit=1 << 30)


def levels(images) -> list[int]:
    return images.tensor()[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("limit", [1 << 30, 0])
def test_as_many_images_come_as_were_asked_for(limit):
    images = stream(Remote(), 50, limit=limit)
    assert len(images) == 50
    assert len(set(levels(images))) == 50


@pytest.mark.parametrize("label_first", [False, True])
def test_images_keep_their_labels(label_first):
    images = stream(Remote(label_first=label_first), 50)
    assert images.labels.tolist() == [level % 2 for level in levels(images)]
    assert images.class_names == ("cat", "dog")


def test_they_come_from_all_files():
    assert Counter(level // 40 for level in levels(stream(Remote(), 4 * GROUP))) == dict.fromkeys(
        range(4), GROUP
    )


def test_they_are_the_same_ones_every_time():
    assert levels(stream(Remote(), 50)) == levels(stream(Remote(), 50))


def test_hardly_more_is_read_than_is_needed():
    remote = Remote()
    stream(remote, GROUP)
    whole = sum(map(len, remote.contents.values()))
    assert sum(remote.read.values()) < 0.1 * whole
    assert len(remote.read) == 1


def test_a_smaller_set_gives_all_it_has():
    assert sorted(levels(stream(Remote(), 1000))) == sorted(
        row + 40 * place for place in range(4) for row in range(GROUP * GROUPS)
    )


def test_what_is_not_parquet_is_named():
    remote = Remote()
    remote.contents = dict.fromkeys(remote.contents, b"not a table")
    with pytest.raises(InputError, match=r"cannot read 'train-0000\d-of-00004.parquet'"):
        stream(remote, 5)


def test_files_without_rows_are_refused():
    with pytest.raises(InputError, match="hold no rows"):
        stream(Remote(rows=0), 5)
