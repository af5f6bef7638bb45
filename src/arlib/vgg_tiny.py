"""VGG's idea (Simonyan and Zisserman 2015) at 48 pixels, for the embedded world: 0.8 M weights."""

from torch import nn


def vgg_tiny(num_classes: int = 36) -> nn.Sequential:
    """Build the network: four convolutions, two poolings, two fully connected layers.

    Args:
        num_classes: M.

    Example:
        >>> sum(p.numel() for p in vgg_tiny(2).parameters())
        832578
    """
    features = nn.Sequential(
        *_convolution(3, 32, kernel=5, stride=2),  # 24 x 24
        *_convolution(32, 64),
        nn.MaxPool2d(2),
        *_convolution(64, 128),  # 12 x 12
        nn.MaxPool2d(2),
        *_convolution(128, 128),  # 6 x 6
    )
    return nn.Sequential(
        features,
        nn.Flatten(),
        nn.Linear(128 * 6 * 6, 128),
        nn.ReLU(inplace=True),
        nn.Linear(128, num_classes),
    )


def _convolution(entering: int, leaving: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    layer = nn.Conv2d(entering, leaving, kernel, stride, padding=kernel // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return [layer, nn.ReLU(inplace=True)]
