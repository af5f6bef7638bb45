"""Draw the image that stands for the book where its pages are linked: synthetic scenes.

.venv/bin/python tools/social_card.py
"""

import io
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from arlib.datasets.scenes import SceneGenerator, draw_scenes, render
from arlib.evaluation import box_iou
from arlib.figures import NEGATIVE, POSITIVE, draw_boxes, show_image

OUT = Path(__file__).parents[1] / "book" / "_static" / "card.png"


def chosen(scenes) -> list[int]:
    """Pick four pictures, glad and sad in turn, whose faces stand free."""
    free = []
    for row, (boxes, there) in enumerate(zip(scenes.boxes(), scenes.present, strict=True)):
        faces = boxes[there & scenes.face[row]]
        overlap = box_iou(faces, boxes[there])  # each face meets itself
        if len(faces) > 1 and (overlap > 0.01).sum() == len(faces):
            free.append(row)
    glad = [row for row in free if scenes.local_mood[row] > 0]
    sad = [row for row in free if scenes.local_mood[row] < 0]
    return [glad[0], sad[0], sad[1], glad[1]]


def draw() -> Image.Image:
    """Return the card: 1200 x 630 pixels, in 128 colours."""
    scenes = draw_scenes(SceneGenerator(), 200, seed=0)
    shown = chosen(scenes)
    figure = Figure(figsize=(12, 6.3), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.04, 0.7, "Affective\nRegions", fontsize=54, weight="bold", va="center")
    about = "Which parts of a picture\ncarry its sentiment,\nand what they add:\nan executable book"
    figure.text(0.04, 0.3, about, fontsize=23, va="center", linespacing=1.4)
    for place, (row, picture) in enumerate(zip(shown, render(scenes, shown), strict=True)):
        across, down = place % 2, place // 2
        axes = figure.add_axes((0.48 + 0.25 * across, 0.51 - 0.47 * down, 0.24, 0.457))
        show_image(axes, picture)
        axes.images[0].set_interpolation("bicubic")
        carry = scenes.face[row] & scenes.present[row]
        moods = scenes.expression[row][carry]
        colours = np.where(moods > 0, POSITIVE, NEGATIVE).tolist()
        draw_boxes(axes, scenes.boxes()[row][carry], colours=colours, linewidth=4)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100)
    return Image.open(drawn).convert("RGB").quantize(128)


if __name__ == "__main__":
    draw().save(OUT, optimize=True)
    print(f"{OUT}: {OUT.stat().st_size / 1000:.0f} KB")
