"""Who learns from which target: assigners give every box an object, samplers choose among them.

Everything works on a padded batch with fixed shapes and never asks the device for a number.
"""

from hrdet.matching.assigner import Assignment, MaxIoUAssigner, add_truth
from hrdet.matching.points import assign_points
from hrdet.matching.samplers import (
    CombinedSampler,
    InstanceBalancedPosSampler,
    IoUBalancedNegSampler,
    OHEMSampler,
    PseudoSampler,
    RandomSampler,
    Samples,
)

__all__ = [
    'Assignment',
    'CombinedSampler',
    'InstanceBalancedPosSampler',
    'IoUBalancedNegSampler',
    'MaxIoUAssigner',
    'OHEMSampler',
    'PseudoSampler',
    'RandomSampler',
    'Samples',
    'add_truth',
    'assign_points',
]
