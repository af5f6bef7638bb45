"""The paper's protocol: one network fine-tuned on one weakly labelled set, tested on columns.

    pre-trained weights -> fine-tune on 90 % of a set -> score the columns -> other rows -> Table 1

Beside the paper's, a network may be frozen under linear heads, or fine-tuned on a column's folds.

Every stage is kept in the cache under its settings and the code that it uses, and goes on where it
was cut off.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arlib import datasets
from arlib.experiments.names import HELD_OUT, MODES, run_name
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
    "cam": "VGGNet + ft + CAM + lf",
    "wscnet": "WSCNet + VGGNet",
    "controls": "controls",
}
"""What an edition calls what is measured beside the scores -> the row of Table 1."""

PAPER_ROWS = ("sentibank", "pcnn-caffenet", "pcnn-vggnet", "vggnet", "former-fusion")

SCENES = "scenes-"
"""How the names of synthetic scenes begin."""


@dataclass(frozen=True)
class Finetuning:
    """What a network learns from.

    Attributes:
        dataset: its name, or the path of a table or folder; or of each column "none": the network
            is frozen, under a linear head fitted on the column's other folds; "shipped": under the
            head that comes with the package; "auto": the former, or the latter where labels are
            too few for a head of its own; "folds": one network a fold learns from the others.
        hold_out: the share that nothing learns from, of the fine-tuning set the column
            DATASET-held-out; 0 learns from all.
        training: settings of `arlib.networks.Training`.
    """

    dataset: str
    hold_out: float = 0.1
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """Settings of the paper's experiment on any datasets.

    Attributes:
        backbone: the network's name, as of `arlib.networks.load_backbone`.
        finetune: what it is fine-tuned on.
        columns: what is tested: names of datasets, such as "twitter1-five"; DATASET-held-out, the
            part of the fine-tuning set that nothing learned from; or paths.
        weights: of the backbone and of `caffenet` before: "auto", "random", or a file's path.
        pretrain: what both learn first, in the place of ImageNet; None: nothing.
        caffenet: the network in place of CaffeNet.
        anps: the dataset of adjective-noun pairs, for SentiBank; "" takes the fine-tuning set.
        pairs: a file that names the pairs of SentiBank's detectors, one a line; "" takes the 1,200
            whose detectors work best.
        proposals: a name in `arlib.proposals.make_proposals`, or a file of boxes.
        max_regions: N, the most regions an image.
        crop: "warp" or "square", as `arlib.scoring.score`.
        context: padding around a region, as a share of its sides.
        precision: of scoring, as `arlib.scoring.score`.
        features: of scoring: "crops" or "shared".
        batch_size: crops in one pass of scoring.
        fit_on: images, at most, of the fine-tuning part that classifiers on fixed features learn
            from (SentiBank, VGGNet, DeepSentiBank, early fusion); 0: they learn from the column's
            other folds instead, which have better labels where people gave them.
        reader: settings of the columns' reader, as of `arlib.datasets.load`.
        rows: what is measured beside the scores: "sentibank", "pcnn-caffenet", "pcnn-vggnet",
            "vggnet", "former-fusion", "deepsentibank", "cam", regions of class activation maps,
            "wscnet", a coupled head on the network, and "controls", crops of fixed places.
        seed: of the split, of training, of random weights and of synthetic scenes.
        local_share: of synthetic scenes, the share of the sentiment that objects carry, 0 to 1.
        scale: of synthetic scenes, the size of their sets, as `arlib.datasets.scenes.draw_set`.
        tested: of synthetic scenes, images at scale 1 of each set that nothing learns from.

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
    pretrain: Finetuning | None = None
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
    reader: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[str, ...] = PAPER_ROWS
    seed: int = 0
    local_share: float = 0.5
    scale: float = 0.35
    tested: int = 1600

    def __post_init__(self) -> None:
        """Refuse what no run could be made of."""
        if unknown := [row for row in self.rows if row not in ROWS]:
            raise ValueError(f"no row {unknown[0]!r}; there are {', '.join(ROWS)}")
        learned = [self.finetune] if self.pretrain is None else [self.finetune, self.pretrain]
        for each in learned:
            if not 0 <= each.hold_out <= 0.5:
                raise ValueError(f"hold_out must lie in [0, 0.5], not {each.hold_out}")
            Training.parse(each.training)
        source, own = self.finetune.dataset, f"{self.finetune.dataset}{HELD_OUT}"
        if own in self.columns and not self.finetune.hold_out:
            raise ValueError(f"nothing is held out of {source} for the column {own}")
        for column in self.columns:
            if column != own and datasets.source_of(column) == datasets.source_of(source):
                raise ValueError(
                    f"{column}: a network fine-tuned on {source} has seen its images; the column "
                    f"{own} holds those that it has not seen"
                )
        names = [self.run_name(column) for column in self.columns]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two columns would be one run, {twice.pop()}: rename a file")
        make_proposals(self.proposals, max_regions=self.max_regions)

    def with_paths(self, resolve: Callable[[str], str]) -> "Protocol":
        """Resolve what is no dataset's name but a path, wherever one is named."""

        def named(name: str) -> str:
            own = name.removesuffix(HELD_OUT)
            if own in datasets.names() or name in datasets.names():
                return name
            return resolve(own) + name[len(own) :]

        def located(learned: Finetuning) -> Finetuning:
            if learned.dataset in MODES:
                return learned
            return replace(learned, dataset=named(learned.dataset))

        if self.pairs and not Path(self.pairs).is_file():
            raise ValueError(f"parameter pairs: no file {self.pairs!r}")
        return replace(
            self,
            pairs=self.pairs and str(Path(self.pairs).resolve()),
            finetune=located(self.finetune),
            pretrain=self.pretrain and located(self.pretrain),
            columns=tuple(map(named, self.columns)),
        )

    @property
    def synthetic(self) -> bool:
        """Whether all that is learned from and tested are synthetic scenes."""
        return all(name.startswith(SCENES) for name in (self.finetune.dataset, *self.columns))

    def run_name(self, column: str) -> str:
        """Name the run of a column, after it, the network and what that learned from.

        A column of a synthetic protocol is enough of a name.
        """
        if self.synthetic:
            return column.removesuffix(HELD_OUT)
        return run_name(column, self.backbone, self.finetune.dataset)

    def runs(self, **how: Any) -> dict[str, Callable[[Path], Path]]:
        """Name the runs, each with the function that makes it, given the folder it goes into.

        `how` is as of `stages`.
        """
        stages = self.stages(**how)
        return {self.run_name(name): partial(stages.measure, name) for name in self.columns}

    def stages(
        self,
        *,
        progress: bool = True,
        say: Callable[[str], Any] | None = None,
        workers: Mapping[str, Any] | None = None,
        declared: Mapping[str, Any] | None = None,
    ) -> "Stages":
        """Create the `Stages`, which are done one by one.

        Args:
            progress: show bars.
            say: called with lines about them.
            workers: of scoring, `processes`, or `scheduler` and `resources`, as
                `arlib.scoring.score_in_shards` takes them.
            declared: what run.json holds as the settings of a run, in place of the protocol's.
        """
        from arlib.experiments.stages import Stages  # which loads what it takes to do them

        return Stages(self, progress, say, workers, declared)


def restore_protocol(facts: Mapping[str, Any]) -> Protocol:
    """Make the settings again from `asdict` of them, or from an edition's values."""
    lists = {name: tuple(facts[name]) for name in ("columns", "rows") if name in facts}
    learned = {
        name: Finetuning(**facts[name]) for name in ("finetune", "pretrain") if facts.get(name)
    }
    return Protocol(**{**facts, **learned, **lists})


def scenes_protocol(**settings: Any) -> Protocol:
    """Declare the protocol on synthetic scenes, small enough for a processor, in minutes.

    Objects stand for ImageNet, tagged scenes for Flickr, annotated ones for Twitter I and the
    small, unbalanced set for Twitter II.

    Args:
        settings: of `Protocol`, in the place of those here.

    Example:
        >>> list(scenes_protocol(seed=1).runs())
        ['scenes-annotated', 'scenes-folded', 'scenes-tagged']
    """
    objects = {"epochs": 4, "batch_size": 32, "lr": 0.02, "head_factor": 1, "step": 0.6}
    tags = {"epochs": 1, "batch_size": 32, "lr": 0.01, "head_factor": 2, "step": 0.7, "round": 40}
    here = Protocol(
        "vgg_tiny",
        Finetuning("scenes-tagged", training=tags),
        ("scenes-annotated", "scenes-folded", f"scenes-tagged{HELD_OUT}"),
        weights="random",
        pretrain=Finetuning("scenes-objects", training=objects),
        caffenet="alexnet_tiny",
        max_regions=60,
        batch_size=256,
        fit_on=0,
        rows=tuple(ROWS),
    )
    return replace(here, **settings)
