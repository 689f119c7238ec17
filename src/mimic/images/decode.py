"""One damaged, grey, transparent, 16-bit or rotated picture at a time becomes clean 8-bit RGB."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

# Only formats whose decoders are plain code: EPS, for one, would start an interpreter.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MAX_PIXELS = 1 << 26
"""Pictures with more pixels than this (67 million) are refused: decompression bombs."""
MAX_BYTES = 1 << 28
"""Compressed pictures of more bytes than this (268 million) are not read."""

Size = tuple[int, int]


class BrokenImageError(Exception):
    """A picture that cannot be used; the message is the reason, without the picture's name."""


def decode(data: bytes) -> Image.Image:
    """Decode one compressed picture to 8-bit RGB, upright.

    Grey and palette pictures, CMYK and 16-bit ones are converted; transparency is laid over
    white; the EXIF orientation is applied; of an animation the first frame is taken.

    Args:
        data: the bytes of a file in one of `FORMATS`.

    Raises:
        BrokenImageError: the bytes are no picture, are damaged, or would unpack to more than
            `MAX_PIXELS`.
    """
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as picture:
            _refuse_bomb(picture)
            ImageOps.exif_transpose(picture, in_place=True)
            return to_rgb(picture)
    except BrokenImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrokenImageError(f"more than {MAX_PIXELS} pixels") from error
    except Image.UnidentifiedImageError as error:
        raise BrokenImageError(f"not an image ({', '.join(FORMATS)})") from error
    # Decoders meet damaged bytes with errors of nearly every built-in type.
    except Exception as error:
        raise BrokenImageError(f"damaged: {error or type(error).__name__}") from error


def to_rgb(picture: Image.Image) -> Image.Image:
    """Convert a picture of any mode to RGB; transparent parts become white.

    Raises:
        BrokenImageError: the pixels are floats or 32-bit integers, whose range nobody knows.
    """
    if picture.mode == "RGB" and "transparency" not in picture.info:
        picture.load()
        return picture
    # PNG and PPM put 16 bits into this mode; in a TIFF they are 32, whatever values they have.
    if picture.mode == "I" and picture.format == "TIFF":
        raise BrokenImageError("32-bit pixels, whose range is unknown")
    if picture.mode.startswith("I"):
        return _sixteen_bit_to_rgb(picture)
    if picture.mode == "F":
        raise BrokenImageError("floating-point pixels, whose range is unknown")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return picture.convert("RGB")


def fit(
    picture: Image.Image, size: Size, *, resampling: Image.Resampling = Image.Resampling.BICUBIC
) -> NDArray[np.uint8]:
    """Scale a picture to cover `size`, keeping its aspect, and cut the centre out.

    Args:
        picture: RGB, any size.
        size: height and width in pixels.
        resampling: the filter; it is widened when shrinking, so there is no aliasing.

    Returns:
        uint8, shape (3, height, width); untouched pixels if the size is right already.
    """
    height, width = size
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), method=resampling)
    return np.asarray(picture).transpose(2, 0, 1)


def _refuse_bomb(picture: Image.Image) -> None:
    if picture.width * picture.height > MAX_PIXELS:
        raise BrokenImageError(f"{picture.width}x{picture.height} is more than {MAX_PIXELS} pixels")


def _sixteen_bit_to_rgb(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture).astype(np.int64)
    if values.min() < 0 or values.max() > 65_535:
        raise BrokenImageError("32-bit pixels, whose range is unknown")
    # 65,535 = 257 * 255: the full range maps onto the full range, rounded.
    grey = ((values + 128) // 257).astype(np.uint8)
    if "transparency" in picture.info:
        grey[values == picture.info["transparency"]] = 255
    return Image.fromarray(grey).convert("RGB")
