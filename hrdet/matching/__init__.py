"""Target assignment and sampling: assigners give each box an object, samplers choose among boxes.

Everything works on a padded batch with static shapes and without host synchronisation.
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
