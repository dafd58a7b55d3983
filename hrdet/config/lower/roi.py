"""Lower the second stage: RoI heads, with ``rcnn`` of ``train_cfg`` and ``test_cfg``."""

from dataclasses import dataclass
from typing import Any, Literal

from hrdet.config.lower.parts import (
    box_head,
    mask_head,
    matching,
    roi_extractor,
    semantic_head,
)
from hrdet.config.lower.parts import nms as read_nms
from hrdet.config.node import Node, check, check_choice, check_typed, is_number, read
from hrdet.ranges import Count, Fraction


@dataclass(slots=True, kw_only=True)
class TrainCfg:
    """The section ``train_cfg`` of a detector of two stages."""

    rpn: Node
    rcnn: Node | list[Node]  # one for all stages, or for each
    rpn_proposal: Node | None = None
    stage_loss_weights: Any = None


@dataclass(slots=True, kw_only=True)
class TestCfg:
    """The section ``test_cfg`` of a detector of two stages."""

    __test__ = False  # no class of tests

    rpn: Node
    rcnn: Node
    keep_all_stages: Literal[False] = False


def faster_rcnn(
    path: str, *, bbox_roi_extractor: Node, bbox_head: Node, train: TrainCfg, test: TestCfg
) -> Node:
    """The head of a Faster R-CNN."""
    return _one_stage(path, bbox_roi_extractor, bbox_head, {}, train, test)


def mask_rcnn(
    path: str,
    *,
    bbox_roi_extractor: Node,
    bbox_head: Node,
    mask_roi_extractor: Node,
    mask_head: Node,
    train: TrainCfg,
    test: TestCfg,
) -> Node:
    """The head of a Mask R-CNN."""
    masks = _mask_parts(path, mask_roi_extractor, mask_head)
    return _one_stage(path, bbox_roi_extractor, bbox_head, masks, train, test)


def _one_stage(
    path: str, extractor: Node, head: Node, masks: dict[str, Any], train: TrainCfg, test: TestCfg
) -> Node:
    one = train.stage_loss_weights is None
    check(one, 'train_cfg.stage_loss_weights', 'this detector has one stage: leave it out')
    sampler, mask_size = read(_training, train.rcnn, 'train_cfg.rcnn', masks=bool(masks))
    return _roi_head(
        path, 'StandardRoIHead', extractor, test, masks | mask_size,
        bbox_head=box_head(head, f'{path}.bbox_head'),
        region_sampler=sampler,
    )  # fmt: skip


def cascade_rcnn(
    path: str,
    *,
    num_stages: Count,
    bbox_roi_extractor: Node,
    bbox_head: Node | list[Node],
    mask_roi_extractor: Node | None = None,
    mask_head: Node | list[Node] | None = None,
    train: TrainCfg,
    test: TestCfg,
) -> Node:
    """The heads of a Cascade R-CNN, or of a Cascade Mask R-CNN."""
    masks = {}
    if mask_head is not None or mask_roi_extractor is not None:
        masks = _mask_parts(path, mask_roi_extractor, mask_head, stages=num_stages)
    # 1. One box head, and one section of ``train_cfg.rcnn``, for each stage.
    boxes = _for_stages(bbox_head, num_stages, f'{path}.bbox_head')
    is_list = isinstance(train.rcnn, (list, tuple))
    check(is_list, 'train_cfg.rcnn', 'a cascade needs a list with a dict for each stage')
    stages = [
        read(_training, section, section.path, masks=bool(masks))
        for section in _for_stages(train.rcnn, num_stages, 'train_cfg.rcnn')
    ]
    # 2. What they share: the extractors, the settings of tests, and the size of mask targets.
    # All stages share one mask extractor, so that they need one mask_size.
    sizes = [size for _, size in stages]
    check(sizes.count(sizes[0]) == num_stages, 'train_cfg.rcnn', 'the stages differ in mask_size')
    return _roi_head(
        path, 'CascadeRoIHead', bbox_roi_extractor, test, masks | sizes[0],
        bbox_head=[box_head(section, section.path) for section in boxes],
        region_sampler=[sampler for sampler, _ in stages],
        stage_loss_weights=_loss_weights(train.stage_loss_weights, num_stages),
    )  # fmt: skip


def htc(
    path: str,
    *,
    semantic_roi_extractor: Node | None = None,
    semantic_head: Node | None = None,
    semantic_fusion: Any = ('bbox', 'mask'),
    interleaved: bool = True,
    mask_info_flow: bool = True,
    num_stages: Count,
    bbox_roi_extractor: Node,
    bbox_head: Node | list[Node],
    mask_roi_extractor: Node,
    mask_head: Node | list[Node],
    train: TrainCfg,
    test: TestCfg,
) -> Node:
    """The heads of a Hybrid Task Cascade, with the semantic branch or without."""
    node = cascade_rcnn(
        path,
        num_stages=num_stages,
        bbox_roi_extractor=bbox_roi_extractor,
        bbox_head=bbox_head,
        mask_roi_extractor=mask_roi_extractor,
        mask_head=mask_head,
        train=train,
        test=test,
    )
    for stage, head in enumerate(node['mask_head']):
        if head['type'] == 'HTCMaskHead':
            # Stage 0 has no preceding stage whose mask features it could add.
            head['with_conv_res'] = mask_info_flow and stage > 0
        else:
            flow = f'{head["type"]} passes no features on; write HTCMaskHead'
            check(not mask_info_flow or head['type'] != 'FCNMaskHead', f'{head.path}.type', flow)
    options = dict(interleaved=interleaved, mask_info_flow=mask_info_flow)
    semantics = _semantic_parts(path, semantic_roi_extractor, semantic_head, semantic_fusion)
    return node.replaced(**semantics, **options, type='HybridTaskCascadeRoIHead')


def _roi_head(
    path: str, kind: str, extractor: Node, test: TestCfg, masks: dict, **stages: Any
) -> Node:
    testing = read(_testing, test.rcnn, 'test_cfg.rcnn', masks='mask_head' in masks)
    return Node(
        path,
        type=kind,
        bbox_roi_extractor=roi_extractor(extractor, f'{path}.bbox_roi_extractor'),
        **stages,
        **masks,
        **testing,
    )


def _semantic_parts(
    path: str, extractor: Node | None, head: Node | None, fusion: list[str]
) -> dict[str, Any]:
    here = f'{path}.semantic_fusion'
    names = "must be a list of 'bbox' and 'mask'"
    check(isinstance(fusion, (list, tuple)), here, f'{names}, not {fusion!r}')
    for i, branch in enumerate(fusion):
        check_choice(branch, ('bbox', 'mask'), f'{here}[{i}]')
    if head is None:
        return {}
    # Without a fusion the embedding layer of the semantic head would get no gradient.
    check(len(fusion) > 0, here, f'{names}; to fuse nothing, set {path}.semantic_head=None')
    return dict(
        semantic_roi_extractor=roi_extractor(extractor, f'{path}.semantic_roi_extractor'),
        semantic_head=read(semantic_head, head, f'{path}.semantic_head'),
        semantic_fusion=tuple(fusion),
    )


def _mask_parts(path: str, extractor: Node, head: Any, stages: int | None = None) -> dict[str, Any]:
    here = f'{path}.mask_head'
    if stages is None:
        heads = mask_head(head, here)
    else:
        heads = [mask_head(section, section.path) for section in _for_stages(head, stages, here)]
    return dict(
        mask_roi_extractor=roi_extractor(extractor, f'{path}.mask_roi_extractor'),
        mask_head=heads,
    )


def _for_stages(section: Any, stages: int, path: str) -> list[Node]:
    """A section for each stage; a single one is for all."""
    if not isinstance(section, (list, tuple)):
        return [check_typed(section, path)] * stages
    many = f'{len(section)} entries, but num_stages={stages}'
    check(len(section) == stages, path, many)
    for i, entry in enumerate(section):
        check(isinstance(entry, Node), f'{path}[{i}]', f'must be a dict, not {entry!r}')
    return list(section)


def _loss_weights(weights: Any, stages: int) -> list[float]:
    path = 'train_cfg.stage_loss_weights'
    wanted = f'must be a list of {stages} numbers of 0 or more, not {weights!r}'
    check(isinstance(weights, (list, tuple)) and len(weights) == stages, path, wanted)
    check(all(is_number(weight) and weight >= 0 for weight in weights), path, wanted)
    return list(weights)


def _training(
    path: str,
    *,
    assigner: Node,
    sampler: Node,
    pos_weight: float = -1,
    mask_size: int | None = None,
    debug: bool = False,
    masks: bool,
) -> tuple[Node, dict[str, int]]:
    """The sampler of one stage, and ``mask_size`` if it is given."""
    _check_masks(mask_size, masks, f'{path}.mask_size')
    drawn = matching(path, assigner, sampler)
    node = Node(path, type='RegionSampler', **drawn, pos_weight=pos_weight)
    return node, {} if mask_size is None else dict(mask_size=mask_size)


def _testing(
    path: str,
    *,
    score_thr: float,
    nms: Node,
    max_per_img: int,
    mask_thr_binary: Fraction | None = None,
    masks: bool,
) -> dict[str, Any]:
    values = dict(score_thr=score_thr, nms=read_nms(nms, f'{path}.nms'), max_per_img=max_per_img)
    here = f'{path}.mask_thr_binary'
    _check_masks(mask_thr_binary, masks, here)
    return values | ({} if mask_thr_binary is None else dict(mask_thr_binary=mask_thr_binary))


def _check_masks(value: Any, masks: bool, path: str) -> None:
    check(value is None or masks, path, 'the model has no mask_head: leave it out')
