"""File -> RGB uint8 array: the one decoder of the project.

Pillow rather than `torchvision.io`, whose decoders are deprecated since 0.29, drop transparency,
read no TIFF or BMP, and give an image's size only once it is decoded (compared in
`tests/datasets/test_images.py`).
"""

import os
import stat
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 80_000_000
"""The default bound of an image's size: 240 MB as an array."""

MAX_BYTES = 2**28
"""The default bound of a file's size: what `MAX_PIXELS` take without any compression, and more."""

IMAGE_ENDINGS = {
    f".{ending}": form
    for form, endings in {
        "JPEG": "jpg jpeg jpe jfif mpo jpg_large",
        "PNG": "png apng png_large",
        "GIF": "gif",
        "WEBP": "webp",
        "AVIF": "avif avifs",
        "HEIF": "heic heif hif",
        "TIFF": "tif tiff",
        "BMP": "bmp",
        "PPM": "ppm pgm pbm pnm",
        "JPEG2000": "jp2 j2k j2c jpc jpf jpx",
    }.items()
    for ending in endings.split()
}
"""What the name of an image may end in, in lower case -> its format, as Pillow calls it."""

Image.MAX_IMAGE_PIXELS = None  # Pillow's own bound, which would warn first; `max_pixels` is ours


class ImageError(ValueError):
    """A file that is no readable image.

    Attributes:
        path: the file.
        reason: why it cannot be read.
    """

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason


def read_image(
    path: str | Path, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> np.ndarray:
    """Read an image as people see it: upright by its EXIF tag, in RGB.

    Transparent pixels are put over white, 16-bit grey is scaled by 255 / 65535, and of an
    animation the first frame is taken. Colour profiles are not applied.

    Args:
        path: a regular file in any format that Pillow reads.
        max_pixels: the largest width x height; a larger image is refused from its header.
        max_bytes: the largest file. What is added to a file while it is read is not read.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: naming the path and the reason: not there, no image, truncated or damaged, too
            large, or of a pixel type without a set range (floating point, 32 bit).

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "red.png")
        >>> Image.new("RGB", (60, 40), "red").save(path)
        >>> read_image(path).shape
        (40, 60, 3)
    """
    path = Path(path)
    try:
        with Image.open(BytesIO(_bytes(path, max_bytes))) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise ImageError(path, f"{width} x {height} exceeds {max_pixels:,} pixels")
            return rgb_of(image, path)
    except (ImageError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise ImageError(path, "no such file") from error
    except UnidentifiedImageError as error:
        raise ImageError(path, "no image, or of an unknown format") from error
    except OSError as error:
        raise ImageError(path, error.strerror or str(error)) from error
    except Exception as error:  # a damaged file can raise anything in Pillow's format readers
        raise ImageError(path, f"damaged ({type(error).__name__}: {error})") from error


def _bytes(path: Path, max_bytes: int) -> bytes:
    """Read a regular file as it is now; a pipe or a device is not waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(path, "not a regular file")
        if status.st_size == 0:
            raise ImageError(path, "an empty file")
        if status.st_size > max_bytes:
            raise ImageError(path, f"{status.st_size:,} bytes exceed {max_bytes:,}")
        with open(handle, "rb", closefd=False) as file:
            return file.read(status.st_size)
    finally:
        os.close(handle)


def rgb_of(image: Image.Image, path: Path) -> np.ndarray:
    """Decode an image that Pillow has opened, as `read_image` does: (H, W, 3) uint8, upright."""
    image.load()
    deep = image.mode == "I" and image.format in ("PNG", "PPM")  # 0..65535, widened
    image = ImageOps.exif_transpose(image)
    if deep or image.mode.startswith("I;16"):
        grey = np.rint(np.asarray(image).astype(np.float32) * (255 / 65535)).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.mode in ("I", "F"):
        raise ImageError(path, f"32-bit pixels (Pillow's mode {image.mode}) have no set range")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        image = Image.alpha_composite(ground, layer)
    return np.array(image.convert("RGB"))
