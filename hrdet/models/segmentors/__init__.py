"""Semantic segmentors: one class for every pixel.

May change: how logits become label maps in less time and memory.  Must stay: the two steps in which
logits are resized, and the names of parameters, which are those of mmsegmentation's checkpoints.
"""

from hrdet.models.segmentors.encoder_decoder import EncoderDecoder

__all__ = ['EncoderDecoder']
