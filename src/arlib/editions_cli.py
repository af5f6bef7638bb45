"""`arlib editions`: which editions there are, and where two that were built here differ."""

import json
from dataclasses import asdict

import click

FORMAT = click.option(
    "--format", "form", default="text", type=click.Choice(["text", "json"]), help="For whom."
)


@click.group(invoke_without_command=True)
@FORMAT
@click.pass_context
def editions(context: click.Context, form: str) -> None:
    """List the editions of the book, and which of them were built here and when.

    As JSON: edition -> what was noted when it was built here, null where it was not.
    """
    if context.invoked_subcommand:
        return
    from arlib.comparing import built, moment
    from arlib.editions import available, find_book, load_edition

    root = find_book()
    there = built(root)
    names = sorted({*available(root), *there})
    if form == "json":
        click.echo(json.dumps({name: there.get(name) for name in names}))
        return
    for name in names:
        when = moment(there[name]) if name in there else "not built"
        title = there[name]["title"] if name in there else load_edition(root, name).title
        click.echo(f"{name:<12} {when:<22} {title}")


@editions.command()
@click.argument("one")
@click.argument("other")
@FORMAT
def compare(one: str, other: str, form: str) -> None:
    """Tell which parameters of two built editions differ, and which cells print otherwise.

    Exit status 0 however much they differ, 1 if one of them was not built here.
    """
    from arlib.comparing import beginning, compare_editions
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
            shown = "(no such cell)" if text is None else (beginning(text) or "(nothing)")
            click.echo(f"  {name}:\n    " + "\n    ".join(shown.splitlines()))
