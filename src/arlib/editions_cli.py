"""`arlib editions`: which editions there are, and where two that were built here differ."""

import json
from dataclasses import asdict

import click


@click.group(invoke_without_command=True)
@click.pass_context
def editions(context: click.Context) -> None:
    """List the editions of the book, and which of them were built here and when."""
    if context.invoked_subcommand:
        return
    from arlib.comparing import built, moment
    from arlib.editions import available, find_book, load_edition

    root = find_book()
    there = built(root)
    for name in available(root):
        when = moment(there[name]) if name in there else "not built"
        click.echo(f"{name:<12} {when:<22} {load_edition(root, name).title}")


@editions.command()
@click.argument("one")
@click.argument("other")
@click.option("--format", "form", default="text", type=click.Choice(["text", "json"]))
def compare(one: str, other: str, form: str) -> None:
    """Tell which parameters of two built editions differ, and which cells print otherwise."""
    from arlib.comparing import compare_editions
    from arlib.editions import find_book

    found = compare_editions(find_book(), one, other)
    if form == "json":
        click.echo(json.dumps(asdict(found)))
        return
    for name, values in found.parameters.items():
        click.echo(f"{name}: {values[0]!r} | {values[1]!r}")
    click.echo(f"{len(found.cells)} cells print otherwise, {found.same} the same")
    for cell in found.cells:
        first = cell.source.strip().partition("\n")[0]
        click.echo(f"\n{cell.chapter}: {first}")
        for name, text in zip(found.names, cell.outputs, strict=True):
            shown = "(no such cell)" if text is None else (text.strip() or "(nothing)")
            lines = shown.splitlines()
            more = f"\n    ... and {len(lines) - 6} lines more" if len(lines) > 6 else ""
            click.echo(f"  {name}:\n    " + "\n    ".join(lines[:6]) + more)
