"""Translate the image keys of a 2019 data set (``img_scale``, ``flip_ratio``, ...) to transforms.

Images are normalised by the model, not by a transform.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from hrdet.config.node import Node, check, read

Scale = tuple[int, int]
ThreeNumbers = Annotated[tuple[float, float, float], 'a list of three numbers', len]


@dataclass(frozen=True, slots=True)
class Context:
    """Settings of model and split that the lowering of a data set depends on."""

    training: bool
    convention: str
    masks: bool  # the model has masks to learn
    semantics: int | None  # stride of the semantic maps that the model learns
    one_size: bool  # all batches have ``pad_size``, turned for portraits
    classes: Any  # of data sets that do not name theirs
    zipped: bool = False  # CocoZipDataset, whose images are RGB in 2019

    def exact_scale(self) -> dict[str, bool]:
        """Arguments of resizing transforms: continuous boxes scale by the ratio of the sizes."""
        return dict(exact_scale=True) if self.convention == 'continuous' else {}

    def random_crop(self) -> dict[str, Any]:
        """Arguments of a random crop besides those of the user."""
        return dict(type='RandomCrop', keep_orientation=self.one_size)


@dataclass(slots=True)
class Pipeline:
    """A lowered pipeline: transforms, and settings for the model and the data set."""

    context: Context
    rest: dict[str, Any]  # keys that are not about images
    transforms: list[Node] = field(default_factory=list)
    norm: Node | None = None  # Preprocess, without its size_divisor
    semantic: bool = False  # load semantic maps
    dataset: dict[str, Any] = field(default_factory=dict)  # arguments for the data set
    size_divisor: int = 1  # what image sizes are padded to a multiple of

    def add(self, path: str, rest: Any = None, /, **values: Any) -> None:
        """Append a transform."""
        self.transforms.append(Node(path, rest, **values))

    def pad(self, path: str, size_divisor: int) -> None:
        """Append the transform that pads images."""
        self.size_divisor = size_divisor
        self.add(path, type='Pad', size_divisor=size_divisor)

    def flip(self, path: str, ratio: float | None) -> None:
        """Append the transform that mirrors images; at test time all (1) or none (0)."""
        message = f'a test mirrors all images (1) or none (0), not {ratio!r} of them'
        check(self.context.training or ratio in (None, 0, 1), f'{path}.flip_ratio', message)
        if ratio:
            self.add(path, type='RandomFlip', ratio=ratio)

    def resize(self, path: str, img_scale: Any, mode: str, keep_ratio: bool) -> None:
        """Append the transform that resizes to one of several scales; one only at test time."""
        scales = read_scales(img_scale, path)
        mode, here = 'value' if len(scales) == 1 else mode, f'{path}.img_scale'
        count = f'a range has two ends, but there are {len(scales)} scales'
        check(mode == 'value' or len(scales) == 2, here, count)
        several = 'a test does not draw one of several scales; MultiScaleFlipAug takes all of them'
        check(self.context.training or len(scales) == 1, here, several)
        options = dict(multiscale_mode=mode, keep_ratio=keep_ratio, **self.context.exact_scale())
        self.add(path, type='Resize', scales=scales, **options)

    def branch(
        self, path: str, scales: list[Scale], flip: bool, view: Callable[[Scale, int], None]
    ) -> None:
        """Append ``view(scale, flip_ratio)``, or a step that takes all views of an image.

        ``view`` appends the transforms of one view to this pipeline.  The mirror image follows its
        original at each scale.
        """
        before, views = self.transforms, []
        for scale in scales:
            for flip_ratio in (0, 1) if flip else (0,):
                self.transforms = []
                view(scale, flip_ratio)
                views.append(self.transforms)
        several = [Node(path, type='AugmentedViews', views=views)]
        self.transforms = before + (several if len(views) > 1 else views[0])


def from_keys(
    path: str,
    *,
    img_scale: Any,
    img_norm_cfg: Node,
    multiscale_mode: Literal['value', 'range'] | None = None,
    resize_keep_ratio: bool = True,
    size_divisor: int | None = None,
    flip_ratio: float = 0,
    flip: bool = False,
    with_mask: bool | None = None,
    with_crowd: bool = True,
    with_label: bool = True,
    with_semantic_seg: bool = False,
    seg_scale_factor: float = 1,
    extra_aug: Node | None = None,
    context: Context,
    **rest: Any,
) -> Pipeline:
    """The keys of a data set that concern its images."""
    pipeline = Pipeline(context, rest)
    pipeline.norm = read(norm, img_norm_cfg, f'{path}.img_norm_cfg', context=context)
    if context.training:
        check(with_label, f'{path}.with_label', 'a detector cannot train without labels')
        pipeline.semantic = with_semantic_seg
        pipeline.dataset = dict(with_crowd=with_crowd)
        masks = context.masks if with_mask is None else with_mask
        if masks:
            pipeline.dataset['with_mask'] = True
        if extra_aug is not None:
            read(_extra_aug, extra_aug, f'{path}.extra_aug', pipeline=pipeline)
    scales = read_scales(img_scale, path)
    # CocoZipDataset of the 2019 release treats two scales as the ends of a range.
    mode = multiscale_mode or ('range' if context.zipped and len(scales) == 2 else 'value')
    # RandResizeCrop has its own scales; img_scale then has no effect, as in the 2019 release.
    resized = any(node['type'] == 'RandResizeCrop' for node in pipeline.transforms)

    def steps(scale: Any, ratio: float) -> None:
        if not resized:
            pipeline.resize(path, scale, mode, resize_keep_ratio)
        pipeline.flip(path, ratio)
        if size_divisor is not None:
            pipeline.pad(path, size_divisor)

    if context.training:
        check(not flip, f'{path}.flip', 'training takes flip_ratio, the probability of a flip')
        steps(img_scale, flip_ratio)
    else:
        pipeline.branch(path, scales, bool(flip or flip_ratio), steps)
    if pipeline.semantic and seg_scale_factor != 1:
        pipeline.add(path, type='SegRescale', scale_factor=seg_scale_factor)
    return pipeline


def _extra_aug(
    path: str,
    *,
    photo_metric_distortion: Node | None = None,
    expand: Node | None = None,
    random_crop: Node | None = None,
    rand_resize_crop: Node | None = None,
    pipeline: Pipeline,
) -> None:
    """Augmentations in this order, whatever their order in the config."""
    # The order of the 2019 release, which applies them before resizing.
    context = pipeline.context
    if photo_metric_distortion is not None:
        here = f'{path}.photo_metric_distortion'
        pipeline.add(here, photo_metric_distortion, type='PhotoMetricDistortion')
    if expand is not None:
        pipeline.transforms.append(read(expand_node, expand, f'{path}.expand', context=context))
    if random_crop is not None:
        pipeline.add(f'{path}.random_crop', random_crop, **context.random_crop())
    if rand_resize_crop is not None:
        values = dict(type='RandResizeCrop', **context.exact_scale())
        pipeline.add(f'{path}.rand_resize_crop', rand_resize_crop, **values)


def expand_node(path: str, *, to_rgb: bool = True, context: Context, **rest: Any) -> Node:
    """The transform that puts an image on a larger canvas."""
    # ``to_rgb`` reverses the mean.  Images of CocoZipDataset are RGB in the 2019 release and BGR
    # here, which reverses it once more.
    return Node(path, rest, **{'type': 'Expand', 'to_rgb': to_rgb != context.zipped})


def norm(
    path: str, *, mean: ThreeNumbers, std: ThreeNumbers, to_rgb: bool = True, context: Context
) -> Node:
    """``img_norm_cfg``: mean and std of the model, in its channel order."""
    order = 'rgb' if to_rgb or context.zipped else 'bgr'
    values = dict(mean=tuple(mean), std=tuple(std), channel_order=order)
    return Node(path, type='Preprocess', **values)


def read_scales(img_scale: Any, path: str) -> list[Scale]:
    """``img_scale``, a pair or a list of pairs."""
    sequence = isinstance(img_scale, (list, tuple)) and len(img_scale) > 0
    rows = img_scale if sequence and isinstance(img_scale[0], (list, tuple)) else [img_scale]
    for row in rows:
        whole = isinstance(row, (list, tuple)) and all(type(edge) is int for edge in row)
        message = f'{img_scale!r} is neither a pair (w, h) of pixels nor a list of pairs'
        check(whole and len(row) == 2 and min(row) > 0, f'{path}.img_scale', message)
    return [tuple(row) for row in rows]
