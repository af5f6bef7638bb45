"""A built site's pictures, made lighter: as WebP, pixel for pixel but for photographs."""

import re
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from PIL import Image

QUALITY = 92
"""Of what is not kept pixel for pixel; 100 is the most."""

_WORTH = 0.5  # a picture that is this much smaller with loss is a photograph, or holds some
_NAME = re.compile(r"(_images/[^\"'#?]+)\.png")


def lighten(site: Path) -> None:
    """Replace a built site's images in PNG by WebP, and their names in its pages.

    Args:
        site: its folder; `_images` and the pages are changed.
    """
    images = sorted((site / "_images").glob("*.png"))
    with ThreadPoolExecutor(2) as pool:  # the encoder releases the interpreter's lock
        for path, webp in zip(images, pool.map(as_webp, map(Path.read_bytes, images)), strict=True):
            path.with_suffix(".webp").write_bytes(webp)
            path.unlink()
    made = {f"_images/{path.stem}" for path in images}
    for path in site.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        changed = _NAME.sub(lambda name: f"{name[1]}.webp" if name[1] in made else name[0], page)
        if changed != page:
            path.write_text(changed, encoding="utf-8")


def as_webp(png: bytes) -> bytes:
    """Encode a picture anew: its very pixels, or, where that is half as much or less, nearly so.

    Lines and text stay as they are; photographs lose what is not seen.

    Args:
        png: a picture in PNG.

    Returns:
        WebP.

    Example:
        >>> file = BytesIO()
        >>> Image.new("RGB", (40, 30), "teal").save(file, format="PNG")
        >>> Image.open(BytesIO(as_webp(file.getvalue()))).getpixel((9, 9))
        (0, 128, 128)
    """
    with Image.open(BytesIO(png)) as image:
        plain = image.convert("RGBA" if image.has_transparency_data else "RGB")
    exact, nearly = BytesIO(), BytesIO()
    plain.save(exact, format="WEBP", lossless=True, method=4)
    plain.save(nearly, format="WEBP", quality=QUALITY, method=4)
    lossy = len(nearly.getvalue()) <= _WORTH * len(exact.getvalue())
    return nearly.getvalue() if lossy else exact.getvalue()
