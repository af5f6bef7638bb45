"""What was found in a dataset, for people and for machines."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SHOWN = 5  # examples of a finding in the text; JSON has all of them


@dataclass(frozen=True)
class Finding:
    """Something odd: `severity` is error, warning or note; `examples` are files or rows."""

    severity: str
    text: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What is in a dataset's folder.

    Attributes:
        name: of the dataset, or the path that was checked.
        root: its folder.
        facts: what was counted, by name.
        findings: what is odd, errors first.
        published: what its authors count, by the same names as the facts.

    Example:
        >>> found = Finding("error", "1 file cannot be read; replace it", ("a.jpg: an empty file",))
        >>> print(Report("mine", Path("mine"), {"images": 2000}, (found,)).as_text())
        mine at mine
          images                     2,000
          error: 1 file cannot be read; replace it
              a.jpg: an empty file
    """

    name: str
    root: Path
    facts: Mapping[str, Any]
    findings: tuple[Finding, ...]
    published: Mapping[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Tell whether there is an error among the findings."""
        return any(each.severity == "error" for each in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Turn it into what JSON can hold."""
        return {**asdict(self), "root": str(self.root), "failed": self.failed}

    def as_text(self) -> str:
        """Write it for people: the facts, then the findings with their first examples."""
        lines = [f"{self.name} at {self.root}"]
        for key, value in self.facts.items():
            shown = f"{value:,}" if isinstance(value, int) else str(value)
            if key in self.published:
                shown += f"  (published: {self.published[key]:,})"
            lines.append(f"  {key:<26} {shown}")
        for each in self.findings:
            lines.append(f"  {each.severity}: {each.text}")
            lines += [f"      {example}" for example in each.examples[:SHOWN]]
            if (more := len(each.examples) - SHOWN) > 0:
                lines.append(f"      ... and {more} more")
        return "\n".join(lines)
