"""Draw one scene of shapes: the ground, the objects on it, and their visible parts."""

from dataclasses import dataclass

import cv2
import numpy as np

CLASSES = ('circle', 'square', 'triangle', 'star', 'ring', 'cross')
GROUNDS = ('sky', 'sand', 'grass', 'tiles')
_GROUND_COLOURS = ((190, 150, 110), (135, 175, 200), (75, 130, 85), (125, 115, 125))  # BGR
LEAST_VISIBLE = 0.45  # smallest visible share of an object that stays in the scene
LEAST_PIXELS = 150  # smallest visible area of an object that stays
CROWD_CHANCE = 0.1
_SUBPIXEL = 4  # bits of fraction in OpenCV's drawing coordinates


@dataclass(slots=True)
class Thing:
    """One object, or one crowd of them."""

    label: int
    visible: np.ndarray  # (h, w) bool
    crowd: bool = False


@dataclass(slots=True)
class Scene:
    """An image with its complete truth."""

    image: np.ndarray  # (h, w, 3) uint8 BGR
    ground: np.ndarray  # (h, w) uint8 into GROUNDS
    things: list[Thing]


def draw_scene(size: tuple[int, int], rng: np.random.Generator) -> Scene:
    """A scene of ``size`` (h, w): 2 to 6 shapes, now and then a crowd, later ones in front."""
    # 1. The ground, and outlines of what may stand on it, from back to front.
    canvas, ground = _ground(size, rng)
    plan = [(_placed(size, rng), False) for _ in range(rng.integers(2, 7))]
    if rng.random() < CROWD_CHANCE:
        plan.insert(0, (_crowd(size, rng), True))
    # 2. Drop what is hidden before painting, so that nothing unlabelled is in the picture.
    masks = [[_stencil(outline, size) for _, outline in group] for group, _ in plan]
    bodies = [np.max(group, axis=0) >= 128 for group in masks]
    keep = _unhidden(bodies)
    covered = np.zeros(size, bool)
    visible = {}
    for i in reversed(keep):
        visible[i] = bodies[i] & ~covered
        covered |= bodies[i]
    # 3. Paint what stays, then add noise to the whole picture.
    for i in keep:
        for (label, _), alpha in zip(plan[i][0], masks[i]):
            _paint(canvas, alpha, label, rng)
    canvas += 4 * rng.standard_normal((*size, 1), np.float32)
    image = np.rint(canvas.clip(0, 255)).astype(np.uint8)
    things = [Thing(plan[i][0][0][0], visible[i], plan[i][1]) for i in keep]
    return Scene(image, ground, things)


def _unhidden(bodies: list[np.ndarray]) -> list[int]:
    """Indices of the objects to keep, dropped front to back, so that no kept one is uncovered."""
    keep, covered = [], np.zeros_like(bodies[0])
    for i in reversed(range(len(bodies))):
        seen = int((bodies[i] & ~covered).sum())
        if seen >= LEAST_PIXELS and seen >= LEAST_VISIBLE * bodies[i].sum():
            keep.append(i)
            covered |= bodies[i]
    return keep[::-1]


def _placed(size: tuple[int, int], rng: np.random.Generator) -> list:
    """One shape of 0.17 to 0.7 of the image's height, its centre in the image."""
    h, w = size
    edge = min(h, w) * np.exp(rng.uniform(np.log(0.17), np.log(0.7)))
    margin = 0.3 * edge
    centre = (rng.uniform(margin, w - margin), rng.uniform(margin, h - margin))
    label = int(rng.integers(len(CLASSES)))
    return [(label, _outline(label, centre, edge, rng))]


def _crowd(size: tuple[int, int], rng: np.random.Generator) -> list:
    """8 to 14 small shapes of one class, close together."""
    h, w = size
    label = int(rng.integers(len(CLASSES)))
    middle = np.array([rng.uniform(0.3, 0.7) * w, rng.uniform(0.3, 0.7) * h])
    group = []
    for _ in range(rng.integers(8, 15)):
        edge = min(h, w) * rng.uniform(0.09, 0.13)
        centre = middle + rng.normal(0, 0.09, 2) * min(h, w) * (1.6, 1)
        group.append((label, _outline(label, centre, edge, rng)))
    return group


def _outline(label: int, centre, edge: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Closed polygons (k, 2) of a shape about ``edge`` pixels wide; a second one is a hole."""
    # Corners of a unit shape around 0, then turned, stretched, enlarged and moved.
    name = CLASSES[label]
    turn = rng.uniform(-0.35, 0.35)
    stretch = rng.uniform(0.85, 1.15)
    round_angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = np.stack([np.cos(round_angles), np.sin(round_angles)], 1)
    if name in ('circle', 'ring'):
        parts = [circle] if name == 'circle' else [circle, 0.5 * circle]
    elif name == 'square':
        parts = [np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * 0.88]
    elif name == 'triangle':
        parts = [np.array([(0, -1.0), (1.0, 0.85), (-1.0, 0.85)])]
    elif name == 'star':
        angles = np.arange(10) * np.pi / 5 - np.pi / 2
        radius = np.where(np.arange(10) % 2, 0.48, 1.1)[:, None]
        parts = [radius * np.stack([np.cos(angles), np.sin(angles)], 1)]
    else:
        a = 0.36
        corners = [(-a, -1), (a, -1), (a, -a), (1, -a), (1, a), (a, a)]
        parts = [np.array(corners + [(-x, -y) for x, y in corners])]
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    grow = np.array([stretch, 1 / stretch]) * edge / 2
    return [(part * grow) @ spin + centre for part in parts]


def _stencil(parts: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Coverage (h, w) uint8 of an outline, with smooth edges."""
    stencil = np.zeros(size, np.uint8)
    for part, value in zip(parts, (255, 0)):
        points = np.rint(part * 2**_SUBPIXEL).astype(np.int32)
        cv2.fillPoly(stencil, [points], value, cv2.LINE_AA, _SUBPIXEL)
    return stencil


def _paint(canvas: np.ndarray, alpha: np.ndarray, label: int, rng: np.random.Generator) -> None:
    """Put one textured shape with a soft shadow and a dark rim onto the canvas, in place.

    Colour and texture say nothing about the class: only the shape does.
    """
    x, y, w, h = cv2.boundingRect(alpha)
    if w == 0 or h == 0:
        return
    window = alpha[y : y + h, x : x + w]
    # 1. A texture (h, w, 3) between two tones of one hue, darker below and at the rim.
    hue, saturation = rng.integers(0, 180), rng.integers(120, 256)
    light, dark = ((hue, saturation, rng.integers(190, 256)), (hue, saturation, 110))
    pair = cv2.cvtColor(np.array([[light, dark]], np.uint8), cv2.COLOR_HSV2BGR)[0]
    pair = pair.astype(np.float32)
    colour = pair[0] + _pattern(h, w, rng)[..., None] * (pair[1] - pair[0])
    colour *= np.linspace(1.08, 0.88, h, dtype=np.float32)[:, None, None]
    depth = cv2.distanceTransform(np.pad((window >= 128).astype(np.uint8), 1), cv2.DIST_L2, 3)
    colour[depth[1:-1, 1:-1] < 2] *= 0.35

    # 2. A soft shadow, shifted by 3 pixels.
    around = (slice(max(y - 4, 0), y + h + 8), slice(max(x - 4, 0), x + w + 8))
    shadow = np.roll(alpha, (3, 3), (0, 1))[around].astype(np.float32)
    canvas[around] *= 1 - 0.35 / 255 * cv2.GaussianBlur(shadow, (7, 7), 0)[..., None]
    # 3. The shape over it, mixed by its coverage (h, w, 1).
    share = window[..., None].astype(np.float32) / 255
    target = canvas[y : y + h, x : x + w]
    target += share * (colour - target)


def _pattern(h: int, w: int, rng: np.random.Generator) -> np.ndarray:
    """A texture (h, w) of 0..1: plain, stripes, checks, dots or clouds, in any direction."""
    # Phases u and v along two perpendicular directions, one period of 2 pi each.
    kind = rng.integers(5)
    angle, period = rng.uniform(0, np.pi), rng.uniform(7, 14)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    u = (x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / period)
    v = (y * np.cos(angle) - x * np.sin(angle)) * (2 * np.pi / period)
    if kind == 0:
        return np.full((h, w), 0.1, np.float32)
    if kind == 1:
        return np.clip(0.5 + 2 * np.sin(u), 0, 0.9)
    if kind == 2:
        return np.clip(0.4 + 3 * np.sin(u) * np.sin(v), 0, 0.8)
    if kind == 3:
        return np.clip(3 * (np.cos(u) + np.cos(v)) - 2.5, 0, 0.9)
    return _clouds((h, w), 6, rng)


def _ground(size: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A canvas (h, w, 3) float32 of two grounds that meet in a wavy line, and which is where."""
    h, w = size
    upper, lower = rng.choice(len(GROUNDS), 2, replace=False)
    x = np.arange(w)
    # Height of the border in every column (w,).
    wave = np.sin(x * rng.uniform(1, 4) * np.pi / w + rng.uniform(0, 6)) * h * rng.uniform(0, 0.08)
    horizon = h * rng.uniform(0.25, 0.75) + wave
    below = np.arange(h)[:, None] >= horizon
    ground = np.where(below, lower, upper).astype(np.uint8)
    textures = [_ground_texture(kind, size, rng) for kind in (upper, lower)]
    return np.where(below[..., None], textures[1], textures[0]), ground


def _ground_texture(kind: int, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    h, w = size
    grain = (48, 10, 5, 40)[kind]
    value = 0.75 + 0.5 * _clouds(size, grain, rng)
    if GROUNDS[kind] == 'tiles':
        period = int(rng.integers(18, 30))
        value[:, np.arange(w) % period < 2] -= 0.25
        value[np.arange(h) % period < 2] -= 0.25
    if GROUNDS[kind] == 'sand':
        value += 0.12 * np.sin(np.arange(h) * rng.uniform(0.4, 0.8))[:, None]
    colour = np.array(_GROUND_COLOURS[kind]) * rng.uniform(0.8, 1.15, 3)
    return value.astype(np.float32)[..., None] * colour.astype(np.float32)


def _clouds(size: tuple[int, int], grain: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise (h, w) float32 of 0..1 with blotches of about ``grain`` pixels."""
    h, w = size
    # Noise on a coarse grid, enlarged.
    coarse = rng.random((int(h / grain) + 2, int(w / grain) + 2)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC), 0, 1)
