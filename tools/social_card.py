"""Draw the image that links to the book preview: synthetic scenes.

.venv/bin/python tools/social_card.py
"""

import io
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from arlib.datasets.scenes import SceneGenerator, draw_scenes, render
from arlib.evaluation import box_iou

POSITIVE, NEGATIVE = "#0072B2", "#E69F00"  # as in the book's figures
OUT = Path(__file__).parents[1] / "book" / "_static" / "card.png"


def chosen(scenes) -> list[int]:
    """Pick four scenes, glad and sad in turn, whose faces overlap nothing."""
    free = []
    for row, (boxes, present) in enumerate(zip(scenes.boxes(), scenes.present, strict=True)):
        faces = boxes[present & scenes.face[row]]
        overlap = box_iou(faces, boxes[present])  # each face meets itself
        if len(faces) > 1 and (overlap > 0.01).sum() == len(faces):
            free.append(row)
    glad = [row for row in free if scenes.local_mood[row] > 0]
    sad = [row for row in free if scenes.local_mood[row] < 0]
    return [glad[0], sad[0], sad[1], glad[1]]


def draw() -> Image.Image:
    """Return the card: 1200 x 630 pixels, in 128 colours."""
    scenes = draw_scenes(SceneGenerator(), 200, seed=0)
    rows = chosen(scenes)
    figure = Figure(figsize=(12, 6.3), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.04, 0.7, "Affective\nRegions", fontsize=54, weight="bold", va="center")
    about = (
        "Which regions of an image\ncarry its sentiment,\nand what they add:\nan executable book"
    )
    figure.text(0.04, 0.3, about, fontsize=23, va="center", linespacing=1.4)
    for place, (row, image) in enumerate(zip(rows, render(scenes, rows), strict=True)):
        across, down = place % 2, place // 2
        axes = figure.add_axes((0.48 + 0.25 * across, 0.51 - 0.47 * down, 0.24, 0.457))
        axes.imshow(image, interpolation="bicubic")
        axes.set_axis_off()
        carry = scenes.face[row] & scenes.present[row]
        moods = scenes.expression[row][carry]
        colours = np.where(moods > 0, POSITIVE, NEGATIVE).tolist()
        for (x0, y0, x1, y1), colour in zip(scenes.boxes()[row][carry], colours, strict=True):
            for edge, width in (("white", 5.5), (colour, 4)):
                frame = Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False)
                frame.set(edgecolor=edge, linewidth=width)
                axes.add_patch(frame)
    file = io.BytesIO()
    figure.savefig(file, dpi=100)
    return Image.open(file).convert("RGB").quantize(128)


if __name__ == "__main__":
    draw().save(OUT, optimize=True)
    print(f"{OUT}: {OUT.stat().st_size / 1000:.0f} KB")
