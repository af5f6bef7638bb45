"""The paper's protocol run on datasets, runs on disk, and the other rows of Table 1."""
