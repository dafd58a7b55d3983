"""Image pipelines as the 2019 release writes them, as keys of the data set, to transforms.

Normalising is not among the transforms: the model does it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hrdet.config.node import Node, check, check_choice, read

Scale = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Norm:
    """What a model subtracts and divides by, in the channel order it sees; and where it is set."""

    path: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channel_order: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the meaning of a pipeline depends on, beside itself."""

    training: bool
    convention: str
    zipped: bool  # CocoZipDataset, whose images are RGB in the release
    masks: bool  # the model has masks to learn
    one_size: bool  # all batches have ``pad_size``, turned for portraits


@dataclass(slots=True)
class Recipe:
    """A lowered pipeline: the transforms, and what it asks of others."""

    transforms: list[Node] = field(default_factory=list)
    norm: Norm | None = None
    semantic: bool = False  # load semantic maps
    dataset: dict[str, Any] = field(default_factory=dict)  # arguments for the data set
    size_divisor: int = 1  # what image sizes are padded to a multiple of

    def pad(self, path: str, size_divisor: int) -> None:
        """Append the transform that pads images."""
        self.size_divisor = size_divisor
        self.transforms.append(Node(path, type='Pad', size_divisor=size_divisor))

    def branch(
        self, path: str, scales: list[Scale], flip: bool, view: Callable[[Scale, int], None]
    ) -> None:
        """Append ``view(scale, flip_ratio)``, or a step that takes all views of an image.

        ``view`` appends the transforms of one view to this recipe.  The mirror image follows its
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
    multiscale_mode: str | None = None,
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
    around: Surroundings,
) -> Recipe:
    """The keys of a data set that concern its images."""
    norm_path = f'{path}.img_norm_cfg'
    recipe = Recipe(norm=read(norm, img_norm_cfg, norm_path, around=around))
    if around.training:
        check(with_label, f'{path}.with_label', 'a detector cannot train without labels')
        recipe.semantic = with_semantic_seg
        masks = around.masks if with_mask is None else with_mask
        recipe.dataset = dict(with_crowd=with_crowd) | (dict(with_mask=True) if masks else {})
        if extra_aug is not None:
            recipe.transforms += read(_extra_aug, extra_aug, f'{path}.extra_aug', around=around)
    mode = multiscale_mode
    if mode is None:
        # The release's zip data set takes two scales for the ends of a range.
        mode = 'range' if around.zipped and len(read_scales(img_scale, path)) == 2 else 'value'

    def steps(scale: Any, ratio: float) -> None:
        if not any(node['type'] == 'RandResizeCrop' for node in recipe.transforms):
            # That one resizes to scales of its own: the release then leaves img_scale alone.
            recipe.transforms.append(resize_node(path, scale, mode, resize_keep_ratio, around))
        add_flip(recipe, path, ratio, around)
        if size_divisor is not None:
            recipe.pad(path, size_divisor)

    if around.training:
        check(not flip, f'{path}.flip', 'training takes flip_ratio, the probability of a flip')
        steps(img_scale, flip_ratio)
    else:
        recipe.branch(path, read_scales(img_scale, path), bool(flip or flip_ratio), steps)
    if recipe.semantic and seg_scale_factor != 1:
        recipe.transforms.append(Node(path, type='SegRescale', scale_factor=seg_scale_factor))
    return recipe


def _extra_aug(
    path: str,
    *,
    photo_metric_distortion: Node | None = None,
    expand: Node | None = None,
    random_crop: Node | None = None,
    rand_resize_crop: Node | None = None,
    around: Surroundings,
) -> list[Node]:
    nodes = []
    if photo_metric_distortion is not None:
        here = f'{path}.photo_metric_distortion'
        nodes.append(Node(here, type='PhotoMetricDistortion', **photo_metric_distortion))
    if expand is not None:
        nodes.append(read(expand_node, expand, f'{path}.expand', around=around))
    if random_crop is not None:
        nodes.append(random_crop_node(f'{path}.random_crop', random_crop, around))
    if rand_resize_crop is not None:
        arguments = rand_resize_crop | exact_scale(around)
        nodes.append(Node(f'{path}.rand_resize_crop', type='RandResizeCrop', **arguments))
    return nodes


def random_crop_node(path: str, arguments: dict[str, Any], around: Surroundings) -> Node:
    """The transform that cuts a random patch."""
    return Node(path, type='RandomCrop', **dict(keep_orientation=around.one_size) | arguments)


def exact_scale(around: Surroundings) -> dict[str, bool]:
    """Arguments of a transform that resizes: continuous boxes are scaled by whole-pixel sizes."""
    return dict(exact_scale=True) if around.convention == 'continuous' else {}


def expand_node(
    path: str,
    *,
    mean: Any = (0, 0, 0),
    to_rgb: bool = True,
    ratio_range: Any = (1, 4),
    around: Surroundings,
) -> Node:
    """The transform that puts an image on a larger canvas."""
    # ``to_rgb`` reverses the mean; where the release holds RGB, hrdet holds BGR.
    to_rgb = bool(to_rgb) != around.zipped
    return Node(path, type='Expand', mean=mean, to_rgb=to_rgb, ratio_range=ratio_range)


def norm(path: str, *, mean: Any, std: Any, to_rgb: bool = True, around: Surroundings) -> Norm:
    """``img_norm_cfg``."""
    for name, values in (('mean', mean), ('std', std)):
        numbers = isinstance(values, (list, tuple)) and len(values) == 3
        check(numbers, f'{path}.{name}', f'three numbers are wanted here, not {values!r}')
    return Norm(path, tuple(mean), tuple(std), 'rgb' if to_rgb or around.zipped else 'bgr')


def resize_node(path: str, img_scale: Any, mode: str, ratio: bool, around: Surroundings) -> Node:
    """The transform that resizes to one of several scales; that of a test has one only."""
    scales = read_scales(img_scale, path)
    check_choice(mode, ('value', 'range'), f'{path}.multiscale_mode')
    if len(scales) == 1:
        mode = 'value'
    here = f'{path}.img_scale'
    count = f'a range has two ends, but there are {len(scales)} scales'
    check(mode == 'value' or len(scales) == 2, here, count)
    check(
        around.training or len(scales) == 1,
        here,
        'a test does not draw one of several scales; MultiScaleFlipAug takes all of them',
    )
    return Node(
        path,
        type='Resize',
        scales=scales,
        multiscale_mode=mode,
        keep_ratio=ratio,
        **exact_scale(around),
    )


def read_scales(img_scale: Any, path: str) -> list[Scale]:
    """``img_scale``, a pair or a list of pairs."""
    sequence = isinstance(img_scale, (list, tuple)) and len(img_scale) > 0
    rows = img_scale if sequence and isinstance(img_scale[0], (list, tuple)) else [img_scale]
    for row in rows:
        whole = isinstance(row, (list, tuple)) and all(type(edge) is int for edge in row)
        message = f'{img_scale!r} is neither a pair (w, h) of pixels nor a list of pairs'
        check(whole and len(row) == 2 and min(row) > 0, f'{path}.img_scale', message)
    return [tuple(row) for row in rows]


def add_flip(recipe: Recipe, path: str, ratio: float | None, around: Surroundings) -> None:
    """Append the transform that mirrors images with a probability, which in a test is 0 or 1."""
    sure = f'a test mirrors all images (1) or none (0), not {ratio!r} of them'
    check(around.training or ratio in (None, 0, 1), f'{path}.flip_ratio', sure)
    if ratio:
        recipe.transforms.append(Node(path, type='RandomFlip', ratio=ratio))
