"""Addresses of the book: taken as they are, or refused before anything is run."""

import pytest

from arlib.publishing.editions import EditionError
from arlib.publishing.hosting import Public


@pytest.mark.parametrize(
    "address",
    [
        "",
        "someone/affective",
        "http://github.com/someone/affective",
        "https://github.com/someone",
        "https://github.com/someone/",
        "https://github.com/someone/affective/tree/main",
        "https://github.com/someone/..",
        "https://github.com.example.org/someone/affective",
        "https://github.com/someone/affective && rm -r .",
        'https://github.com/someone/"affective',
        "https://github.com/someone/affective\n",
        "https://codeberg.org/someone/affective",
    ],
)
def test_what_is_no_repository_is_refused(address):
    with pytest.raises(EditionError, match=r"is no address such as https://github\.com/OWNER/NAME"):
        Public(address)


@pytest.mark.parametrize(
    "address", ["", "a.org", "ftp://a.org", "javascript:alert(1)", 'https://a.org/"', "https://a b"]
)
def test_what_is_no_address_of_a_site_is_refused(address):
    with pytest.raises(EditionError, match=r"is no address such as https://OWNER\.github\.io/NAME"):
        Public(address=address)


@pytest.mark.parametrize("name", ["affective", "a.b-c_d", "1", ".github"])
def test_repositories(name):
    public = Public(f"https://github.com/some-one/{name}/")
    assert public.repository == f"https://github.com/some-one/{name}"
    assert public.first_on_colab().splitlines()[-1] == f"%cd {name}/book"


@pytest.mark.parametrize(
    "address", ["https://a.org", "http://localhost:8000/b", "https://a.org/~b"]
)
def test_sites(address):
    assert Public(address=f"{address}/").address == Public(address=address).address == address


def test_colab_opens_what_is_on_github_alone():
    assert Public("https://gitlab.com/someone/affective").first_on_colab() is None
    assert Public().first_on_colab() is None
