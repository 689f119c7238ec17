"""One spelling for every place that images come from: a folder, a file, or a name."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from mimic.errors import InputError
from mimic.files import expanded
from mimic.images.archive import ARCHIVE_SUFFIXES
from mimic.images.archives import archive_pictures
from mimic.images.arrays import npz_pictures
from mimic.images.assemble import MAX_BROKEN_SHARE, MEMORY_LIMIT, assemble
from mimic.images.decode import Size
from mimic.images.folder import folder_pictures, is_image, list_files
from mimic.images.hub import (
    HubName,
    download_dataset,
    is_hub_name,
    list_dataset,
    parse_hub_name,
    reaching_the_hub,
)
from mimic.images.imageset import ImageSet
from mimic.images.listed import LIST_SUFFIXES, listed_pictures
from mimic.images.named import DATASETS, named_pictures
from mimic.images.parquet import parquet_pictures
from mimic.images.pictures import Pictures
from mimic.images.splits import split_files
from mimic.images.streaming import streamed_pictures

_COMPRESSED = frozenset({".bz2", ".gz", ".tbz2", ".tgz", ".txz", ".tzst", ".xz", ".zst"})


def open_images(
    source: str | Path,
    *,
    size: int | Size | None = None,
    labels: bool = False,
    max_broken_share: float = MAX_BROKEN_SHARE,
    memory_limit: int = MEMORY_LIMIT,
) -> ImageSet:
    """Open images, from wherever they are, as 8-bit RGB of one size.

    Every image is decoded once to find the broken ones, which are left out and named in
    `ImageSet.skipped`. Images of another size are scaled to cover it, keeping their aspect, and
    the centre is cut out. Transparency is laid over white.

    Args:
        source: a folder of images (sub-folders are classes if labels are asked for; `DIR:SPLIT` is
            the sub-folder SPLIT); a `.zip` or plain `.tar` archive, or a folder of such shards; a
            `.txt` or `.csv` list of files; an `.npz` with `x` (n, height, width, 3) uint8 and
            perhaps `y`; a Parquet file, or a folder of them (`DIR:SPLIT` picks by file name), in
            the Hugging Face layout; `hf:REPO` or `hf:REPO:SPLIT`, such a set on the hub, and
            `hf:REPO:SPLIT@COUNT`, so many images of it without a download; or a name in
            `DATASETS`, as `digits` or `digits:train`. A folder that has such a name is written
            `./digits`, or as a Path.
        size: height and width in pixels, or one number for both; None is the most common size.
        labels: read the labels as well.
        max_broken_share: the largest share of broken images that is skipped, in [0, 1].
        memory_limit: bytes of pixels that are held in memory; a larger set is streamed.

    Raises:
        InputError: the source is not there or not understood, holds no readable image or too many
            broken ones, or has no labels although they are asked for.
        RunError: a download failed, or the disk is full.
    """
    return assemble(
        find_pictures(source, labels=labels, memory_limit=memory_limit),
        size=_checked_size(size),
        max_broken_share=max_broken_share,
        memory_limit=memory_limit,
    )


def find_pictures(
    source: str | Path, *, labels: bool = False, memory_limit: int = MEMORY_LIMIT
) -> Pictures:
    """What is in a source, before anything is decoded; see `open_images`."""
    text = str(source)
    if isinstance(source, str):
        name, _, split = text.partition(":")
        if is_hub_name(text):
            return _on_hub(text, labels=labels, memory_limit=memory_limit)
        if name in DATASETS:
            return named_pictures(name, split or None, labels=labels)
    path, split_or_none = _locate(text)
    if path.is_dir():
        return _in_folder(path, split_or_none, labels=labels, memory_limit=memory_limit)
    _check_files([path])
    suffix = path.suffix.lower()
    if suffix in ARCHIVE_SUFFIXES:
        return archive_pictures([path], name=text, folder=split_or_none, labels=labels)
    if split_or_none is not None:
        raise InputError(f"'{path}' is a file and has no split '{split_or_none}'; leave it out")
    if suffix == ".npz":
        return npz_pictures(path, name=text, labels=labels)
    if suffix == ".parquet":
        return parquet_pictures([path], name=text, labels=labels, memory_limit=memory_limit)
    if suffix in LIST_SUFFIXES:
        return listed_pictures(path, name=text, labels=labels)
    raise InputError(f"'{path}' is {_advice(suffix)}")


def _on_hub(text: str, *, labels: bool, memory_limit: int) -> Pictures:
    named = parse_hub_name(text)
    if named.count is not None:
        remote, open_file = list_dataset(named)
        chosen = _split_on_hub(named, remote)
        with reaching_the_hub(text):
            return streamed_pictures(
                chosen,
                open_file,
                named.count,
                name=text,
                labels=labels,
                memory_limit=memory_limit,
            )
    folder = download_dataset(named)
    chosen = _split_on_hub(named, _ending_in({".parquet"}, list_files(folder), folder))
    return parquet_pictures(chosen, name=text, labels=labels, memory_limit=memory_limit)


def _split_on_hub(named: HubName, files: Sequence[Path]) -> list[Path]:
    if not files:
        raise InputError(
            f"'{named.text}' holds no Parquet files"
            + (f" of a split '{named.split}'" if named.split else "")
            + "; download the data set and give its folder"
        )
    return split_files(files, named.split, name=f"hf:{named.repository}")


def _advice(suffix: str) -> str:
    if suffix in _COMPRESSED:
        return (
            "compressed as a whole, so that no image in it can be read without all before it; "
            "uncompress it to a plain .tar first (images hardly get larger by that)"
        )
    return "neither a folder nor an .npz, .parquet, .zip, .tar, .txt or .csv file"


def _in_folder(path: Path, split: str | None, *, labels: bool, memory_limit: int) -> Pictures:
    name = str(path) if split is None else f"{path}:{split}"
    files = list_files(path)
    if parquet := _ending_in({".parquet"}, files, path):
        chosen = split_files(parquet, split, name=str(path))
        _check_files(chosen)
        return parquet_pictures(chosen, name=name, labels=labels, memory_limit=memory_limit)
    if not any(map(is_image, files)) and (shards := _ending_in(ARCHIVE_SUFFIXES, files, path)):
        chosen = split_files(shards, split, name=str(path))
        _check_files(chosen)
        return archive_pictures(chosen, name=name, labels=labels)
    if split is not None:
        path = _split_folder(path, split)
        files = list_files(path)
    images = [file for file in files if is_image(file)]
    return folder_pictures(path, images, name=name, labels=labels)


def _check_files(paths: Iterable[Path]) -> None:
    """Refuse a pipe or a device: it would keep its reader waiting, or never end."""
    for path in paths:
        if not path.is_file():
            raise InputError(f"'{path}' is no ordinary file; copy its content into one")


def _ending_in(suffixes: Collection[str], files: Sequence[str], folder: Path) -> list[Path]:
    return [folder / file for file in files if file.lower().endswith(tuple(suffixes))]


def _split_folder(path: Path, split: str) -> Path:
    folders = sorted(child.name for child in path.iterdir() if child.is_dir())
    if split not in folders:
        raise InputError(
            f"'{path}' has no split '{split}': it holds no Parquet files, and its sub-folders are "
            + (", ".join(folders) or "none")
        )
    return path / split


def _locate(text: str) -> tuple[Path, str | None]:
    if not text:
        raise InputError("the source of images is empty; give a folder, a file or a name")
    path = expanded(text)
    if _exists(path):
        return path, None
    folder, colon, split = text.rpartition(":")
    if colon and folder and _exists(path := expanded(folder)):
        if split:
            return path, split
        raise InputError(f"'{text}' names no split after the colon; write one, or leave it out")
    raise InputError(
        f"'{text}' is neither a file nor a folder nor one of the names {', '.join(DATASETS)}"
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def _checked_size(size: int | Size | None) -> Size | None:
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise InputError(f"an image size must be at least 1 pixel, not {height}x{width}")
    return height, width
