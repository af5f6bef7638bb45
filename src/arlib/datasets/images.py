"""File -> RGB uint8 array: the one decoder of the project.

Pillow rather than `torchvision.io`, whose decoders are deprecated since 0.29, drop transparency,
read no TIFF or BMP, and give an image's size only once it is decoded (compared in
`tests/datasets/test_images.py`). Formats are opened by their classes, not by `Image.open`, which
also tries those that no photograph has, and asks the program's own `Image.MAX_IMAGE_PIXELS`.
"""

import contextlib
import ctypes
import os
import stat
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from arlib.datasets.containers import Parts, Refused, orientation, take_apart

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

_SHARE = {"JPEG2000": 4, "WEBP": 2}
"""Formats whose decoders take more memory than others' -> what `max_pixels` is divided by."""

_MAX_SCANS = 32  # of a progressive JPEG as large as may be; such files have about ten

_BAND = 2**22  # pixels that are converted at once, to spare memory


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

    Transparent pixels are put over white, deep grey is scaled from its range to 0..255, and of an
    animation the first frame is taken. Colour profiles are not applied.

    Args:
        path: a regular file: JPEG, PNG, GIF, WebP, AVIF, TIFF, BMP, PPM, JPEG 2000, or, where the
            extra `arlib[heif]` is installed, HEIF (.heic). Its content decides, not its name.
        max_pixels: the largest width x height; a larger image is refused before it is decoded. Of
            WebP it is half of that, of JPEG 2000 a quarter: their decoders take more memory.
        max_bytes: the largest file. What is added to a file while it is read is not read.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: naming the path and the reason: not there, no image, truncated or damaged, too
            large, a camera's raw file, or of pixels without a set range (floating point, signed,
            32 bit).

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "red.png")
        >>> Image.new("RGB", (60, 40), "red").save(path)
        >>> read_image(path).shape
        (40, 60, 3)
    """
    path = Path(path)
    with _naming(path):
        return _decode(_bytes(path, max_bytes), max_pixels)


def decode_image(content: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode the content of a file as `read_image` does; errors name it."""
    with _naming(name):
        return _decode(content, max_pixels)


@contextlib.contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """Turn whatever goes wrong with an image into an `ImageError` that names it."""
    try:
        yield
    except Refused as error:
        raise ImageError(path, str(error)) from error
    except MemoryError as error:
        raise ImageError(path, "decoding it takes more memory than there is") from error
    except FileNotFoundError as error:
        raise ImageError(path, "no such file") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = "more pixels than PIL.Image.MAX_IMAGE_PIXELS allows in this program"
        raise ImageError(path, reason) from error
    except OSError as error:
        raise ImageError(path, error.strerror or f"damaged ({error})") from error
    except SyntaxError as error:
        raise ImageError(path, f"damaged, or of a kind that is not read ({error})") from error
    except Exception as error:  # a damaged file can raise anything in Pillow's format readers
        raise ImageError(path, f"damaged ({type(error).__name__}: {error})") from error


def _bytes(path: Path, max_bytes: int) -> bytes:
    """Read a regular file as it is now; a pipe or a device is not waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise Refused("not a regular file")
        if status.st_size == 0:
            raise Refused("an empty file")
        if status.st_size > max_bytes:
            raise Refused(f"{status.st_size:,} bytes exceed {max_bytes:,}")
        with open(handle, "rb", closefd=False) as file:
            return file.read(status.st_size)
    finally:
        os.close(handle)


def _decode(content: bytes, max_pixels: int) -> np.ndarray:
    """Decode a file's first image: (H, W, 3) uint8 RGB, upright."""
    form, parts = take_apart(content)
    limit = max_pixels // _SHARE.get(form, 1)
    for width, height in parts.sizes:
        _check_size(width, height, limit)
    with _open_as(form, BytesIO(parts.content)) as image:
        width, height = image.size
        _check_size(width, height, limit)
        if width * height * parts.scans > _MAX_SCANS * limit:
            raise Refused(f"{parts.scans} scans of {width} x {height} pixels")
        if form == "TIFF":
            image.im = Image.new(image.mode, image.size).im  # Pillow asks its own bound, if it does
        with _silent_libtiff() if form == "TIFF" else contextlib.nullcontext():
            image.load()
        exif, xmp = parts.exif, parts.xmp
        if form in ("WEBP", "AVIF"):  # of AVIF, Pillow tells the container's rotation as EXIF
            exif = image.info.get("exif", b"")
        if form == "WEBP":
            xmp = image.info.get("xmp", b"")
        pixels = _rgb_of(image, parts)
    return _upright(pixels, orientation(exif, xmp))


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise Refused(f"{width} x {height} exceeds {max_pixels:,} pixels")


def _open_as(form: str, file: BytesIO) -> ImageFile.ImageFile:
    """Open a file by the class of its format: the header is read, no pixel decoded."""
    if form == "HEIF":
        try:
            from pillow_heif import HeifImageFile
        except ImportError as error:
            raise Refused(
                "HEIF (.heic): pip install 'arlib[heif]' to have it read, or save it as JPEG"
            ) from error
        return HeifImageFile(file)
    from PIL import (
        AvifImagePlugin,
        BmpImagePlugin,
        GifImagePlugin,
        Jpeg2KImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    classes: dict[str, Callable[..., ImageFile.ImageFile]] = {
        "JPEG": JpegImagePlugin.JpegImageFile,
        "PNG": PngImagePlugin.PngImageFile,
        "GIF": GifImagePlugin.GifImageFile,
        "WEBP": WebPImagePlugin.WebPImageFile,
        "AVIF": AvifImagePlugin.AvifImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "PPM": PpmImagePlugin.PpmImageFile,
        "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    }
    return classes[form](file)


def _rgb_of(image: Image.Image, parts: Parts) -> np.ndarray:
    """Convert a decoded image: (H, W, 3) uint8 RGB."""
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise Refused(f"32-bit pixels (Pillow's mode {image.mode}) have no set range")
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        band = image if rows >= image.height else image.crop((0, top, image.width, bottom))
        rgb[top:bottom] = _convert(band, parts)
    return rgb


def _convert(image: Image.Image, parts: Parts) -> np.ndarray:
    """Convert rows of an image: (h, W, 3) uint8, or (h, W, 1) of deep grey."""
    if image.mode.startswith("I"):
        pixels = np.asarray(image)[..., None]
        colours = np.rint(pixels.astype(np.float32) * (255 / parts.levels)).astype(np.uint8)
        colours = 255 - colours if parts.negative else colours
    else:
        if image.mode == "La":  # converts to nothing else
            image = image.convert("LA")
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            ground = Image.new("RGBA", layer.size, "white")
            image = Image.alpha_composite(ground, layer)
        pixels = colours = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    if parts.transparent:
        clear = (pixels == np.array(parts.transparent)).all(axis=-1, keepdims=True)
        colours = np.where(clear, np.uint8(255), colours)
    return colours


def _upright(pixels: np.ndarray, turned: int) -> np.ndarray:
    """Turn (H, W, 3) pixels as an EXIF orientation, 1 to 8, says; any other leaves them."""
    if turned in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if turned in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if turned in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


_lock = threading.Lock()
_decoding, _handler = 0, None


@contextlib.contextmanager
def _silent_libtiff() -> Iterator[None]:
    """Keep libtiff from writing to stderr: Pillow reports its errors, this only their words.

    Its handler is the process's: taken off when a first thread begins, back when the last is done.
    """
    global _decoding, _handler
    with _lock:
        if not _decoding:
            _handler = _set_handler(None)
        _decoding += 1
    try:
        yield
    finally:
        with _lock:
            _decoding -= 1
            if not _decoding:
                _set_handler(_handler)


def _set_handler(handler: Any) -> Any:
    """Set libtiff's handler of errors, and return the last; None if it cannot be reached."""
    from PIL import _imaging

    with contextlib.suppress(AttributeError, OSError):
        function = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        function.restype, function.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        return function(handler)
    return None
