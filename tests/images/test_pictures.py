import os
from contextlib import suppress
from dataclasses import replace

import pytest
import torch
from PIL import Image

from mimic.images.decode import BrokenImageError
from mimic.images.pictures import Pictures, decoders


def levels(count: int, broken: tuple[int, ...] = ()) -> Pictures:
    """One-pixel pictures that show their index."""

    def picture(index: int) -> Image.Image:
        if index in broken:
            raise BrokenImageError(f"torn {index}")
        return Image.new("RGB", (1, 1), (index % 256, index // 256, 0))

    return Pictures(count=count, picture=picture, title=lambda index: f"no {index}", name="test")


def test_every_readable_picture_is_used_once():
    seen: dict[int, tuple] = {}
    levels(300, broken=(7, 299)).decode_all(
        lambda index, picture: seen.setdefault(index, picture.getpixel((0, 0)))
    )
    assert seen == {i: (i % 256, i // 256, 0) for i in range(300) if i not in (7, 299)}


def test_broken_pictures_come_with_their_reasons_in_order():
    broken = levels(400, broken=(399, 2, 130)).decode_all(lambda *_: None)
    assert list(broken.items()) == [(2, "torn 2"), (130, "torn 130"), (399, "torn 399")]


def test_errors_of_other_kinds_are_not_swallowed():
    def fail(index: int, _picture: Image.Image) -> None:
        raise ZeroDivisionError(index)

    with pytest.raises(ZeroDivisionError):
        levels(3).decode_all(fail)


def test_subset_keeps_titles_and_labels_beside_their_pictures():
    chosen = replace(levels(9), labels=torch.arange(9) * 10).subset([5, 2])
    found = [(chosen.picture(i).getpixel((0, 0))[0], chosen.title(i)) for i in range(2)]
    assert (found, chosen.labels.tolist()) == ([(5, "no 5"), (2, "no 2")], [50, 20])


def test_subset_is_not_decided_by_the_files_alone():
    assert replace(levels(2), files=list).subset([1]).files is None


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_forked_process_has_threads_of_its_own():
    decoders().submit(int).result()
    child = os.fork()
    if child == 0:
        code = 1
        with suppress(Exception):
            code = decoders().submit(lambda: 7).result(timeout=20)
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
