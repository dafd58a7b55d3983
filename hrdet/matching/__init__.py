"""Target assignment and sampling: assigners give each box an object, samplers choose among boxes.

May change: an assigner or sampler is a class with the same call.  Must stay: padded batches, static
shapes and no host synchronisation.
"""

from hrdet.matching.assigner import Assignment, MaxIoUAssigner
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
    'assign_points',
]
