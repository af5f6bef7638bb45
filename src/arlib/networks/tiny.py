"""Small networks for the synthetic scenes, at 48 pixels, after VGG and AlexNet."""

from torch import nn

SIZE = 48
"""Height and width of their input, in pixels."""


def vgg_tiny(num_classes: int = 36) -> nn.Sequential:
    """Build a small VGG (Simonyan and Zisserman 2015): a stack of small kernels."""
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


def alexnet_tiny(num_classes: int = 36) -> nn.Sequential:
    """Build a small AlexNet (Krizhevsky et al. 2012): large kernels, overlapping pooling, dropout.

    It stands for CaffeNet, which is AlexNet with pooling and normalisation in the other order.
    """
    features = nn.Sequential(
        *_convolution(3, 32, kernel=7, stride=2),  # 24 x 24
        nn.MaxPool2d(3, 2),  # 11 x 11
        *_convolution(32, 64, kernel=5),
        nn.MaxPool2d(3, 2),  # 5 x 5
        *_convolution(64, 96),
    )
    return nn.Sequential(
        features,
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(96 * 5 * 5, 128),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(128, num_classes),
    )


NETWORKS = {"vgg_tiny": vgg_tiny, "alexnet_tiny": alexnet_tiny}


def _convolution(entering: int, leaving: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    layer = nn.Conv2d(entering, leaving, kernel, stride, padding=kernel // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return [layer, nn.ReLU(inplace=True)]
