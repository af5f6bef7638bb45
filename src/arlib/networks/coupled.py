"""The head of WSCNet: a map of sentiment, learned from image labels, coupled with the features."""

import torch
from torch import nn

DETECTORS = 4
"""k, how many detectors each emotion has."""


class CoupledHead(nn.Module):
    r"""Two branches on the last feature map F: one detects a sentiment map, one classifies with it.

    Each of C emotions has k detectors, 1x1 convolutions with responses f. Their mean is the
    emotion's map, whose mean over places is its detection score; the scores' softmax weighs the
    maps, and the sentiment map M weighs the features once more:

    .. math:: f_c = \frac{1}{k} \sum_{i=1}^{k} f_{c,i}, \quad v_c = G(f_c), \quad
        M = \sum_{c=1}^{C} \mathrm{softmax}(v)_c \, f_c, \quad
        y = W \, [G(F), G(F \circ M)] + b

    (Yang et al., "Weakly Supervised Coupled Networks for Visual Sentiment Analysis", 2018, Sec. 3),
    with G the mean over places. Both v and y have a loss, the cross-entropy with the image's label,
    and y predicts.

    Args:
        channels: D, those of the feature map.
        classes: C, the number of emotions.

    Example:
        >>> head = CoupledHead(channels=8, classes=2)
        >>> logits, scores, sentiment_map = head.branches(torch.rand(1, 8, 7, 5))
        >>> logits.shape, scores.shape, sentiment_map.shape
        (torch.Size([1, 2]), torch.Size([1, 2]), torch.Size([1, 1, 7, 5]))
    """

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.detectors = nn.Conv2d(channels, DETECTORS * classes, 1)
        self.classifier = nn.Linear(2 * channels, classes)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Logits y (N, C) of feature maps (N, D, h, w)."""
        return self.branches(maps)[0]

    def branches(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits y (N, C), detection scores v (N, C) and the sentiment map M (N, 1, h, w)."""
        responses = self.detectors(maps).unflatten(1, (-1, DETECTORS))  # (N, C, k, h, w)
        of_emotions = responses.mean(dim=2)  # (N, C, h, w)
        scores = of_emotions.mean(dim=(2, 3))  # (N, C)
        weights = scores.softmax(dim=1)[..., None, None]
        sentiment_map = (weights * of_emotions).sum(dim=1, keepdim=True)  # (N, 1, h, w)
        coupled = (maps * sentiment_map).mean(dim=(2, 3))  # (N, D)
        pooled = torch.cat([maps.mean(dim=(2, 3)), coupled], dim=1)  # (N, 2 D)
        return self.classifier(pooled), scores, sentiment_map


class CoupledNetwork(nn.Module):
    """A network up to its last feature map, and a coupled head on it."""

    def __init__(self, trunk: nn.Module, head: CoupledHead):
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Logits (N, C) of a normalised batch (N, 3, size, size)."""
        return self.head(self.trunk(batch))
