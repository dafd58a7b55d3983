"""Formats of labelled images: recognise a folder, read its parts, write it in another format."""

from hrdet.data.formats.labels import Labels
from hrdet.data.formats.recognise import LabelledData, recognise_labels
from hrdet.data.formats.write import WRITERS, convert_labels

__all__ = ['WRITERS', 'LabelledData', 'Labels', 'convert_labels', 'recognise_labels']
