import io
import tarfile
from pathlib import Path

import pytest

from mimic.errors import InputError
from mimic.images.tar import tar_members

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
LONG = "/".join(["folder" * 8] * 4) + "/file.png"


def write(path: Path, files: dict[str, bytes], kind: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=kind) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def contents(path: Path) -> dict[str, bytes]:
    data = path.read_bytes()
    return {one.name: data[one.offset : one.offset + one.size] for one in tar_members(path)}


def forge(path: Path, start: int, field: bytes) -> None:
    """Write into the first header and make its sum right again."""
    data = bytearray(path.read_bytes())
    data[start : start + len(field)] = field
    total = sum(data[:148]) + 8 * 32 + sum(data[156:512])
    data[148:156] = b"%06o\0 " % total
    path.write_bytes(data)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", ["a.png", "a/b.png", LONG])
def test_every_format_gives_the_files_that_were_written(tmp_path, kind, name):
    files = {name: b"first", "empty": b"", "blocks": b"x" * 1024, "last.png": bytes(range(256))}
    assert contents(write(tmp_path / "a.tar", files, FORMATS[kind])) == files


@pytest.mark.parametrize("kind", ["gnu", "pax"])
def test_names_in_other_scripts_are_read(tmp_path, kind):
    files = {"猫/ä.png": b"1", "犬" * 60: b"2"}
    assert contents(write(tmp_path / "a.tar", files, FORMATS[kind])) == files


def test_only_ordinary_files_are_members(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"a{kind!r}.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        archive.addfile(tarfile.TarInfo("file.png"))
    assert list(contents(tmp_path / "a.tar")) == ["file.png"]


def test_size_stated_for_a_link_is_not_passed_over(tmp_path):
    path = write(tmp_path / "a.tar", {"link": b"", "file": b"content"})
    forge(path, 156, b"2")
    forge(path, 124, b"%011o\0" % 4096)
    assert contents(path) == {"file": b"content"}


def test_size_beyond_eight_gigabytes_is_read_as_a_binary_number(tmp_path):
    path = write(tmp_path / "a.tar", {"file": b"content"})
    forge(path, 124, b"\x80" + (7).to_bytes(11, "big"))
    assert contents(path) == {"file": b"content"}


def test_archives_without_an_end_mark_are_whole(tmp_path):
    path = write(tmp_path / "a.tar", {"a": b"1" * 512, "b": b"2" * 512})
    path.write_bytes(path.read_bytes()[:2048])
    assert list(contents(path)) == ["a", "b"]


@pytest.mark.parametrize("length", [1900, 1536, 1030])
def test_archives_that_end_too_early_are_refused_and_the_place_is_named(tmp_path, length):
    path = write(tmp_path / "a.tar", {"a": b"1" * 512, "b": b"2" * 512})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r"after 'a' \(it ends too early\)"):
        contents(path)


def test_damage_in_the_middle_is_not_taken_for_the_end(tmp_path):
    path = write(tmp_path / "a.tar", {"a": b"1", "b": b"2"})
    data = bytearray(path.read_bytes())
    data[1024] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged after 'a'"):
        contents(path)


@pytest.mark.parametrize(
    "content", [b"hello", b"PK\x03\x04" + bytes(600), b"x" * 2000], ids=["short", "zip", "long"]
)
def test_other_files_are_no_archives(tmp_path, content):
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(InputError, match="is no tar archive"):
        contents(tmp_path / "a.tar")


@pytest.mark.parametrize(
    "size",
    [b"-0000000010\0", b"\xff" * 11 + b"\xf0", b"\x80" + b"\xff" * 11, b"7" * 12],
    ids=["signed", "negative", "huge", "octal"],
)
def test_sizes_that_cannot_be_are_refused(tmp_path, size):
    path = write(tmp_path / "a.tar", {"a": b"1"})
    forge(path, 124, size)
    with pytest.raises(InputError, match="damaged after its beginning"):
        contents(path)


def test_headers_of_many_bytes_are_not_read_into_memory(tmp_path):
    path = write(tmp_path / "a.tar", {"a": bytes(3 << 20)})
    forge(path, 156, b"x")
    with pytest.raises(InputError, match="a header of 3145728 bytes"):
        contents(path)


@pytest.mark.parametrize(
    "record", [b"99 path=b\n", b"-3 path=b\n", b"1 path=b\n", b"path=b\n", b"9 size=-9", b"\xff"]
)
def test_extended_headers_that_do_not_add_up_are_refused(tmp_path, record):
    path = write(tmp_path / "a.tar", {"a": record, "b": b"2"})
    forge(path, 156, b"x")
    with pytest.raises(InputError, match="damaged after"):
        contents(path)


def test_extended_header_speaks_of_the_next_file_alone(tmp_path):
    files = {LONG: b"1", "short": b"2"}
    assert contents(write(tmp_path / "a.tar", files)) == files


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        list(tar_members(tmp_path / "a.tar"))
