"""What a staged book's pages link to, where its repository has a public address."""

import pytest
import yaml

from arlib.editions import EditionError
from arlib.website import configured


@pytest.fixture
def stage(tmp_path):
    config = {"title": "A book", "html": {"use_edit_page_button": False, "favicon": "a.svg"}}
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(config))
    return tmp_path


def test_without_an_address_nothing_changes(stage):
    before = (stage / "_config.yml").read_bytes()
    configured(stage, None)
    assert (stage / "_config.yml").read_bytes() == before


def test_with_one_pages_link_to_source_colab_and_binder(stage):
    configured(stage, "https://github.com/someone/affective/")
    config = yaml.safe_load((stage / "_config.yml").read_text())
    assert config["repository"]["url"] == "https://github.com/someone/affective"
    assert config["html"] == {
        "favicon": "a.svg",
        "use_edit_page_button": True,
        "use_repository_button": True,
    }
    assert config["launch_buttons"]["colab_url"] == "https://colab.research.google.com"
    assert config["launch_buttons"]["binderhub_url"] == "https://mybinder.org"


@pytest.mark.parametrize("address", ["", "someone/affective", "http://a.b/c/d", "https://a.b"])
def test_what_is_no_address_is_refused(stage, address):
    with pytest.raises(EditionError, match=r"is no address such as https://github\.com/"):
        configured(stage, address)
