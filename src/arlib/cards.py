"""What a page says of itself where it is linked: title, description and the book's picture."""

import re
from html import escape

from bs4 import BeautifulSoup

PICTURE = "_static/card.png"
"""Within the site, 1200 x 630 pixels, drawn by `tools/social_card.py`."""

SAYS = "Scenes of the drawn world, with the faces that carry their sentiment outlined."
_LONGEST = 200


def with_card(page: str, name: str, *, site: str, address: str | None = None) -> str:
    """Put Open Graph's and the description's meta elements into a page's head.

    Args:
        page: HTML of Jupyter Book's theme.
        name: of the page within the site, such as "book/index".
        site: the book's title.
        address: the site's public address. Without one the picture's is relative, and those who
            show links to pages mostly leave it out.

    Example:
        >>> page = "<title>Fusion &#8212; A book</title><article><p>Adds.</p></article>"
        >>> made = with_card(page, "book/05", site="A book", address="https://a.org/b")
        >>> for line in made.splitlines()[1:4]:
        ...     print(line)
        <meta name="description" content="Adds." />
        <meta property="og:title" content="Fusion" />
        <meta property="og:description" content="Adds." />
    """
    soup = BeautifulSoup(page, "html.parser")
    title = soup.title.get_text() if soup.title else site
    told = description(soup)
    up = "../" * name.count("/") if address is None else f"{address}/"
    named = {
        "og:title": re.sub(rf"\s+[—-]\s+{re.escape(site)}$", "", title.strip()) or site,
        "og:description": told,
        "og:type": "website" if name.endswith("index") else "article",
        "og:site_name": site,
        "og:url": f"{up}{name}.html" if address else "",
        "og:image": f"{up}{PICTURE}",
        "og:image:width": "1200",
        "og:image:height": "630",
        "og:image:alt": SAYS,
    }
    lines = [_meta("name", "description", told)] if told else []
    lines += [_meta("property", key, value) for key, value in named.items() if value]
    lines.append(_meta("name", "twitter:card", "summary_large_image"))
    return page.replace("</title>", "</title>\n" + "\n".join(lines), 1)


def description(soup: BeautifulSoup) -> str:
    r"""First sentences of a page's first paragraph, as a text; empty where it has none.

    Example:
        >>> page = r"<article><p>The \(\alpha\) of <b>Eq. 2</b> [Sun et al., 2016].</p></article>"
        >>> description(BeautifulSoup(page, "html.parser"))
        'The alpha of Eq. 2.'
    """
    first = soup.select_one("article p")
    text = " ".join(first.get_text().split()) if first else ""
    text = re.sub(r"\\\((.*?)\\\)", lambda found: found[1].replace("\\", ""), text)
    text = re.sub(r" \[[^\]]*\d{4}\w?\]", "", text)
    if len(text) <= _LONGEST:
        return text
    whole = [end.end() for end in re.finditer(r"\w[.?!](?= [A-Z])", text[:_LONGEST])]
    if whole and whole[-1] > _LONGEST // 3:
        return text[: whole[-1]]
    return text[: _LONGEST - 2].rsplit(" ", 1)[0] + " …"


def front(first: str, page: str) -> str:
    """Make the page under the site's own address, which leads on to the first of the book.

    Args:
        first: name of that page, such as "book/index".
        page: its HTML, with a card: this one has the same.

    Example:
        >>> print(front("book/index", "<meta property='og:title' content='A'>"))
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8" />
        <title>A</title>
        <meta http-equiv="refresh" content="0; url=book/index.html" />
        <meta content="A" property="og:title"/>
        </head>
        <body><p><a href="book/index.html">A</a></p></body>
        </html>
        <BLANKLINE>
    """
    soup = BeautifulSoup(page, "html.parser")
    said = soup.select_one('meta[property="og:title"]')
    title = escape(str(said["content"])) if said else first
    shown = soup.select('meta[name="description"], meta[property^="og:"], meta[name^="twitter:"]')
    up = "../" * first.count("/")
    for meta in shown:
        meta["content"] = str(meta["content"]).removeprefix(up)
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8" />',
        f"<title>{title}</title>",
        f'<meta http-equiv="refresh" content="0; url={first}.html" />',
        *map(str, shown),
        "</head>",
        f'<body><p><a href="{first}.html">{title}</a></p></body>',
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def _meta(kind: str, name: str, content: str) -> str:
    return f'<meta {kind}="{name}" content="{escape(content)}" />'
