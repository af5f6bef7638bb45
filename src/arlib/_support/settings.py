"""Check settings by name, as command lines and editions have them."""

from collections.abc import Mapping
from typing import Any


def fits(value: Any, default: Any) -> bool:
    """Test whether a value has the type of its default; an int serves as a float."""
    return type(value) is type(default) or (type(default) is float and type(value) is int)


def check_settings(
    settings: Mapping[str, Any], defaults: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Return the settings; raise ValueError for an unknown name or a value of another type."""
    for name, value in settings.items():
        if name not in defaults:
            raise ValueError(f"no setting {name!r} of {where}; there are {', '.join(defaults)}")
        if not fits(value, defaults[name]):
            raise ValueError(f"{name} must be {type(defaults[name]).__name__}, not {value!r}")
    return dict(settings)
