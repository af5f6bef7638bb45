"""The other rows of the paper's Table 1: methods that do not look at regions."""
