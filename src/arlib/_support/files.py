"""Read files of facts: written by programs, and perhaps damaged or edited since."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_WORDS: dict[type, str] = {dict: "an object", list: "a list", str: "a text"}


class StoreError(ValueError):
    """A store that is missing, unfinished, or changed since it was written."""


def read_json(
    path: Path,
    needed: Mapping[str, type] | None = None,
    optional: Mapping[str, type] | None = None,
) -> dict[str, Any]:
    """Read a JSON file that holds an object, some of whose values have these types.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds something else; it names the file, in one line.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "run.json")
        >>> path.write_text('{"experiment": "vgg16"}')
        23
        >>> read_json(path, {"experiment": dict})
        Traceback (most recent call last):
        ...
        ValueError: ...run.json: 'experiment' must be an object, not 'vgg16'
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold an object, not {one_line(repr(content), 60)}")
    check_types(content, str(path), needed, optional)
    return content


def file_name(name: str) -> str:
    """Turn a name into a part of a file's name, the same where it is one already.

    Example:
        >>> file_name("mobilenet_v2"), file_name("timm:vit_tiny.augreg"), file_name("nets:build")
        ('mobilenet_v2', 'timm-vit_tiny.augreg', 'nets-build')
    """
    return re.sub(r"[^\w.-]+", "-", name)


def check_types(
    content: Mapping[str, Any],
    where: str,
    needed: Mapping[str, type] | None = None,
    optional: Mapping[str, type] | None = None,
) -> None:
    """Check that values of JSON are there, and of these types; ValueError names one that is not."""
    for name, kind in {**(needed or {}), **(optional or {})}.items():
        if name not in content:
            if name in (needed or {}):
                raise ValueError(f"{where} has no {name!r}")
        elif not isinstance(content[name], kind):
            value = one_line(repr(content[name]), 60)
            raise ValueError(f"{where}: {name!r} must be {_WORDS[kind]}, not {value}")


def one_line(text: object, most: int = 200) -> str:
    """Put a text, such as an error's, in one line of printable characters; a long one is cut.

    Example:
        >>> one_line("no JSON:" + chr(10) + "  line 1")
        'no JSON: line 1'
    """
    words = " ".join(str(text).split())
    words = words if len(words) <= most else f"{words[:most]}..."
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in words)
