"""What tables and figures call a network; loads no torch."""

_TITLES = {
    "alexnet": "AlexNet",
    "alexnet_tiny": "small AlexNet",
    "convnext_tiny": "ConvNeXt-T",
    "densenet121": "DenseNet-121",
    "efficientnet_b0": "EfficientNet-B0",
    "googlenet": "GoogLeNet",
    "inception_v3": "Inception v3",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3_large": "MobileNetV3-Large",
    "mobilenet_v3_small": "MobileNetV3-Small",
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "resnet152": "ResNet-152",
    "squeezenet1_0": "SqueezeNet 1.0",
    "squeezenet1_1": "SqueezeNet 1.1",
    "vgg11": "VGG-11",
    "vgg13": "VGG-13",
    "vgg16": "VGG-16",
    "vgg19": "VGG-19",
    "vgg_tiny": "small VGG",
    "vit_b_16": "ViT-B/16",
}


def title(name: str) -> str:
    """Name a backbone in words; one that has none keeps its name.

    Example:
        >>> title("mobilenet_v2"), title("vgg_tiny"), title("swin_t")
        ('MobileNetV2', 'small VGG', 'swin_t')
    """
    return _TITLES.get(name, name)
