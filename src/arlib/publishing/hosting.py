"""Where others find the book: the addresses of its repository and of its site, and what follows."""

import re
from dataclasses import dataclass
from typing import Any

from arlib.publishing.editions import EditionError

_REPOSITORY = re.compile(r"https://(github|gitlab)\.com/[\w.-]+/[\w.-]*\w")


_ADDRESS = re.compile(r"https?://[\w.-]+(:\d+)?(/[\w.~-]+)*")


@dataclass(frozen=True)
class Public:
    """Addresses under which others find the book; None where it has none.

    Attributes:
        repository: on GitHub or GitLab, such as "https://github.com/OWNER/NAME".
        address: the site's own, such as "https://OWNER.github.io/NAME"; links to a page show its
            picture only where it is known.

    Raises:
        EditionError: one of them is no such address.

    Example:
        >>> Public("https://github.com/someone/affective/").repository
        'https://github.com/someone/affective'
        >>> Public("ftp://somewhere")
        Traceback (most recent call last):
        ...
        arlib.publishing.editions.EditionError: 'ftp://somewhere' is no address such as https://github.com/...
    """

    repository: str | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        """Check both, and drop a last slash."""
        for name, form, example in (
            ("repository", _REPOSITORY, "https://github.com/OWNER/NAME or one on gitlab.com"),
            ("address", _ADDRESS, "https://OWNER.github.io/NAME"),
        ):
            given = getattr(self, name)
            if given is None:
                continue
            if not form.fullmatch(given.removesuffix("/")):
                raise EditionError(f"{given!r} is no address such as {example}")
            object.__setattr__(self, name, given.removesuffix("/"))

    @property
    def on_github(self) -> bool:
        """Whether Colab can open it: it opens notebooks on GitHub alone."""
        return self.repository is not None and self.repository.startswith("https://github.com/")

    def theme_options(self) -> dict[str, Any]:
        """What the theme is told of the repository; nothing where there is none.

        Example:
            >>> Public().theme_options()
            {}
            >>> options = Public("https://gitlab.com/someone/affective").theme_options()
            >>> sorted(options["launch_buttons"])
            ['binderhub_url', 'notebook_interface']
        """
        if self.repository is None:
            return {}
        launch = {"binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab"}
        if self.on_github:
            launch["colab_url"] = "https://colab.research.google.com"
        return {
            "repository_url": self.repository,
            "repository_branch": "main",
            "path_to_docs": "",
            "launch_buttons": launch,
            "use_repository_button": True,
            "use_edit_page_button": True,
        }

    def first_on_colab(self) -> str | None:
        """Tell what a chapter needs on Colab, which opens a notebook without its repository.

        Example:
            >>> print(Public("https://github.com/someone/affective").first_on_colab())
            !git clone --depth 1 https://github.com/someone/affective
            !pip install --quiet "./affective[book,training]"
            %cd affective/book
        """
        if not self.on_github or self.repository is None:
            return None
        name = self.repository.rpartition("/")[2]
        clone = f"!git clone --depth 1 {self.repository}"
        install = f'!pip install --quiet "./{name}[book,training]"'
        return f"{clone}\n{install}\n%cd {name}/book"
