"""HRNet as both OpenMMLab languages write it."""

from typing import Any, Literal

from hrdet.config.node import Node, check, check_typed, read
from hrdet.registry import nearest

_WIDTHS = ('w18', 'w30', 'w32', 'w40', 'w44', 'w48', 'w64')


def read_backbone(section: Node, path: str, config: str, norm_eval: bool, **defaults: Any) -> Node:
    """Lower the section ``model.backbone``; ``initial_weights`` has removed its ``init_cfg``.

    Args:
        section: the section.
        path: its path in the config.
        config: a config of hrdet that the message about an unknown backbone refers to.
        norm_eval: the default of the project whose language this is.
        defaults: default values of other arguments of ``HRNet``.
    """
    kind = check_typed(section, path)['type']
    known = ('HRNet', 'HighResolutionNet', 'SyncHighResolutionNet')
    other = (
        f'there is no backbone {kind!r}{nearest(kind, known)}; HRNet is the backbone of hrdet: '
        f"dict(type='HRNet', width=18), as in {config}"
    )
    check(kind in known, f'{path}.type', other)
    return read(_hrnet, section, path, default_norm_eval=norm_eval, defaults=defaults)


def _hrnet(
    path: str,
    *,
    type: str,
    arch: str | int | Node | None = None,
    width: int | str | None = None,
    extra: Node | None = None,
    norm_eval: bool | None = None,
    conv_cfg: None = None,
    multiscale_output: Literal[True] = True,
    default_norm_eval: bool,
    defaults: dict[str, Any],
    **rest: Any,
) -> Node:
    # The shape is mmpretrain's ``arch``, hrdet's ``width`` or mmdetection's ``extra``.
    given = dict(arch=arch, width=width, extra=extra)
    shape = {name: value for name, value in given.items() if value is not None}
    which = f'give one of arch, width and extra, not {" and ".join(shape) or "none"}'
    check(len(shape) == 1, path, which)
    if isinstance(arch, Node):
        shape = dict(extra=arch)
    elif arch is not None:
        wanted = f'{arch!r} is not one of {", ".join(map(repr, _WIDTHS))}'
        check(arch in _WIDTHS, f'{path}.arch', wanted + nearest(arch, _WIDTHS))
        shape = dict(width=int(arch[1:]))
    norm_eval = default_norm_eval if norm_eval is None else norm_eval
    return Node(path, {**defaults, **rest}, type=type, norm_eval=norm_eval, **shape)
