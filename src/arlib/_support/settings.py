"""Settings by name, as command lines and editions have them: unknown names and types refused."""

from collections.abc import Mapping
from typing import Any


def fits(value: Any, default: Any) -> bool:
    """Tell whether a value has its default's type: int serves as float, None stands for any.

    Example:
        >>> fits(1, 0.5), fits(1.0, 2), fits(True, 1), fits("a.yml", None)
        (True, False, False, True)
    """
    if default is None:
        return True
    return type(value) is type(default) or (type(default) is float and type(value) is int)


def check_settings(
    settings: Mapping[str, Any], defaults: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Return the settings if each has a default, and its type.

    Raises:
        ValueError: an unknown name, or a value of another type; it lists what there is.

    Example:
        >>> check_settings({"seed": 1}, {"seed": 0}, "a run")
        {'seed': 1}
    """
    for name, value in settings.items():
        if name not in defaults:
            raise ValueError(f"no setting {name!r} of {where}; there are {', '.join(defaults)}")
        if not fits(value, defaults[name]):
            raise ValueError(f"{name} must be {type(defaults[name]).__name__}, not {value!r}")
    return dict(settings)
