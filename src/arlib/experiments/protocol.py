"""The paper's protocol: one network fine-tuned on one weakly labelled set, tested on columns.

    pre-trained weights -> fine-tune on 90 % of a set -> score the columns -> other rows -> Table 1

Every stage is kept in the cache under its settings and the code that it uses, and goes on where it
was cut off.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arlib import datasets
from arlib.networks import Training
from arlib.proposals import make_proposals

if TYPE_CHECKING:
    from arlib.experiments.stages import Stages

STAGES = ("pretrain", "finetune", "score", "rows")
"""What there is to do, in order: each takes what those before it made."""

FORMER_FUSION = "VGGNet + ft + obj + senti + ff (K = 1)"

ROWS = {
    "sentibank": "SentiBank",
    "pcnn-caffenet": "PCNN + CaffeNet",
    "pcnn-vggnet": "PCNN + VGGNet",
    "vggnet": "VGGNet",
    "former-fusion": FORMER_FUSION,
    "deepsentibank": "DeepSentiBank",
    "controls": "controls",
}
"""What an edition calls what is measured beside the scores -> the row of Table 1."""

PAPER_ROWS = ("sentibank", "pcnn-caffenet", "pcnn-vggnet", "vggnet", "former-fusion")

HELD_OUT = "-held-out"


@dataclass(frozen=True)
class Finetuning:
    """What the network learns from.

    Attributes:
        dataset: its name, or the path of a table or folder.
        hold_out: the share that nothing learns from: the column DATASET-held-out.
        training: settings of `arlib.networks.Training`.
    """

    dataset: str
    hold_out: float = 0.1
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """Settings of the paper's experiment on any datasets.

    Attributes:
        backbone: torchvision's name of the network.
        finetune: what it is fine-tuned on.
        columns: what is tested: names of datasets, such as "twitter1-five"; DATASET-held-out, the
            part of the fine-tuning set that nothing learned from; or paths.
        weights: of the backbone and of `caffenet` before: "auto", "random", or a file's path.
        caffenet: the network in place of CaffeNet.
        anps: the dataset of adjective-noun pairs, for SentiBank; "" takes the fine-tuning set.
        pairs: a file that names the pairs of SentiBank's detectors, one a line; "" takes the 1,200
            whose detectors work best.
        proposals: a name in `arlib.proposals.make_proposals`.
        max_regions: N, the most regions an image.
        crop: "warp" or "square", as `arlib.scoring.score`.
        context: padding around a region, as a share of its sides.
        precision: of scoring, as `arlib.scoring.score`.
        features: of scoring: "crops" or "shared".
        batch_size: crops in one pass of scoring.
        fit_on: images, at most, of the fine-tuning part that classifiers on fixed features learn
            from (SentiBank, VGGNet, DeepSentiBank, early fusion); 0: they learn from the column's
            other folds instead, which have better labels where people gave them.
        rows: what is measured beside the scores: "sentibank", "pcnn-caffenet", "pcnn-vggnet",
            "vggnet", "former-fusion", "deepsentibank", and "controls", crops of fixed places.
        seed: of the split, of training and of random weights.

    Raises:
        ValueError: no such row, two columns of one name, a share that leaves nothing to learn
            from, or a column that the network would have learned from.

    Example:
        >>> protocol = Protocol("vgg16", Finetuning("vso"), ("twitter1-five", "vso-held-out"))
        >>> list(protocol.runs())
        ['twitter1-five-vgg16-ft-vso', 'vso-held-out-vgg16-ft-vso']
    """

    backbone: str
    finetune: Finetuning
    columns: tuple[str, ...]
    weights: str = "auto"
    caffenet: str = "alexnet"
    anps: str = ""
    pairs: str = ""
    proposals: str = "edge_boxes"
    max_regions: int = 100
    crop: str = "warp"
    context: float = 0.0
    precision: str = "float32"
    features: str = "crops"
    batch_size: int = 64
    fit_on: int = 10_000
    rows: tuple[str, ...] = PAPER_ROWS
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no run could be made of."""
        if unknown := [row for row in self.rows if row not in ROWS]:
            raise ValueError(f"no row {unknown[0]!r}; there are {', '.join(ROWS)}")
        if not 0 < self.finetune.hold_out <= 0.5:
            raise ValueError(f"hold_out must be above 0, at most 0.5: {self.finetune.hold_out}")
        source, own = self.finetune.dataset, f"{self.finetune.dataset}{HELD_OUT}"
        for column in self.columns:
            if column != own and datasets.source_of(column) == datasets.source_of(source):
                raise ValueError(
                    f"{column}: a network fine-tuned on {source} has seen its images; the column "
                    f"{own} is the part that it has not"
                )
        names = [self.run_name(column) for column in self.columns]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two columns would be one run, {twice.pop()}: rename a file")
        Training.parse(self.finetune.training)
        make_proposals(self.proposals, max_regions=self.max_regions)

    def with_paths(self, resolve: Callable[[str], str]) -> "Protocol":
        """Resolve what is no dataset's name but a path, wherever one is named."""

        def named(name: str) -> str:
            own = name.removesuffix(HELD_OUT)
            if own in datasets.names() or name in datasets.names():
                return name
            return resolve(own) + name[len(own) :]

        finetune = replace(self.finetune, dataset=named(self.finetune.dataset))
        if self.pairs and not Path(self.pairs).is_file():
            raise ValueError(f"parameter pairs: no file {self.pairs!r}")
        pairs = self.pairs and str(Path(self.pairs).resolve())
        return replace(
            self, finetune=finetune, pairs=pairs, columns=tuple(map(named, self.columns))
        )

    def run_name(self, column: str) -> str:
        """Name the run of a column, after it, the network and what that learned from."""
        return f"{_word(column)}-{self.backbone}-ft-{_word(self.finetune.dataset)}"

    def runs(
        self, *, progress: bool = True, say: Callable[[str], Any] | None = None
    ) -> dict[str, Callable[[Path], Path]]:
        """Name the runs, each with the function that makes it, given the folder it goes into."""
        stages = self.stages(progress=progress, say=say)
        return {self.run_name(name): partial(stages.measure, name) for name in self.columns}

    def stages(self, *, progress: bool = True, say: Callable[[str], Any] | None = None) -> "Stages":
        """Make what does the stages, one by one; `say` is called with lines about them."""
        from arlib.experiments.stages import Stages  # which loads what it takes to do them

        return Stages(self, progress, say)


def restore_protocol(facts: Mapping[str, Any]) -> Protocol:
    """Make the settings again from `asdict` of them, or from an edition's values."""
    lists = {name: tuple(facts[name]) for name in ("columns", "rows") if name in facts}
    return Protocol(**{**facts, "finetune": Finetuning(**facts["finetune"]), **lists})


def _word(name: str) -> str:
    """Turn a dataset's name into a part of a folder's name; a path becomes own-STEM.

    >>> _word("twitter1-five"), _word("vso-held-out"), _word("photos/my labels.csv")
    ('twitter1-five', 'vso-held-out', 'own-my_labels')
    """
    own = name.removesuffix(HELD_OUT)
    if own in datasets.names() or name in datasets.names():
        return name
    return re.sub(r"[^\w.-]", "_", f"own-{Path(own).stem}{name[len(own) :]}")
