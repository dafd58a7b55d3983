"""Annotations of boxes: one table, its readers and its filters.

May change: a reader for another format returns an ``AnnotationTable`` and a list of ``Problem``.
Must stay: every problem names file and entry; filters count what they leave out.
"""

from hrdet.data.annotations.coco import read_coco
from hrdet.data.annotations.filters import AnnotationReport, select
from hrdet.data.annotations.labelme import read_labelme
from hrdet.data.annotations.proposals import read_proposals
from hrdet.data.annotations.table import AnnotationTable
from hrdet.data.annotations.voc import read_voc, read_voc_files
from hrdet.data.annotations.yolo import read_yolo

__all__ = [
    'AnnotationReport',
    'AnnotationTable',
    'read_coco',
    'read_labelme',
    'read_proposals',
    'read_voc',
    'read_voc_files',
    'read_yolo',
    'select',
]
