import struct
import warnings
import zlib
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from mimic.images import decode as decoding
from mimic.images.decode import BrokenImageError, decode, fit


def compressed(picture: Image.Image, kind: str = "PNG", **settings: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **settings)
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(decode(data))


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["BMP", "PNG", "PPM", "TIFF"])
def test_lossless_rgb_comes_back_bit_for_bit(kind, rgb):
    assert np.array_equal(pixels(compressed(Image.fromarray(rgb), kind)), rgb)


def test_lossless_webp_comes_back_bit_for_bit(rgb):
    assert np.array_equal(pixels(compressed(Image.fromarray(rgb), "WEBP", lossless=True)), rgb)


def test_grey_is_repeated_in_three_channels(rgb):
    grey = rgb[..., 0]
    assert np.array_equal(pixels(compressed(Image.fromarray(grey))), np.stack([grey] * 3, -1))


def test_black_and_white_becomes_0_and_255():
    bits = np.array([[0, 255], [255, 0]], dtype=np.uint8)
    assert np.array_equal(pixels(compressed(Image.fromarray(bits).convert("1")))[..., 1], bits)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_to_eight_and_rounded(kind):
    deep = np.array([[0, 128, 129, 257], [32_768, 40_000, 65_406, 65_535]], dtype=np.uint16)
    expected = np.rint(deep.astype(np.float64) / 65_535 * 255).astype(np.uint8)
    assert np.array_equal(pixels(compressed(Image.fromarray(deep), kind))[..., 2], expected)


def test_transparent_grey_of_sixteen_bits_becomes_white():
    deep = np.array([[39_999, 40_000]], dtype=np.uint16)
    data = compressed(Image.fromarray(deep), transparency=40_000)
    assert pixels(data)[..., 0].tolist() == [[156, 255]]


def deep_png(values: np.ndarray, colour_type: int) -> bytes:
    """A PNG file of 16 bits per channel, which Pillow cannot write in colour."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
        for kind, part in parts.items()
    )


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_per_colour_keep_the_upper_eight(colour_type, channels):
    levels = np.arange(0, 65_536, 31).reshape(-1, 5)
    deep = np.repeat(levels[..., None], channels, axis=2)
    if channels in (2, 4):
        deep[..., -1] = 65_535
    assert np.array_equal(pixels(deep_png(deep, colour_type))[..., 0], levels >> 8)


def test_transparent_parts_become_white(rgb):
    layer = np.dstack([rgb, np.zeros(rgb.shape[:2], np.uint8)])
    layer[0, 0, 3] = 255
    expected = np.full_like(rgb, 255)
    expected[0, 0] = rgb[0, 0]
    assert np.array_equal(pixels(compressed(Image.fromarray(layer))), expected)


def test_half_transparent_black_becomes_middle_grey():
    layer = np.zeros((2, 2, 4), np.uint8)
    layer[..., 3] = 128
    assert np.all(pixels(compressed(Image.fromarray(layer))) == 127)


def test_palette_is_looked_up():
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((1, 0), 1)
    assert pixels(compressed(picture)).tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_transparent_palette_entry_becomes_white():
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((1, 0), 1)
    data = compressed(picture, transparency=0)
    assert pixels(data).tolist() == [[[255, 255, 255], [200, 100, 50]]]


def test_half_transparent_palette_entry_is_mixed_with_white():
    picture = Image.new("P", (1, 1))
    picture.putpalette([0, 0, 0])
    assert pixels(compressed(picture, transparency=bytes([128]))).tolist() == [[[127, 127, 127]]]


@pytest.mark.parametrize(("mode", "transparent"), [("L", 7), ("RGB", (7, 7, 7)), ("1", 0)])
def test_colour_that_a_file_declares_transparent_becomes_white(mode, transparent):
    picture = Image.new(mode, (2, 1), 0 if mode == "1" else transparent)
    assert np.all(pixels(compressed(picture, transparency=transparent)) == 255)


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
@pytest.mark.parametrize(
    ("ink", "colour"),
    [
        ((255, 0, 0, 0), [0, 255, 255]),
        ((0, 255, 0, 0), [255, 0, 255]),
        ((0, 0, 0, 255), [0, 0, 0]),
        ((0, 0, 0, 0), [255, 255, 255]),
    ],
)
def test_cmyk_becomes_rgb_and_not_its_negative(kind, ink, colour):
    picture = Image.new("CMYK", (8, 8), ink)
    assert pixels(compressed(picture, kind))[0, 0].tolist() == colour


def test_exif_orientation_is_applied(rgb):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    data = compressed(Image.fromarray(rgb), exif=exif)
    assert np.array_equal(pixels(data), np.rot90(rgb, -1))


@pytest.mark.parametrize("orientation", range(2, 9))
def test_every_exif_orientation_is_undone(orientation):
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:4, :8] = 255
    stored = {
        2: np.fliplr(upright),
        3: np.rot90(upright, 2),
        4: np.flipud(upright),
        5: np.transpose(upright, (1, 0, 2)),
        6: np.rot90(upright),
        7: np.rot90(np.transpose(upright, (1, 0, 2)), 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = compressed(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    assert np.array_equal(pixels(data), upright)


@pytest.mark.parametrize(
    ("kind", "settings"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})]
)
def test_first_frame_of_an_animation_is_taken(kind, settings):
    frames = [Image.new("RGB", (3, 3), (level, 9, 9)) for level in (7, 90)]
    data = compressed(frames[0], kind, save_all=True, append_images=frames[1:], **settings)
    assert pixels(data)[1, 1].tolist() == [7, 9, 9]


@pytest.mark.parametrize("data", [b"", b"hello, I am a text file", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_other_files_are_not_images(data):
    with pytest.raises(BrokenImageError, match="not an image"):
        decode(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_truncated_files_are_refused(kind):
    whole = compressed(Image.effect_noise((64, 64), 90).convert("RGB"), kind)
    with pytest.raises(BrokenImageError):
        decode(whole[: len(whole) // 2])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF"])
def test_flipped_bytes_raise_nothing_but_broken_image(kind):
    whole = compressed(Image.effect_noise((16, 16), 90).convert("RGB"), kind)
    generator = np.random.default_rng(0)
    for _ in range(100):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[generator.integers(0, len(damaged), 3)] = generator.integers(0, 256, 3)
        with suppress(BrokenImageError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decode(damaged.tobytes())


def test_decompression_bombs_are_refused_before_they_unpack(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 99)
    with pytest.raises(BrokenImageError, match="10x10 is more than 99 pixels"):
        decode(compressed(Image.new("RGB", (10, 10))))


def test_bombs_that_the_decoder_itself_refuses_are_reported_too(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(BrokenImageError, match="more than"):
        decode(compressed(Image.new("RGB", (10, 10))))


@pytest.mark.parametrize("kind", [np.float32, np.int32])
@pytest.mark.parametrize("level", [1, 252, 40_000])
def test_pixels_whose_range_is_unknown_are_refused(kind, level):
    with pytest.raises(BrokenImageError, match="range is unknown"):
        decode(compressed(Image.fromarray(np.full((2, 2), level, kind)), "TIFF"))


def test_fit_leaves_the_right_size_untouched(rgb):
    assert np.array_equal(fit(Image.fromarray(rgb), (5, 7)), rgb.transpose(2, 0, 1))


def test_fit_cuts_the_centre_out_and_keeps_the_aspect():
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 255
    assert np.all(fit(Image.fromarray(wide), (4, 4)) == 255)


def test_fit_keeps_a_constant_picture_constant():
    assert np.all(fit(Image.new("RGB", (13, 9), (77, 77, 77)), (32, 20)) == 77)


def test_fit_shrinks_without_aliasing():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.all(np.abs(fit(Image.fromarray(stripes), (8, 8)).astype(int) - 127) <= 8)
