"""The catalogue in words: the table and the sections of the book's page, and `arlib data where`."""

import re
import textwrap

from arlib.datasets.catalog import Entry, entry, known

HEAD = ("dataset", "published", "majority", "who labelled it, and how", "licence", "get it")


def as_markdown() -> str:
    """Render the catalogue as the book shows it: a table, then a section for each dataset.

    Example:
        >>> print(as_markdown()[:37])
        | dataset | published | majority | wh
    """
    entries = [entry(name) for name in known()]
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    lines += ["| " + " | ".join(_cells(each)) + " |" for each in entries]
    return "\n".join(lines) + "".join(f"\n\n{_section(each)}" for each in entries)


def where(name: str) -> str:
    """Say how to obtain a dataset, step by step, and the layout that is expected.

    Raises:
        DatasetError: the catalogue has no such name.

    Example:
        >>> print(where("scenes").splitlines()[0])
        scenes, drawn by this library
    """
    of = entry(name)
    lines = [of.title + (f" ({of.year})" if of.year else "")]
    facts = {
        "published": counts(of),
        "labelled by": of.labelled,
        "licence": of.licence,
        "citation": ", ".join(of.cite),
        "fetch": f"arlib data fetch {name}" if of.downloads else f"no: {of.no_fetch}",
    }
    lines += [_filled(f"  {key:<12} ", value) for key, value in facts.items() if value]
    lines += ["", "How to get it:"]
    lines += [_filled(f"  {n}. ", _plain(step)) for n, step in enumerate(of.steps, 1)]
    if of.layout:
        place = "under $ARLIB_DATA" if of.folder else "anywhere"
        lines += ["", f"Its layout, {place}:", textwrap.indent(of.layout.rstrip(), "  ")]
    lines += ["", "What to look out for:"]
    lines += [_filled("  - ", _plain(trap)) for trap in of.traps]
    return "\n".join(lines)


def counts(of: Entry) -> str:
    """Put what is published of a dataset into words; "" where nothing is.

    Example:
        >>> counts(entry("twitter2"))
        '603 images: 470 positive, 133 negative'
    """
    classes = [each for each in of.emotions if each in of.published]
    words = {"rows": "images"}  # OASIS' table has a row for each image
    whole = [
        f"{n:,} {words.get(what, what)}" for what, n in of.published.items() if what not in classes
    ]
    numbers = {of.published[each] for each in classes}
    if len(numbers) == 1 and len(classes) > 2:
        return f"{', '.join(whole)}: {len(classes)} × {numbers.pop()}"
    split = ", ".join(f"{of.published[each]:,} {each}" for each in classes)
    return ", ".join(whole) + (f": {split}" if split else "")


def _cells(of: Entry) -> list[str]:
    cite = f" {{cite}}`{','.join(of.cite)}`" if of.cite else ""
    majority = f"{of.majority:.1%}" if of.majority else "–"
    get = "`arlib data fetch`" if of.downloads else f"{{ref}}`by hand <data-{of.name}>`"
    if not of.folder:
        get = f"{{ref}}`how <data-{of.name}>`"
    return [
        f"**{of.name}** {of.title}{cite}",
        counts(of) or "–",
        majority,
        of.labelled,
        of.licence,
        get,
    ]


def _section(of: Entry) -> str:
    lines = [f"(data-{of.name})=", f"## {of.title}", ""]
    if of.subsets:
        rows = (
            f"{part}: {sum(n.values()):,} ({', '.join(f'{v:,} {k}' for k, v in n.items())})"
            for part, n in of.subsets.items()
        )
        lines += [f"Its parts, as published: {'; '.join(rows)}.", ""]
    lines += [f"{n}. {step}" for n, step in enumerate(of.steps, 1)]
    if of.layout:
        lines += ["", "```text", of.layout.rstrip(), "```"]
    lines += ["", "Known traps:", "", *(f"- {trap}" for trap in of.traps)]
    if not of.downloads and of.folder:
        lines += ["", f"`arlib data fetch {of.name}` does not exist, because {of.no_fetch}."]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Take Markdown's marks out of a sentence."""
    return re.sub(r"`([^`]*)`", r"\1", re.sub(r"<(\w+:[^>]*)>", r"\1", text))


def _filled(first: str, text: str) -> str:
    return textwrap.fill(
        text,
        width=96,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
