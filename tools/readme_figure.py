"""Draw the README's figure: the method on a photograph that ships with scikit-image, CC0.

    .venv/bin/python tools/readme_figure.py

The network is the default one of `arlib predict`, whose weights are installed with the package.
"""

import io
from pathlib import Path

from PIL import Image
from skimage.data import coffee

from arlib.figures import show_pipeline
from arlib.method import sentiment_score
from arlib.scoring import prediction_from_scores, score_image

OUT = Path(__file__).parents[1] / "book" / "_static" / "method.png"


def main() -> None:
    """Score the photograph, draw, and write the figure in 128 colours."""
    image = coffee()
    scores = score_image(image)
    prediction = prediction_from_scores(scores, k=8, alpha=1.0, beta=0.5)
    regions = scores.isel(image=0)
    figure = show_pipeline(
        image,
        regions.box.values,
        regions.objectness.values,
        sentiment_score(regions.region_probability).values,
        prediction,
    )
    file = io.BytesIO()
    figure.savefig(file, dpi=160)
    Image.open(file).convert("RGB").quantize(128).save(OUT, optimize=True)
    print(f"{OUT}: {OUT.stat().st_size / 1000:.0f} KB; {prediction.label} {prediction.probability}")


if __name__ == "__main__":
    main()
