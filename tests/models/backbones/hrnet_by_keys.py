"""HRNet and HRFPN written a second time: plain functions that read the net off a state_dict.

Float64, no modules, every term of an exchange upsampled on its own, branches concatenated before
they are reduced: as the papers draw them, sharing nothing with the code under test.
"""

import torch
import torch.nn.functional as F


def _conv_norm(x, state, conv, norm, stride=1):
    weight = state[f'{conv}.weight'].double()
    x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
    mean, var = state[f'{norm}.running_mean'].double(), state[f'{norm}.running_var'].double()
    scale = state[f'{norm}.weight'].double() / (var + 1e-5).sqrt()
    shift = state[f'{norm}.bias'].double() - mean * scale
    return x * scale[:, None, None] + shift[:, None, None]


def _count(state, prefix):
    rest = [key[len(prefix) :] for key in state if key.startswith(prefix)]
    return 1 + max((int(r.split('.')[0]) for r in rest if r.split('.')[0].isdigit()), default=-1)


def _block(x, state, prefix):
    convs = 3 if f'{prefix}.conv3.weight' in state else 2
    out = x
    for n in range(1, convs + 1):
        out = _conv_norm(out, state, f'{prefix}.conv{n}', f'{prefix}.bn{n}')
        out = out.relu() if n < convs else out
    if f'{prefix}.downsample.0.weight' in state:
        x = _conv_norm(x, state, f'{prefix}.downsample.0', f'{prefix}.downsample.1')
    return (out + x).relu()


def _blocks(x, state, prefix):
    for n in range(_count(state, f'{prefix}.')):
        x = _block(x, state, f'{prefix}.{n}')
    return x


def _converted(xs, state, prefix, source, target):
    x, name = xs[source], f'{prefix}.fuse_layers.{target}.{source}'
    if source > target:
        x = _conv_norm(x, state, f'{name}.0', f'{name}.1')
        # Row y of the finer map lies in row y // factor of the coarser one.
        factor = 2 ** (source - target)
        rows, columns = (torch.arange(n) // factor for n in xs[target].shape[-2:])
        return x[..., rows, :][..., columns]
    for n in range(target - source):
        x = _conv_norm(x, state, f'{name}.{n}.0', f'{name}.{n}.1', stride=2)
        x = x.relu() if n < target - source - 1 else x
    return x


def _exchange(xs, state, prefix):
    xs = [_blocks(x, state, f'{prefix}.branches.{i}') for i, x in enumerate(xs)]
    branches = range(len(xs))
    return [sum(_converted(xs, state, prefix, j, i) for j in branches).relu() for i in branches]


def _transition(xs, state, prefix):
    out = []
    for i in range(len(xs) + 1):
        if f'{prefix}.{i}.0.weight' in state:  # a known branch of another width
            out.append(_conv_norm(xs[i], state, f'{prefix}.{i}.0', f'{prefix}.{i}.1').relu())
        elif f'{prefix}.{i}.0.0.weight' in state:  # the new branch
            name = f'{prefix}.{i}.0'
            out.append(_conv_norm(xs[-1], state, f'{name}.0', f'{name}.1', stride=2).relu())
        else:
            out.append(xs[i])
    return out


def hrnet(state, images):
    """The four maps of images (N, 3, H, W), norms in inference mode."""
    x = images.double()
    for n in (1, 2):
        x = _conv_norm(x, state, f'conv{n}', f'bn{n}', stride=2).relu()
    xs = [_blocks(x, state, 'layer1')]
    for stage in (2, 3, 4):
        xs = _transition(xs, state, f'transition{stage - 1}')
        for n in range(_count(state, f'stage{stage}.')):
            xs = _exchange(xs, state, f'stage{stage}.{n}')
    return xs


def hrfpn(state, maps, num_outs=5, pool=F.avg_pool2d, stride=1):
    """The pyramid of float64 maps, as the release computes it: concatenate, reduce, pool by 2^i."""
    size = maps[0].shape[-2:]
    maps = [F.interpolate(m, size=size, mode='bilinear', align_corners=False) for m in maps]
    name = 'reduction_conv.conv'
    weight, bias = state[f'{name}.weight'].double(), state[f'{name}.bias'].double()
    merged = F.conv2d(torch.cat(maps, 1), weight, bias)
    out = []
    for level in range(num_outs):
        pooled = pool(merged, 2**level) if level else merged
        own = f'fpn_convs.{level}.conv'
        name = own if f'{own}.weight' in state else 'fpn_convs.0.conv'
        weight, bias = state[f'{name}.weight'].double(), state[f'{name}.bias'].double()
        out.append(F.conv2d(pooled, weight, bias, stride=stride, padding=1))
    return out
