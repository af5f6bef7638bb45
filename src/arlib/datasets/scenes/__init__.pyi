from .benchmark import draw_set as draw_set, ground_truth as ground_truth
from .export import export_scenes as export_scenes
from .generator import SceneGenerator as SceneGenerator, draw_scenes as draw_scenes
from .rendering import render as render
