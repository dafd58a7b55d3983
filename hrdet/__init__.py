"""hrdet: HRNet object detection, driven by config files."""

__version__ = '0.1.0'
