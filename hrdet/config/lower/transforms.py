"""Lowered pipelines, and the image keys of a 2019 data set (``img_scale``, ``flip_ratio``, ...).

Images are normalised by the model, not by a transform.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from hrdet.config.node import Node, check, check_typed, read
from hrdet.ranges import Pair, Scales
from hrdet.registry import ConfigError, check_value, is_custom, nearest

Scale = tuple[int, int]
ThreeNumbers = Annotated[tuple[float, float, float], 'a list of three numbers', len]


@dataclass(frozen=True, slots=True)
class Context:
    """Settings of model and split that the lowering of a data set depends on."""

    convention: str
    masks: bool = False  # the model has masks to learn
    semantics: tuple | None = None  # stride and number of labels of the maps that the model learns
    one_size: bool = False  # all batches have ``pad_size``, turned for portraits
    classes: Any = None  # of data sets that do not name theirs
    training: bool = False
    zipped: bool = False  # CocoZipDataset, whose images are RGB in 2019

    def exact_scale(self) -> dict[str, bool]:
        """Arguments of resizing transforms: continuous boxes scale by the ratio of the sizes."""
        return dict(exact_scale=True) if self.convention == 'continuous' else {}

    def random_crop(self) -> dict[str, Any]:
        """Arguments of a random crop besides those of the user."""
        return dict(type='RandomCrop', keep_orientation=self.one_size)


@dataclass(slots=True)
class Pipeline:
    """A lowered pipeline of any task: transforms, and how the model normalises the images."""

    training: bool
    transforms: list[Node] = field(default_factory=list)
    norm: Node | None = None  # Preprocess

    def add(self, path: str, rest: Any = None, /, **values: Any) -> None:
        """Append a transform."""
        self.transforms.append(Node(path, rest, **values))


def read_steps(
    result: Pipeline, steps: Any, path: str, readers: Mapping[str, Any], task: str | None = None
) -> None:
    """Read the steps of a pipeline, each by the function for its type.

    A step of another type is a custom transform and is kept unchanged; with a ``task`` it must be
    registered.
    """
    for i, step in enumerate(steps):
        if task is None:
            known = check_typed(step, f'{path}[{i}]')['type'] in readers
        else:
            known = has_reader(step, f'{path}[{i}]', readers, task)
        late = any(node['type'] == 'AugmentedViews' for node in result.transforms)
        check(not late, step.path, 'MultiScaleFlipAug must be the last step')
        if known:
            read(readers[step['type']], step, step.path, result=result)
        else:
            result.transforms.append(step)


def norm_node(path: str, *, mean: ThreeNumbers, std: ThreeNumbers, to_rgb: bool = True) -> Node:
    """Mean and std as the model's node ``Preprocess``, for images without padding."""
    order = 'rgb' if to_rgb else 'bgr'
    values = dict(mean=tuple(mean), std=tuple(std), channel_order=order, size_divisor=1)
    return Node(path, type='Preprocess', **values)


def normalize(path, *, type, result, **rest):
    """The step ``Normalize`` of OpenMMLab 1 and of 2019."""
    result.norm = read(norm_node, rest, path)


def has_reader(step: Any, path: str, readers: Mapping[str, Any], task: str) -> bool:
    """Whether a step of a pipeline has a reader; a transform of the user has none.

    Raises:
        ConfigError: hrdet has no such step.
    """
    kind = check_typed(step, path)['type']
    if kind not in readers and not is_custom(kind):
        raise ConfigError(
            f'{step.path}.type: hrdet has no step {kind!r} of {task}{nearest(kind, readers)}; '
            f'supported: {", ".join(readers)}'
        )
    return kind in readers


def check_disk(path: str, file_client_args: Node | None) -> None:
    """Raise a ConfigError unless a step reads files from disk."""
    disk = file_client_args in (None, dict(backend='disk'))
    only = "files are read from folders, zips and tars: dict(backend='disk')"
    check(disk, f'{path}.file_client_args', only)


def as_views(path: str, views: list[list[Node]]) -> list[Node]:
    """Transforms of a test that takes every view of an image."""
    return views[0] if len(views) == 1 else [Node(path, type='AugmentedViews', views=views)]


def tta_node(path: str, views: list[list[Node]]) -> Node:
    """A split's ``tta`` (see ``RunConfig``) from the transforms of each view."""
    text = f'{len(views)} views of each image, those of {path.partition("[")[0]}'
    return Node(path, transforms=as_views(path, views), description=text)


@dataclass(slots=True, kw_only=True)
class DetectionPipeline(Pipeline):
    """The lowered pipeline of a detector, and settings for the data set."""

    context: Context
    rest: dict[str, Any]  # keys that are not about images
    semantic: bool = False  # load semantic maps
    dataset: dict[str, Any] = field(default_factory=dict)  # arguments for the data set
    size_divisor: int = 1  # what image sizes are padded to a multiple of

    def pad(self, path: str, size_divisor: int) -> None:
        """Append the transform that pads images."""
        self.size_divisor = size_divisor
        self.add(path, type='Pad', size_divisor=size_divisor)

    def flip(self, path: str, ratio: float | None) -> None:
        """Append the transform that mirrors images; at test time all (1) or none (0)."""
        message = f'a test mirrors all images (1) or none (0), not {ratio!r} of them'
        check(self.training or ratio in (None, 0, 1), f'{path}.flip_ratio', message)
        if ratio:
            self.add(path, type='RandomFlip', ratio=ratio)

    def resize(self, path: str, img_scale: Any, mode: str, keep_ratio: bool) -> None:
        """Append the transform that resizes to one of several scales; one only at test time."""
        scales = read_scales(img_scale, path)
        mode, here = 'value' if len(scales) == 1 else mode, f'{path}.img_scale'
        count = f'a range has two ends, but there are {len(scales)} scales'
        check(mode == 'value' or len(scales) == 2, here, count)
        several = 'a test does not draw one of several scales; MultiScaleFlipAug takes all of them'
        check(self.training or len(scales) == 1, here, several)
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
        self.transforms = before + as_views(path, views)


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
) -> DetectionPipeline:
    """The keys of a data set that concern its images."""
    pipeline = DetectionPipeline(context.training, context=context, rest=rest)
    pipeline.norm = read(norm_node, img_norm_cfg, f'{path}.img_norm_cfg')
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
    pipeline: DetectionPipeline,
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


def read_scales(img_scale: Any, path: str) -> list[Scale]:
    """``img_scale``, a pair or a list of pairs."""
    check_value(img_scale, Pair | Scales, f'{path}.img_scale')
    rows = img_scale if isinstance(img_scale[0], (list, tuple)) else [img_scale]
    return [tuple(row) for row in rows]
