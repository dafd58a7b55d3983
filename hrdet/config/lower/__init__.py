"""Lowering: configs of every language, one file each, to the one form that is built and run."""

from hrdet.config.lower.language import lower

__all__ = ['lower']
