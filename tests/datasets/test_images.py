"""The decoder: files of cameras and broken downloads become upright RGB, or an error."""

import io
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from arlib.datasets.images import ImageError, read_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 20, 3), dtype=np.uint8)
SMOOTH = np.mgrid[0:120, 0:200].sum(0)[..., None].repeat(3, -1).astype(np.uint8) // 2


def encoded(pixels, fmt, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, fmt, **options)
    return buffer.getvalue()


@pytest.fixture
def write(tmp_path):
    def write(content, name="image"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def reason(path, **settings):
    with pytest.raises(ImageError) as caught:
        read_image(path, **settings)
    assert str(caught.value) == f"{path}: {caught.value.reason}"
    assert caught.value.path == path
    return caught.value.reason


@pytest.mark.parametrize("fmt", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_come_back_equal(write, fmt):
    read = read_image(write(encoded(PIXELS, fmt)))
    assert read.dtype == np.uint8
    assert read.flags.writeable
    np.testing.assert_array_equal(read, PIXELS)


@pytest.mark.parametrize(("fmt", "options"), [("JPEG", {"quality": 95}), ("WEBP", {})])
def test_lossy_formats_come_back_near(write, fmt, options):
    read = read_image(write(encoded(SMOOTH, fmt, **options))).astype(int)
    assert np.abs(read - SMOOTH).mean() < 3


def test_the_name_does_not_decide_the_format(write):
    np.testing.assert_array_equal(read_image(write(encoded(PIXELS, "PNG"), "x.jpg")), PIXELS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(write, orientation):
    # how a camera held in each of the eight ways would have stored the upright image
    stored = {
        1: PIXELS,
        2: PIXELS[:, ::-1],
        3: PIXELS[::-1, ::-1],
        4: PIXELS[::-1],
        5: PIXELS.transpose(1, 0, 2),
        6: np.rot90(PIXELS, 1),
        7: PIXELS[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(PIXELS, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(encoded(np.ascontiguousarray(stored), "PNG", exif=exif))
    np.testing.assert_array_equal(read_image(path), PIXELS)


def test_grey_and_bilevel_become_rgb(write):
    grey = PIXELS[..., 0]
    np.testing.assert_array_equal(read_image(write(encoded(grey, "PNG")))[..., 2], grey)
    black_white = read_image(write(encoded(grey > 127, "PNG")))
    np.testing.assert_array_equal(black_white[..., 1], np.where(grey > 127, 255, 0))


@given(alpha=st.integers(0, 255))
def test_transparency_becomes_white(tmp_path_factory, alpha):
    path = tmp_path_factory.mktemp("alpha") / "x.png"
    layer = np.dstack([PIXELS, np.full(PIXELS.shape[:2], alpha, np.uint8)])
    path.write_bytes(encoded(layer, "PNG"))
    over_white = PIXELS * (alpha / 255) + 255 * (1 - alpha / 255)
    assert np.abs(read_image(path) - over_white).max() <= 1


def test_a_transparent_palette_entry_becomes_white(write):
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=1)
    assert read_image(write(buffer.getvalue())).tolist() == [
        [[255, 0, 0], [255, 255, 255], [0, 0, 255]]
    ]


@pytest.mark.parametrize("fmt", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_not_cut(write, fmt):
    deep = np.linspace(0, 65535, 240).astype(np.uint16).reshape(12, 20)
    read = read_image(write(encoded(deep, fmt)))
    np.testing.assert_array_equal(read[..., 0], np.rint(deep / 257))
    np.testing.assert_array_equal(read[..., 0], read[..., 2])


def test_16_bit_colour_is_scaled_within_one_level(write):
    deep = RNG.integers(0, 65536, (4, 5, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 5, 4, 16, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    read = read_image(write(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)))
    assert np.abs(read - deep.astype(float) / 257).max() <= 1


def test_cmyk_becomes_rgb(write):
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    buffer = io.BytesIO()
    cmyk.save(buffer, "JPEG", quality=100)
    red, green, blue = read_image(write(buffer.getvalue()))[4, 4].tolist()
    assert red > 230
    assert max(green, blue) < 25


def test_the_first_frame_of_an_animation(write):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue")]
    for fmt in ("GIF", "WEBP", "TIFF", "PNG"):
        buffer = io.BytesIO()
        frames[0].save(buffer, fmt, save_all=True, append_images=frames[1:])
        red, _, blue = read_image(write(buffer.getvalue()))[2, 3].tolist()
        assert red > 240, fmt
        assert blue < 15, fmt


def test_what_is_no_image_has_a_reason(write, tmp_path):
    assert reason(tmp_path / "absent.jpg") == "no such file"
    assert reason(tmp_path) == "not a regular file"
    assert reason(write(b"")) == "an empty file"
    assert reason(write(b"<html>404</html>")) == "no image, or of an unknown format"


def test_a_named_pipe_does_not_hang(tmp_path):
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    assert reason(pipe) == "not a regular file"


def test_what_the_system_refuses_has_a_reason(tmp_path):
    loop = tmp_path / "loop.jpg"
    loop.symlink_to(loop)
    assert reason(loop) == "Too many levels of symbolic links"


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_an_error(write, fmt, share):
    complete = encoded(RNG.integers(0, 256, (60, 90, 3), dtype=np.uint8), fmt)
    assert reason(write(complete[: int(share * len(complete))]))


@given(position=st.floats(0, 1), junk=st.binary(min_size=1, max_size=40))
def test_a_damaged_file_is_an_image_or_an_image_error(tmp_path_factory, position, junk):
    path = tmp_path_factory.mktemp("damaged") / "x"
    for fmt in ("JPEG", "PNG", "GIF", "TIFF"):
        content = bytearray(encoded(PIXELS, fmt))
        start = int(position * (len(content) - 1))
        content[start : start + len(junk)] = junk
        path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata
            try:
                read = read_image(path, max_pixels=10_000)
            except ImageError:
                continue
        assert read.dtype == np.uint8
        assert read.shape[2] == 3


def test_a_large_image_is_refused_from_its_header(write):
    path = write(encoded(PIXELS, "PNG"))
    assert reason(path, max_pixels=239) == "20 x 12 exceeds 239 pixels"
    assert read_image(path, max_pixels=240).shape == PIXELS.shape
    # the header of a 50,000 x 50,000 PNG with no pixels behind it
    header = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header
    bomb += struct.pack(">I", zlib.crc32(header)) + struct.pack(">I", 0) + b"IDAT"
    assert "pixels" in reason(write(bomb))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_without_a_range_are_refused(write, dtype):
    assert "have no set range" in reason(write(encoded(PIXELS[..., 0].astype(dtype), "TIFF")))


def test_why_pillow(write):
    """What `torchvision.io` does with the same files."""
    import torch
    from torchvision.io import ImageReadMode, decode_image

    def torchvision(content):
        buffer = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        with pytest.warns(DeprecationWarning, match="deprecated since torchvision 0.29"):
            return decode_image(buffer, mode=ImageReadMode.RGB).permute(1, 2, 0).numpy()

    clear = encoded(np.dstack([PIXELS, np.zeros(PIXELS.shape[:2], np.uint8)]), "PNG")
    np.testing.assert_array_equal(torchvision(clear), PIXELS)  # the transparency is lost
    assert (read_image(write(clear)) == 255).all()
    for fmt in ("TIFF", "BMP"):
        with pytest.raises(RuntimeError):
            torchvision(encoded(PIXELS, fmt))


def test_real_photographs(data_root):
    """Twitter II holds PNG and GIF named .jpg, OASIS plain JPEG: all of them are read."""
    files = (
        sorted(data_root.glob("twitter2/partition1/*"))
        + sorted(data_root.glob("oasis/images/*"))[:100]
    )
    assert len(files) == 221
    for path in files:
        read = read_image(path)
        assert read.shape[2] == 3
        assert min(read.shape[:2]) > 10
