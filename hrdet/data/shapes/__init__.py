"""A generated data set, to try everything on: overlapping textured shapes in COCO's layout."""

from hrdet.data.shapes.write import ShapesPaths, make_shapes

__all__ = ['ShapesPaths', 'make_shapes']
