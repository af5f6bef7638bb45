"""Image files before they are decoded: their format, their sizes, and what to leave out of them.

Pillow is given the pixels of a file and nothing else. What cameras and editors write beside them
(EXIF, XMP, text, thumbnails, further pages) is cut out here, since one odd entry there makes Pillow
refuse the image, or warn without naming it; only the orientation is read from it. And the sizes
that decoders make room for are read here: those in the outer header may be others.
"""

import contextlib
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

_SIGNATURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "WEBP": rb"RIFF....WEBP",
    "TIFF": rb"(II|MM)([*+]\0|\0[*+])",
    "BMP": rb"BM",
    "PPM": rb"P[1-6f]\s",
    "JPEG2000": rb"\xffO\xffQ|\0\0\0\x0cjP  \r\n\x87\n",
}

_RAW = "a raw file: develop it to JPEG first"

_UNREAD = {
    rb"\xff\n|\0\0\0\x0cJXL ": "JPEG XL, which is not read: save it as JPEG or PNG first",
    rb"IIR[OS]|MMOR|IIU\0|FUJIFILMCCD-RAW|FOVb|\0MRM|....ftypcrx ": _RAW,
}
"""The first bytes of images that are not decoded -> what to do with them."""


class Refused(Exception):
    """Why an image is not decoded."""


class Parts(NamedTuple):
    """What a file holds, before it is decoded."""

    content: bytes  # for Pillow
    exif: bytes = b""
    xmp: bytes = b""
    sizes: tuple[tuple[int, int], ...] = ()  # width, height of what decoders make room for
    scans: int = 1  # times that all pixels are decoded
    levels: int = 65535  # the greatest value of deep grey
    negative: bool = False  # deep grey whose 0 is white
    transparent: tuple[int, ...] = ()  # the one grey or RGB colour, in Pillow's levels


def format_of(content: bytes) -> str | None:
    """Name a file's format, as Pillow calls it, by its first bytes; None if it is not decoded."""
    if content[4:8] == b"ftyp":  # of which AVIF and HEIF list what they keep to
        box = content[8 : min(int.from_bytes(content[:4], "big"), 256)]
        brands = {box[:4], *(box[at : at + 4] for at in range(8, len(box), 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        return "HEIF" if re.match(rb"he[ivm][cxms]|mif[12]|msf1", box) else None
    for form, signature in _SIGNATURES.items():
        if re.match(signature, content, re.DOTALL):
            return form
    return None


def take_apart(content: bytes) -> tuple[str, Parts]:
    """Find a file's format and take apart what it holds.

    Raises:
        Refused: it is not decoded, or damaged.
    """
    form = format_of(content)
    if form is None:
        for signature, reason in _UNREAD.items():
            if re.match(signature, content, re.DOTALL):
                raise Refused(reason)
        raise Refused("no image, or of an unknown format")
    return form, _READERS.get(form, Parts)(content)


def orientation(exif: bytes, xmp: bytes) -> int:
    """Read how an image is turned, 1 to 8, from its EXIF, else from its XMP; 1 = upright."""
    exif = exif.removeprefix(b"Exif\0\0")
    with contextlib.suppress(Refused):
        if re.match(_SIGNATURES["TIFF"], exif) and (turn := _Tags(exif).get(0x112)):
            return turn[0]
    stated = re.search(rb'tiff:Orientation(?:="|>)([1-8])', xmp)
    return int(stated[1]) if stated else 1


def _jpeg(content: bytes) -> Parts:
    """Leave out the segments before the pixels that decode none of them."""
    kept, exif, xmp, at = [content[:2]], b"", b"", 2
    while (at := content.find(b"\xff", at)) >= 0:
        marker = content[at + 1 : at + 2]
        if marker in (b"\xff", b"\0"):  # padding, or junk
            at += 1
        elif marker in (b"", b"\xd9", b"\xda"):  # the end, or the pixels
            break
        elif b"\xd0" <= marker <= b"\xd8" or marker == b"\x01":  # without a length
            at += 2
        else:
            end = at + 2 + max(int.from_bytes(content[at + 2 : at + 4], "big"), 2)
            body = content[at + 4 : end]
            if marker == b"\xe1" and body.startswith(b"Exif\0\0"):
                exif = exif or body
            elif marker == b"\xe1" and body.startswith(b"http://ns.adobe.com/xap/"):
                xmp = xmp or body
            elif marker in (b"\xe0", b"\xee") or not b"\xe0" <= marker <= b"\xef":  # JFIF, Adobe
                kept.append(content[at:end])
            at = end
    pixels = content[at:] if at >= 0 else b""
    kept.append(pixels)
    return Parts(b"".join(kept), exif, xmp, scans=pixels.count(b"\xff\xda"))


def _png(content: bytes) -> Parts:
    """Leave out the chunks that decode no pixel of the first image, and its one transparency."""
    kept, exif, xmp, at = [content[:8]], b"", b"", 8
    transparent: tuple[int, ...] = ()
    depth, colour = content[24:26].ljust(2, b"\0")
    while at < len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8].ljust(8, b"\0"))
        end = at + 12 + length
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND") or (kind == b"tRNS" and colour == 3):
            kept.append(content[at:end])
        elif kind == b"tRNS" and colour in (0, 2) and length == 2 + 2 * colour:
            transparent = struct.unpack(f">{1 + colour}H", content[at + 8 : end - 4])
        elif kind == b"eXIf":
            exif = content[at + 8 : end - 4]
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            name, _, text = content[at + 8 : end - 4].partition(b"\0")
            if kind == b"zTXt":
                text = _inflated(text[1:])
            elif kind == b"iTXt" and text[:1] == b"\1":
                text = _inflated(text[2:].split(b"\0", 2)[-1])
            if name == b"XML:com.adobe.xmp":
                xmp = text
            elif name == b"Raw profile type exif" and not exif:  # as ImageMagick writes it
                with contextlib.suppress(ValueError):
                    exif = bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))
        at = end
    if transparent and (depth, colour) == (16, 2):
        raise Refused("16-bit colours of which one is transparent: save it with 8 bits")
    greatest = 2**depth - 1
    scale = 255 // greatest if depth in (1, 2, 4) else 1
    levels = tuple(scale * (level & greatest) for level in transparent)
    return Parts(b"".join(kept), exif, xmp, transparent=levels)


def _inflated(text: bytes) -> bytes:
    """Unpack the beginning of a compressed text; b"" where it is damaged."""
    try:
        return zlib.decompressobj().decompress(text, 2**20)
    except zlib.error:
        return b""


def _gif(content: bytes) -> Parts:
    """Read the sizes of the screen and of the first frame, which may reach beyond it."""
    width, height, flags = struct.unpack("<HHB", content[6:11].ljust(5, b"\0"))
    at = 13 + (3 << (flags & 7) + 1 if flags & 128 else 0)
    while content[at : at + 1] == b"!":  # an extension, in blocks
        at += 2
        while size := int.from_bytes(content[at : at + 1], "big"):
            at += 1 + size
        at += 1
    left, top, across, down = struct.unpack("<4H", content[at + 1 : at + 9].ljust(8, b"\0"))
    return Parts(content, sizes=((width, height), (left + across, top + down)))


def _webp(content: bytes) -> Parts:
    """Read the size of the canvas: the decoder makes room for it when it opens the file."""
    kind, head = content[12:16], content[20:30].ljust(10, b"\0")
    if kind == b"VP8X":
        width = int.from_bytes(head[4:7], "little") + 1
        height = int.from_bytes(head[7:10], "little") + 1
    elif kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (size & 0x3FFF for size in struct.unpack("<HH", head[6:10]))
    return Parts(content, sizes=((width, height),))


def _heif(content: bytes) -> Parts:
    """Hide the EXIF of AVIF and HEIF, which are turned by their own boxes and not by it."""
    return Parts(re.sub(rb"(infe\x02.{7})Exif", rb"\1free", content, flags=re.DOTALL))


def _jpeg2000(content: bytes) -> Parts:
    """Read the size in each codestream; that in the file's header may be another."""
    sizes = []
    for start in re.finditer(rb"\xffO\xffQ", content):
        siz = content[start.end() : start.end() + 38].ljust(38, b"\0")
        _, _, right, bottom, left, top, *_, channels = struct.unpack(">HH8IH", siz)
        if channels > 4:
            raise Refused(f"{channels} channels, which are no colour image")
        sizes.append((right - left, bottom - top))
    return Parts(content, sizes=tuple(sizes))


def _tiff(content: bytes) -> Parts:
    """Leave the tags of the first image that its pixels need, and check what they say."""
    tags = _Tags(content)
    # of a raw file, the first image is a thumbnail, and the photo what a sensor measured
    directories = [tags, *tags.below()]
    if (
        any(each.first(262) in (32803, 34892) for each in directories)
        or 50706 in tags.entries  # DNG
        or content[8:10] == b"CR"  # Canon
    ):
        raise Refused(_RAW)
    if (tags.first(254) & 1 or tags.first(255) == 2) and (tags.more or len(directories) > 1):
        raise Refused(f"a thumbnail before the photo, as in {_RAW}")
    # what Pillow has no range for, or reads wrongly
    bits = max(tags.get(258), default=1)
    if set(tags.get(339)) - {1, 4}:
        raise Refused("signed or floating-point pixels have no set range")
    if bits > 16:
        raise Refused(f"{bits}-bit pixels have no set range")
    if bits > 8 and tags.first(284) == 2 and tags.first(259) < 2:
        raise Refused(f"{bits} bits in uncompressed planes: save it with 8 bits")
    if tags.first(277) > 6:
        raise Refused(f"{tags.first(277)} channels, which are no colour image")
    negative = bits > 8 and tags.get(262)[:1] == (0,)
    return Parts(
        # 12 bits are packed alike in both orders, of which Pillow reads one
        tags.rewritten({262: 1} if negative else {}, "<" if bits == 12 else tags.order),
        exif=content,
        xmp=tags.data(700) or b"",
        sizes=((tags.first(256), tags.first(257)), (tags.first(322), tags.first(323))),
        levels=2**bits - 1,
        negative=negative,
    )


_PIXEL_TAGS = frozenset({
    *range(256, 260), 262, 266, 273, 277, 278, 279, 284, 292, 293, 317,  # size, samples, strips
    *range(320, 326), 332, 338, 339, 347, *range(512, 522), *range(529, 533),  # tiles, colours
})  # fmt: skip
"""Tags by which a TIFF's pixels are decoded."""

_ONE_NUMBER = frozenset([256, 257, 259, 262, 266, 277, 278, 284, 317, 322, 323])

_OFFSETS = frozenset([273, 324, 513, 519, 520, 521])  # where strips, tiles and tables of JPEG lie

_MAX_TAG = 2**21  # bytes: 262,144 strips or tiles

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
"""A TIFF entry's type -> bytes of a value."""

_LETTERS = {1: "B", 3: "H", 4: "L", 5: "L", 6: "b", 8: "h", 9: "l", 13: "L", 16: "Q"}
"""The types of whole numbers, and of fractions of them -> their letter in `struct`."""


class _Tags:
    """A directory of a TIFF, or of EXIF, which is one; only what is asked for is read."""

    def __init__(self, content: bytes, at: int | None = None) -> None:
        """Read the entries at a place, by default the first; if damaged, those before that."""
        self.content = content
        self.order = ">" if content[:2] == b"MM" else "<"
        big = b"+" in content[2:4]  # BigTIFF: longer numbers throughout
        self.long, number, size = ("Q", "Q", 20) if big else ("L", "H", 12)
        if at is None:
            at = self._number(self.long, 8 if big else 4)
        first = at + struct.calcsize(f"={number}")
        end = first + self._number(number, at) * size
        self.entries: dict[int, bytes] = {}
        for start in range(first, min(end, len(content) - size + 1), size):
            self.entries.setdefault(self._number("H", start), content[start : start + size])
        self.more = any(content[end : end + struct.calcsize(f"={self.long}")])

    def _number(self, letter: str, at: int) -> int:
        form = self.order + letter
        if at + struct.calcsize(form) > len(self.content):
            raise Refused("damaged: it ends before its directory")
        return int(struct.unpack_from(form, self.content, at)[0])

    def _entry(self, tag: int) -> tuple[int, int, bytes]:
        """Take an entry apart: its type, how many values, and them or where they are."""
        form = f"{self.order}HH{self.long}"
        size = struct.calcsize(form)
        entry = self.entries.get(tag, bytes(2 * size))
        _, kind, count = struct.unpack(form, entry[:size])
        return kind, count, entry[size:]

    def data(self, tag: int) -> bytes | None:
        """Take the bytes of an entry: b"" where it has none, None where they are not there."""
        kind, count, field = self._entry(tag)
        size = count * _SIZES.get(kind, 0)
        if size > struct.calcsize(f"={self.long}"):
            (at,) = struct.unpack(self.order + self.long, field)
            field = self.content[at : at + size]
        return field[:size] if len(field) >= size else None

    def get(self, tag: int) -> tuple[int, ...]:
        """Take the whole numbers of an entry; () where there are none."""
        letter, data = _LETTERS.get(self._entry(tag)[0]), self.data(tag)
        if not letter or not data:
            return ()
        count = len(data) // struct.calcsize(f"={letter}")
        return struct.unpack(f"{self.order}{count}{letter}", data)

    def first(self, tag: int) -> int:
        """Take the first whole number of an entry; 0 where there is none."""
        return next(iter(self.get(tag)), 0)

    def below(self) -> Iterator["_Tags"]:
        """Read the directories below, where raw files keep what the sensor measured."""
        for at in self.get(330)[:16]:
            with contextlib.suppress(Refused):
                yield _Tags(self.content, at)

    def rewritten(self, other: Mapping[int, int], order: str) -> bytes:
        """Make it a plain TIFF of one directory, before the file, of the tags that pixels need.

        `other` has numbers that are to replace those of tags; `order` is that of bytes. The file
        still ends where it ended, so that pixels which are cut off are missed.
        """
        kept: list[tuple[int, int, tuple[int, ...], bytes]] = []
        for tag in sorted(_PIXEL_TAGS & self.entries.keys()):
            kind, data, numbers = self._entry(tag)[0], self.data(tag), self.get(tag)
            if data is None or len(data) > _MAX_TAG:
                raise Refused(f"damaged: its tag {tag} is not in the file, or too long")
            if tag in _ONE_NUMBER and numbers:
                numbers = (other.get(tag, numbers[0]),)
            if numbers and (tag in _ONE_NUMBER | _OFFSETS or kind == 16):
                kind, data = 4, bytes(4 * len(numbers))  # LONG, which is all that TIFF has
            if data:
                kept.append((tag, kind, numbers, data))
        # the directory, then what does not fit into its entries, then the file
        at = 8 + 2 + 12 * len(kept) + 4
        shift = at + sum(len(data) + len(data) % 2 for *_, data in kept if len(data) > 4)
        lines, values = b"", b""
        for tag, kind, numbers, data in kept:
            if numbers:
                moved = [number + shift for number in numbers] if tag in _OFFSETS else numbers
                data = struct.pack(f"{order}{len(moved)}{_LETTERS[kind]}", *moved)
            count, field = len(data) // _SIZES[kind], data.ljust(4, b"\0")
            if len(data) > 4:
                field = struct.pack(f"{order}L", at + len(values))
                values += data + bytes(len(data) % 2)
            lines += struct.pack(f"{order}HHL4s", tag, kind, count, field)
        head = (b"MM" if order == ">" else b"II") + struct.pack(f"{order}HLH", 42, 8, len(kept))
        return b"".join([head, lines, bytes(4), values, self.content])


_READERS: Mapping[str, Callable[[bytes], Parts]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "WEBP": _webp,
    "AVIF": _heif,
    "HEIF": _heif,
    "JPEG2000": _jpeg2000,
    "TIFF": _tiff,
}
