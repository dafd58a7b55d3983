"""A generated data set, to try every task on: overlapping textured shapes on textured grounds."""

from hrdet.data.shapes.folders import LabelMapPaths, make_class_folders, make_label_maps
from hrdet.data.shapes.write import ShapesPaths, make_shapes

__all__ = ['LabelMapPaths', 'ShapesPaths', 'make_class_folders', 'make_label_maps', 'make_shapes']
