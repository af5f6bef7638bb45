"""The decoder: files of cameras and broken downloads become upright RGB, or an error."""

import io
import os
import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, TiffImagePlugin

from arlib.datasets import images
from arlib.datasets.containers import format_of
from arlib.datasets.images import IMAGE_ENDINGS, ImageError, read_image

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


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_a_tiff_without_its_last_bytes_is_an_error(write, compression):
    complete = encoded(PIXELS, "TIFF", compression=compression)
    assert read_image(write(complete)).shape == PIXELS.shape
    for cut in (2, 20, 100):
        assert "damaged" in reason(write(complete[:-cut]))


@given(position=st.floats(0, 1), junk=st.binary(min_size=1, max_size=40))
def test_a_damaged_file_is_an_image_or_an_image_error(tmp_path_factory, position, junk):
    path = tmp_path_factory.mktemp("damaged") / "x"
    for fmt in ("JPEG", "PNG", "GIF", "TIFF"):
        content = bytearray(encoded(PIXELS, fmt))
        start = int(position * (len(content) - 1))
        content[start : start + len(junk)] = junk
        path.write_bytes(content)
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


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(rows, width, depth, colour, *more):
    """A PNG of rows of bytes; more chunks go before its pixels."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = chunk(b"IHDR", header), *more, chunk(b"IDAT", pixels), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def packed(levels, bits, order=">"):
    """Rows of numbers of some bits each, as TIFF and PNG pack them."""
    if bits == 16:
        return [row.astype(f"{order}u2").tobytes() for row in levels]
    digits = (levels[..., None] >> np.arange(bits)[::-1] & 1).astype(np.uint8)
    return [np.packbits(row).tobytes() for row in digits.reshape(len(levels), -1)]


def tiff(entries, pixels=b"", order="<"):
    """A TIFF of entries, tag -> (type, values), whose pixels lie from byte 8."""
    letters = {3: "H", 4: "L"}
    behind, lines = b"", []
    start = 8 + len(pixels) + len(pixels) % 2
    for tag, (kind, *values) in sorted(entries.items()):
        data = struct.pack(f"{order}{len(values)}{letters[kind]}", *values)
        field = data.ljust(4, b"\0")
        if len(data) > 4:
            field, behind = struct.pack(f"{order}L", start + len(behind)), behind + data
        lines.append(struct.pack(f"{order}HHL4s", tag, kind, len(values), field))
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HL", 42, start + len(behind))
    count = struct.pack(f"{order}H", len(lines))
    return b"".join([head, pixels.ljust(start - 8, b"\0"), behind, count, *lines, bytes(4)])


def grey_tiff(levels, bits, photometric=1, order="<", compression=1, **more):
    pixels = b"".join(packed(levels, bits, order))
    pixels = zlib.compress(pixels) if compression == 8 else pixels
    height, width = levels.shape
    entries = {256: (4, width), 257: (4, height), 258: (3, bits), 259: (3, compression)}
    entries |= {262: (3, photometric), 273: (4, 8), 277: (3, 1), 278: (4, height)}
    entries |= {279: (4, len(pixels))} | {int(tag[1:]): value for tag, value in more.items()}
    return tiff(entries, pixels, order)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
def test_grey_of_any_depth_is_scaled_by_its_own_range(write, bits, compression, photometric, order):
    greatest = 2**bits - 1
    levels = RNG.integers(0, greatest + 1, (9, 23))
    levels[0, :2] = 0, greatest
    read = read_image(write(grey_tiff(levels, bits, photometric, order, compression)))
    grey = levels if photometric else greatest - levels  # else 0 is white
    assert np.abs(read - grey[..., None] * 255 / greatest).max() <= 0.51


@pytest.mark.parametrize(
    ("bits", "more", "why"),
    [
        (8, {"t339": (3, 2)}, "signed or floating-point pixels have no set range"),
        (16, {"t339": (3, 2)}, "signed or floating-point pixels have no set range"),
        (16, {"t339": (3, 3)}, "signed or floating-point pixels have no set range"),
        (14, {}, "damaged, or of a kind that is not read (unknown pixel mode)"),
        (8, {"t259": (3, 34712)}, "damaged, or of a kind that is not read (34712)"),
    ],
)
def test_pixels_that_would_be_read_wrongly_are_refused(write, bits, more, why):
    assert reason(write(grey_tiff(RNG.integers(0, 255, (9, 24)), bits, **more))) == why


def test_deep_colour_in_uncompressed_planes_is_refused(write):
    entries = {256: (4, 4), 257: (4, 2), 258: (3, 16, 16, 16), 259: (3, 1), 262: (3, 2)}
    entries |= {273: (4, 8, 24, 40), 277: (3, 3), 278: (4, 2), 279: (4, 16, 16, 16), 284: (3, 2)}
    why = "16 bits in uncompressed planes: save it with 8 bits"
    assert reason(write(tiff(entries, bytes(48)))) == why


@pytest.mark.parametrize("order", "<>")
def test_big_tiff(write, tmp_path, order):
    import tifffile

    path = tmp_path / "big.tif"
    tifffile.imwrite(path, PIXELS, bigtiff=True, byteorder=order, rowsperstrip=5)
    np.testing.assert_array_equal(read_image(path), PIXELS)


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_grey_png_of_any_depth_and_its_transparent_level(write, depth, clear):
    greatest = 2**depth - 1
    levels = RNG.integers(0, greatest + 1, (9, 23))
    level = int(levels[4, 4])
    transparent = [chunk(b"tRNS", struct.pack(">H", level))] if clear else []
    read = read_image(write(png(packed(levels, depth), 23, depth, 0, *transparent)))
    right = np.where((levels == level) & clear, 255, np.rint(levels * 255 / greatest))
    np.testing.assert_array_equal(read, right[..., None].repeat(3, -1))


def test_the_transparent_colour_of_a_png(write):
    colour = PIXELS[3, 5].astype(">u2").tobytes()
    rows = [row.tobytes() for row in PIXELS]
    right = PIXELS.copy()
    right[(PIXELS[3, 5] == PIXELS).all(-1)] = 255
    clear = png(rows, 20, 8, 2, chunk(b"tRNS", colour))
    np.testing.assert_array_equal(read_image(write(clear)), right)
    deep = png([row + row for row in rows], 20, 16, 2, chunk(b"tRNS", colour))
    assert reason(write(deep)) == "16-bit colours of which one is transparent: save it with 8 bits"
    too_short = png(rows, 20, 8, 2, chunk(b"tRNS", colour[:3]))
    np.testing.assert_array_equal(read_image(write(too_short)), PIXELS)


def test_premultiplied_grey(write):
    levels = np.array([[[100, 255], [100, 200], [0, 0]]], np.uint8)  # grey times alpha, alpha
    entries = {256: (4, 3), 257: (4, 1), 258: (3, 8, 8), 259: (3, 1), 262: (3, 1), 273: (4, 8)}
    entries |= {277: (3, 2), 278: (4, 1), 279: (4, 6), 338: (3, 1)}
    read = read_image(write(tiff(entries, levels.tobytes())))
    assert np.abs(read[0, :, 0] - np.array([100, 100 + 55, 255])).max() <= 2


@pytest.mark.parametrize("transform", [0, 2])
def test_cmyk_and_ycck_of_a_jpeg(write, transform):
    """Adobe stores ink inverted, and with transform 2 its complement as YCbCr."""
    ink = np.array([[[30, 200, 90]]], np.uint8)  # cyan, magenta, yellow; no black
    stored = np.array(Image.fromarray(ink).convert("YCbCr")) if transform else 255 - ink
    stored = np.dstack([stored, np.full((1, 1), 255, np.uint8)]).repeat(16, 0).repeat(16, 1)
    content = bytearray(encoded_as(255 - stored, "CMYK", "JPEG", quality=100, subsampling=0))
    content[content.index(b"Adobe") + 11] = transform
    assert np.abs(read_image(write(content))[8, 8].astype(int) - (255 - ink[0, 0])).max() <= 3


def encoded_as(pixels, mode, fmt, **options):
    buffer = io.BytesIO()
    height, width = pixels.shape[:2]
    Image.frombytes(mode, (width, height), pixels.tobytes()).save(buffer, fmt, **options)
    return buffer.getvalue()


def test_lab_becomes_rgb(write):
    from PIL import ImageCms

    spaces = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    transform = ImageCms.buildTransform(*spaces, "RGB", "LAB")
    lab = ImageCms.applyTransform(Image.fromarray(SMOOTH), transform)
    buffer = io.BytesIO()
    lab.save(buffer, "TIFF")
    assert np.abs(read_image(write(buffer.getvalue())).astype(int) - SMOOTH).max() <= 8


# ---- raw files, and others that are not decoded

RAW = "a raw file: develop it to JPEG first"
PHOTO = {256: (4, 4), 257: (4, 4), 258: (3, 8), 259: (3, 1), 262: (3, 1), 273: (4, 8)} | {
    277: (3, 1), 278: (4, 4), 279: (4, 16)
}  # fmt: skip


def two_pages(first):
    buffer = io.BytesIO()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254] = first
    Image.new("RGB", (4, 3), "red").save(
        buffer, "TIFF", tiffinfo=tags, save_all=True, append_images=[Image.new("RGB", (40, 30))]
    )
    return buffer.getvalue()


def with_sensor_below():
    """As NEF and ARW lie: a thumbnail, and the sensor's mosaic in a directory below."""
    mosaic = tiff(PHOTO | {262: (3, 32803)}, bytes(16))
    where = struct.unpack("<L", mosaic[4:8])[0]
    return tiff(PHOTO | {330: (4, 8 + where - 8)}, mosaic[8:])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (two_pages(1), f"a thumbnail before the photo, as in {RAW}"),
        (
            tiff(PHOTO | {254: (4, 1), 330: (4, 8)}, bytes(16)),
            f"a thumbnail before the photo, as in {RAW}",
        ),
        (with_sensor_below(), RAW),
        (tiff(PHOTO | {50706: (4, 1)}, bytes(16)), RAW),  # DNG
        (tiff(PHOTO | {262: (3, 32803)}, bytes(16)), RAW),
        (tiff(PHOTO | {262: (3, 34892)}, bytes(16)), RAW),
        (tiff(PHOTO, b"CR\2\0" + bytes(12)), RAW),  # CR2
        (b"IIRO" + bytes(40), RAW),  # Olympus
        (b"IIU\0" + bytes(40), RAW),  # Panasonic
        (b"FUJIFILMCCD-RAW 0201" + bytes(40), RAW),
        (b"\0\0\0\x18ftypcrx " + bytes(40), RAW),  # CR3
        (b"\xff\n" + bytes(40), "JPEG XL, which is not read: save it as JPEG or PNG first"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL, which is not read: save it as JPEG or PNG first"),
    ],
)
def test_what_is_no_photo_yet_is_named(write, content, why):
    assert reason(write(content)) == why


def test_a_tiff_of_pages_is_its_first(write):
    assert read_image(write(two_pages(0))).shape == (3, 4, 3)
    assert read_image(write(two_pages(2))).shape == (3, 4, 3)
    alone = tiff(PHOTO | {254: (4, 1)}, bytes(16))  # reduced, and nothing behind it
    assert read_image(write(alone)).shape == (4, 4, 3)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_heif_without_its_reader_says_how_to_get_it(write, monkeypatch, brand):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = write(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(40))
    why = "HEIF (.heic): pip install 'arlib[heif]' to have it read, or save it as JPEG"
    assert reason(path) == why


@pytest.mark.parametrize("exif", [None, b"Exif\0\0XX*\0" + bytes(20), "turned"])
def test_heif(write, exif):
    pillow_heif = pytest.importorskip("pillow_heif")
    if exif == "turned":  # which the file then says in a box of its own
        exif = b"Exif\0\0" + exif_block([(0x112, 3, 1, struct.pack("<HH", 6, 0))])
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(SMOOTH)).save(buffer, exif=exif)
    content = buffer.getvalue()
    assert format_of(content) == "HEIF"
    upright = np.rot90(SMOOTH, -1) if exif and b"\x12\x01" in exif else SMOOTH
    assert np.abs(read_image(write(content)).astype(int) - upright).mean() < 3
    assert reason(write(content), max_pixels=100).endswith("exceeds 100 pixels")


def test_every_ending_is_of_a_format_that_is_decoded(write):
    for form in set(IMAGE_ENDINGS.values()) - {"HEIF"}:
        read = read_image(write(encoded(SMOOTH, form)))
        assert np.abs(read.astype(int) - SMOOTH).mean() < 4, form


# ---- what lies beside the pixels


def exif_block(entries, order="<", behind=b"", start=8):
    """EXIF of entries: tag, type, count, the field's 4 bytes."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HL", 42, start)
    lines = [struct.pack(f"{order}HHL4s", *entry) for entry in entries]
    return head + struct.pack(f"{order}H", len(lines)) + b"".join(lines) + bytes(4) + behind


def odd_exif():
    """EXIF that turns the image by a quarter, beside an entry that no reader expects."""
    for order, turn in (("<", b"\6\0\0\0"), (">", b"\0\6\0\0")):
        right = 0x112, 3, 1, turn
        for tag in (0x11A, 0x128, 0x8769, 0x8825, 0x111):
            for kind in (2, 3, 5, 7, 10, 99):
                for count in (0, 2, 2**31):
                    place = struct.pack(f"{order}L", 38 if count < 3 else 2**32 - 1)
                    odd = tag, kind, count, place
                    zero = struct.pack(f"{order}ll", -1, 0) * 2
                    yield exif_block(sorted([right, odd]), order, zero)
    right = 0x112, 3, 1, b"\6\0\0\0"
    yield exif_block([right])[:-4]  # without the end
    yield exif_block([right])[:8] + struct.pack("<H", 60_000) + exif_block([right])[10:]
    yield exif_block([(0x112, 4, 1, b"\6\0\0\0")])
    yield exif_block([(0x112, 1, 1, b"\6\0\0\0")])
    yield exif_block([(0x112, 3, 2, b"\6\0\1\0")])
    yield exif_block([(0x112, 5, 1, b"\x1a\0\0\0")], behind=struct.pack("<LL", 6, 1))


def carriers(exif, pixels):
    """The pixels as JPEG, PNG and WebP with this EXIF."""
    plain, segment = encoded(pixels, "JPEG"), b"Exif\0\0" + exif
    app1 = b"\xff\xe1" + struct.pack(">H", len(segment) + 2)
    yield "JPEG", plain[:2] + app1 + segment + plain[2:]
    yield "WEBP", encoded(pixels, "WEBP", exif=b"Exif\0\0" + exif)
    plain = encoded(pixels, "PNG")
    yield "PNG", plain[:33] + chunk(b"eXIf", exif) + plain[33:]


def test_an_odd_entry_of_exif_neither_refuses_nor_warns_and_the_image_is_turned(write, capfd):
    pixels, tried = PIXELS[:4, :6], 0
    for exif in odd_exif():
        for form, content in carriers(exif, pixels):
            assert read_image(write(content)).shape == (6, 4, 3), (form, exif)
            tried += 1
    assert tried > 500
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"II",
        b"XX*\0" + bytes(20),
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08",
        b"II*\0" + bytes(4),
    ]
    + [exif_block([(0x112, 3, 1, struct.pack("<HH", turn, 0))]) for turn in (0, 9, 60_000)],
)
def test_exif_that_states_no_orientation_leaves_the_image_as_it_lies(write, exif):
    for form, content in carriers(exif, PIXELS):
        assert read_image(write(content)).shape == PIXELS.shape, form


@settings(max_examples=30)
@given(exif=st.binary(max_size=60), cut=st.integers(0, 70))
def test_damaged_exif_of_any_bytes_refuses_nothing(tmp_path_factory, exif, cut):
    path = tmp_path_factory.getbasetemp() / "exif"
    real = exif_block([(0x112, 3, 1, b"\6\0\0\0"), (0x8825, 4, 1, exif[:4].ljust(4, b"\0"))])
    for block in (exif, real[:cut] + exif, exif_block([(0x112, 3, 1, b"\1\0\0\0")])[:10] + exif):
        for form, content in carriers(block, PIXELS):
            path.write_bytes(content)
            assert sorted(read_image(path).shape) == sorted(PIXELS.shape), form


def test_odd_tags_of_a_tiff_refuse_nothing(write, capfd):
    levels = RNG.integers(0, 256, (4, 6))
    plain = grey_tiff(levels, 8, t274=(3, 6))
    entries = plain[plain.rindex(struct.pack("<HHLL", 256, 4, 1, 6)) : -4]
    count = len(entries) // 12
    for tag in (282, 305, 330, 700, 33432, 34665, 34675, 34853, 37724, 50838):
        for kind, size, place in (
            (5, 1, 2**31),
            (4, 2**31, 8),
            (2, 99, 10**6),
            (13, 1, 0),
            (77, 1, 1),
        ):
            odd = struct.pack("<HHLL", tag, kind, size, place)
            head = plain[: -4 - len(entries) - 2]
            content = head + struct.pack("<H", count + 1) + entries + odd + bytes(4)
            read = read_image(write(content))
            np.testing.assert_array_equal(read[..., 0], np.rot90(levels, -1))
    twice = grey_tiff(levels, 8, t277=(3, 1, 1), t256=(4, 6, 6, 6))
    np.testing.assert_array_equal(read_image(write(twice))[..., 0], levels)
    assert capfd.readouterr().err == ""


def test_orientation_beside_exif(write):
    """As ImageMagick writes it into PNG, and as XMP, plain and compressed."""
    turn = exif_block([(0x112, 3, 1, b"\6\0\0\0")])
    profile = f"\nexif\n{len(turn):8}\n{turn.hex()}\n".encode()
    xmp = b'<x tiff:Orientation="6"/>'
    plain, itxt = encoded(PIXELS, "PNG"), b"XML:com.adobe.xmp\0"
    for kind, body in (
        (b"tEXt", b"Raw profile type exif\0" + profile),
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile)),
        (b"iTXt", itxt + b"\0\0\0\0" + xmp),
        (b"iTXt", itxt + b"\1\0\0\0" + zlib.compress(xmp)),
    ):
        turned = read_image(write(plain[:33] + chunk(kind, body) + plain[33:]))
        np.testing.assert_array_equal(turned, np.rot90(PIXELS, -1))
    for fmt in ("JPEG", "WEBP"):
        assert read_image(write(encoded(PIXELS, fmt, xmp=xmp))).shape == (20, 12, 3)


def test_avif_is_turned_by_its_own_box_whatever_its_exif(write):
    turn = exif_block([(0x112, 3, 1, b"\6\0\0\0")])
    assert read_image(write(encoded(PIXELS, "AVIF", exif=turn))).shape == (20, 12, 3)
    content = encoded(PIXELS, "AVIF", exif=exif_block([(0x128, 3, 1, b"\2\0\0\0")]))
    spoiled = content.replace(b"II*\0", b"XX*\0")
    assert spoiled != content
    assert read_image(write(spoiled)).shape == PIXELS.shape


@pytest.mark.parametrize("kind", [b"acTL", b"fcTL", b"tEXt", b"iCCP", b"zTXt", b"gAMA", b"iTXt"])
def test_odd_chunks_of_a_png_refuse_nothing(write, kind, capfd):
    plain = encoded(PIXELS, "PNG")
    for body in (b"", bytes(8), bytes(26), b"a\0\7" + zlib.compress(b"b"), b"\xff" * 30):
        for part in (chunk(kind, body), chunk(kind, body)[:-4] + bytes(4)):  # a false checksum
            np.testing.assert_array_equal(
                read_image(write(plain[:33] + part * 2 + plain[33:])), PIXELS
            )
    assert capfd.readouterr().err == ""


# ---- the process


def test_libtiff_writes_nothing_and_what_it_would_write_is_left_to_the_program(write, capfd):
    content = bytearray(encoded(SMOOTH, "TIFF", compression="tiff_lzw"))
    content[60:90] = bytes([255, 0] * 15)
    path = write(content)

    def attempt(_):
        with pytest.raises(ImageError, match="damaged") as caught:
            read_image(path)
        return str(caught.value)

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(attempt, range(40))) == {f"{path}: damaged (decoder error -2)"}
    assert capfd.readouterr().err == ""
    with pytest.raises(OSError, match="decoder error"), Image.open(path) as image:
        image.load()
    assert "code not yet in table" in capfd.readouterr().err


@pytest.mark.parametrize("bound", [100, None])
def test_the_bound_of_pillow_is_the_programs_own(write, monkeypatch, bound):
    """It is neither changed nor asked, save by Pillow's WebP when it opens a file."""
    assert Image.MAX_IMAGE_PIXELS == 1024**3 // 12
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", bound)
    for form in set(IMAGE_ENDINGS.values()) - {"HEIF", "WEBP"}:
        assert read_image(write(encoded(PIXELS, form))).shape == PIXELS.shape, form
    webp = write(encoded(PIXELS, "WEBP"))
    if bound:
        assert reason(webp) == "more pixels than PIL.Image.MAX_IMAGE_PIXELS allows in this program"
    else:
        assert read_image(webp).shape == PIXELS.shape
    assert bound == Image.MAX_IMAGE_PIXELS


def test_too_little_memory_is_one_images_error(write, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(images, "_rgb_of", fail)
    assert reason(write(encoded(PIXELS, "PNG"))) == "decoding it takes more memory than there is"


def test_large_images_are_converted_in_bands(write, monkeypatch):
    layer = np.dstack([PIXELS, RNG.integers(0, 256, PIXELS.shape[:2], dtype=np.uint8)])
    files = [encoded(layer, "PNG"), grey_tiff(RNG.integers(0, 4096, (9, 23)), 12, 1)]
    files += [encoded(PIXELS[..., 0], "GIF"), encoded(PIXELS, "JPEG")]
    for content in files:
        together = read_image(write(content))
        with monkeypatch.context() as patch:
            patch.setattr(images, "_BAND", 50)
            np.testing.assert_array_equal(read_image(write(content)), together)


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
