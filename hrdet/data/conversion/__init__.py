"""From a data set's download to the folders of images and label maps that configs name."""

from hrdet.data.conversion.convert import CONVERTERS, convert

__all__ = ['CONVERTERS', 'convert']
