"""Procedural photographs: faces and churches with the spectra of natural images.

Shapes are painted back to front with soft edges and filled with fractal textures, lit from one
side, then defocused. Averaged over images and angles, the power spectrum falls as 1/f^slope with
slope between 1.6 and 2.4 over the mid frequencies (0.03 to 0.25 cycles per pixel), as in natural
images (Field, "Relations between the statistics of natural images and the response properties of
cortical cells", JOSA A 1987: about 2).
"""

import math

import numpy as np
from numpy import abs, clip, maximum, minimum, ndarray
from numpy.random import Generator
from scipy.ndimage import gaussian_filter

from lib.data.simulated.canvas import Canvas, arch, box, ellipse, rgb


def scene(content: str, rng: Generator, size: int) -> ndarray:
    """Draws one simulated photograph as it falls on the sensor: float32 (size, size, 3) in [0, 1].

    `content` is a key of `PAINTERS`; `rng` is the only source of randomness.
    """
    p = Canvas(rng, size)
    PAINTERS[content](p)
    # Exposure, contrast, white balance and the light across the picture all vary.
    light = 1 + rng.uniform(-0.2, 0.2) * p.x + rng.uniform(-0.2, 0.2) * p.y
    # Surfaces have detail at every scale: it modulates light, so it multiplies.
    light = light * (1 + rng.uniform(0.05, 0.15) * p.fractal(rng.uniform(0.8, 1.5)))
    pixels = p.pixels * light * rgb(rng.normal(1, 0.06, 3) * rng.uniform(0.8, 1.15))
    pixels = 0.45 + rng.uniform(0.75, 1.15) * (pixels - 0.45)
    # Sharpness varies widely, so that the amount of fine detail alone gives little away.
    blur = rng.uniform(0.1, 0.7) * min(1, math.sqrt(size / 128))  # small prints look sharper
    pixels = gaussian_filter(pixels, (0, blur, blur), truncate=3)
    return np.ascontiguousarray(clip(pixels, 0, 1).transpose(1, 2, 0))


def _paint_face(p: Canvas) -> None:
    """A head and shoulders before a background out of focus."""
    draw = p.rng.uniform
    skin = p.between((0.95, 0.77, 0.66), (0.42, 0.27, 0.20), 0.015)
    hair = p.between((0.10, 0.07, 0.06), (0.66, 0.50, 0.32), 0.03)
    wall = p.between((0.25, 0.28, 0.33), (0.80, 0.76, 0.70), 0.10)
    p.pixels += wall + rgb(p.rng.normal(0, 0.1, 3)) * p.y + draw(0.04, 0.12) * p.fractal(2.6)
    p.pixels += rgb(p.rng.normal(0, 0.06, 3)) * p.fractal(2.6)

    # The head's own coordinates: (u, v) is 1 long at the edge of the face.
    roll, scale = p.rng.normal(0, 0.1), draw(0.85, 1.12)
    x, y = p.x - p.rng.normal(0, 0.06), p.y - p.rng.normal(-0.02, 0.04)
    u = (math.cos(roll) * x + math.sin(roll) * y) / (0.5 * scale * draw(0.92, 1.06))
    v = (math.cos(roll) * y - math.sin(roll) * x) / (0.68 * scale)
    yaw, side = p.rng.normal(0, 0.1), draw(-0.9, 0.9)
    strands, wave = p.fractal(1.5, stretch=5, angle=p.rng.normal(0, 0.2)), p.fractal(3.2)
    hair = hair * (1 + 0.3 * strands + 0.2 * side * u) + 0.03 * strands
    shade = 1 + 0.3 * side * u

    # Hair behind, neck, shoulders.
    behind = ellipse(u / draw(1.15, 1.4), np.where(v > 0, v * 0.55, v / 1.12)) + 0.03 * wave
    p.lay(hair, maximum(behind, v - draw(-0.2, 1.3) - 0.1 * wave))
    p.lay(skin * shade * 0.72, maximum(abs(u) - 0.5, -v))
    cloth = shade + 0.12 * p.fractal(1.6) + 0.08 * np.sin(draw(20, 70) * (u + v))
    p.lay(rgb(draw(0.05, 0.8, 3)) * cloth, ellipse(u / draw(1.5, 1.9), (v - 2.05) / 0.85))

    # The face: an ellipsoid under directed light, with pores and a blush.
    depth = np.sqrt(clip(1 - u * u - v * v, 0, 1))
    face = skin * (0.72 + 0.32 * depth + 0.3 * side * u - 0.1 * v)
    face = face * (1 + draw(0.02, 0.06) * p.fractal(1.4))
    face += rgb((0.06, -0.02, -0.02)) * np.exp(-16 * ((abs(u - yaw) - 0.5) ** 2 + (v - 0.3) ** 2))
    p.lay(face, ellipse(u * (1 + 0.16 * maximum(v, 0)), v) + 0.012 * wave)
    _paint_features(p, u - yaw, v, skin, hair)

    # Hair in front: a fringe above a wavy hairline.
    line = draw(-0.75, -0.5) + 0.05 * wave + draw(-0.25, 0.25) * u + 0.25 * u * u
    p.lay(hair, maximum(ellipse(u / 1.1, (v + 0.05) / 1.12), v - line), soft=2)


def _paint_features(p: Canvas, u: ndarray, v: ndarray, skin: ndarray, hair: ndarray) -> None:
    """Eyes, brows, nose and mouth, in the head's coordinates."""
    draw = p.rng.uniform
    iris = p.between((0.22, 0.13, 0.07), (0.30, 0.48, 0.60), 0.04)
    apart, level, wide = draw(0.36, 0.44), draw(-0.16, -0.06), draw(0.06, 0.1)
    gaze, brow_y = p.rng.normal(0, 0.03), draw(-0.24, -0.17)
    for side in (-1, 1):
        a, b = u - side * apart, v - level
        eye = ellipse(a / 0.19, b / wide) * wide
        p.lay(skin * 0.62, eye - 0.03, soft=3, opacity=0.7)
        p.lay(rgb((0.9, 0.88, 0.86)), eye, soft=1.5)
        disc = ellipse(a - gaze, b, 0.085)
        p.lay(iris, maximum(disc, eye), soft=1.5)
        p.lay(rgb((0.03, 0.03, 0.03)), maximum(disc + 0.045, eye), soft=1.5)
        p.lay(rgb((1, 1, 1)), ellipse(a - gaze - 0.03, b + 0.03, 0.02), soft=1.5)
        lid = abs(b + wide * (1 - (a / 0.2) ** 2)) - 0.018
        p.lay(skin * 0.25, maximum(lid, abs(a) - 0.21), soft=1.5)
        brow = maximum(abs(b - brow_y - 0.6 * a * a) - 0.035, abs(a) - 0.23)
        p.lay(hair * 0.8, brow, soft=3, opacity=0.85)
        p.lay(skin * 0.35, ellipse((u - side * 0.09) / 2, v - 0.34, 0.025), soft=2, opacity=0.8)
    along = np.exp(-(((v - 0.12) / 0.16) ** 2))
    p.pixels += 0.08 * along * (np.exp(-200 * u * u) - np.exp(-400 * (u - 0.12) ** 2))

    half, smile, thick = draw(0.24, 0.36), draw(-0.1, 0.5), draw(0.06, 0.09)
    curve = v - draw(0.52, 0.6) + smile * (u * u - 0.03) * 1.5
    taper, ends = np.sqrt(clip(1 - (u / half) ** 2, 0, 1)), abs(u) - half
    lips = skin * rgb((0.85, 0.5, 0.5)) + rgb((0.05, 0, 0.01))
    p.lay(lips, maximum(abs(curve) - thick * taper, ends), soft=1.5)
    teeth = rgb((0.88, 0.85, 0.8) if smile > 0.25 else (0.2, 0.07, 0.07))
    gap = 0.008 + 0.07 * max(smile, 0)
    p.lay(teeth, maximum(abs(curve) - gap * taper, ends + 0.1 * half), soft=1.5)


def _paint_church(p: Canvas) -> None:
    """A church between sky, woods and ground."""
    draw = p.rng.uniform
    zenith = p.between((0.20, 0.42, 0.78), (0.62, 0.66, 0.72), 0.04)
    horizon = p.between((0.72, 0.82, 0.92), (0.92, 0.76, 0.62), 0.04)
    p.pixels += zenith + (horizon - zenith) * clip((p.y + 1) / 1.5, 0, 1)
    clouds = clip(draw(-0.5, 0.6) + p.fractal(2.2, stretch=0.6), 0, 1.5) / 1.5
    p.lay(rgb((0.95, 0.95, 0.96)) * (1 - 0.15 * clouds), p.y - 2, opacity=0.9 * clouds)

    # Woods far behind.
    level, foliage = draw(0.45, 0.7), 1 + 0.3 * p.fractal(1.1)
    leaf = p.between((0.13, 0.24, 0.09), (0.42, 0.35, 0.14))
    ridge = level - draw(0.05, 0.3) - 0.06 * p.fractal(2.4)[:1]
    p.lay((leaf * 0.7 + 0.12) * foliage, ridge - p.y)

    # The building's own coordinates: x sideways, y upwards from the ground.
    scale, mirror = draw(0.85, 1.2), 1 if draw() < 0.5 else -1
    x = (p.x - p.rng.normal(0, 0.12) + p.rng.normal(0, 0.02) * p.y) * (mirror / scale)
    _paint_building(p, x, (level + 0.04 - p.y) / scale + 0 * x)

    # Ground, a path to the door, trees in front.
    grass = 1 + 0.3 * p.fractal(1.1, stretch=0.5)
    lawn = p.between((0.22, 0.36, 0.12), (0.52, 0.47, 0.34))
    p.lay(lawn * grass * (1 - 0.2 * p.y), level - p.y + 0 * p.x)
    path = abs(p.x - p.rng.normal(0, 0.3) * (p.y - 1)) - 0.1 - 0.5 * (p.y - level)
    gravel = rgb((0.62, 0.58, 0.52)) * (0.5 + 0.5 * grass)
    p.lay(gravel, maximum(path, level - p.y), soft=2, opacity=0.8)
    for _ in range(p.rng.integers(0, 4)):
        _paint_tree(p, level + draw(0.02, 0.2), leaf * draw(0.8, 1.2), foliage)


def _paint_building(p: Canvas, x: ndarray, y: ndarray) -> None:
    """Nave and tower, in the building's coordinates."""
    draw = p.rng.uniform
    stone = p.between((0.86, 0.80, 0.70), (0.50, 0.38, 0.32), 0.04)
    slate = p.between((0.26, 0.28, 0.33), (0.52, 0.26, 0.18))
    glass = p.between((0.08, 0.09, 0.14), (0.25, 0.32, 0.42))
    # Courses of stones: dark joints, every other row set off by half a stone.
    rows = y * draw(14, 22)
    columns = x * draw(8, 14) + 0.5 * (np.floor(rows) % 2)
    joint = minimum(abs(rows % 1 - 0.5), abs(columns % 1 - 0.5) * 1.6)
    wall = stone * (1 + 0.18 * p.fractal(1.2) - draw(0.05, 0.3) * clip(1.5 - 10 * joint, 0, 1))
    tiles = 1 + 0.16 * p.fractal(1.2) + 0.08 * np.sign(np.sin(y * draw(60, 110)))
    roof, trim, dim = slate * tiles, wall * 1.15, draw(0.6, 0.95)

    # Nave: a long wall under a sloping roof, with a row of arched windows.
    eaves, end = draw(0.35, 0.5), draw(0.6, 0.85)
    ridge = eaves + draw(0.22, 0.38)
    p.lay(wall * dim, box(x, y, -0.12, end, -0.05, eaves))
    hip = x - end - 0.05 + 0.12 * (y - eaves) / (ridge - eaves)
    p.lay(roof, maximum(box(x, y, -0.12, 2, eaves, ridge), hip))
    pitch = (end - 0.14) / int(p.rng.integers(3, 6))
    row = arch((x - 0.16) % pitch - pitch / 2, y, pitch * 0.24, 0.1, eaves * 0.62)
    row = maximum(row, box(x, y, 0.16, end + 0.02, -1, 1))
    p.lay(trim, row - 0.02)
    p.lay(glass, row)

    # Tower: shaft, ledges, then a spire, a dome or battlements, and a cross.
    half, top, kind = draw(0.15, 0.21), draw(0.75, 0.98), p.rng.integers(3)
    x = x + 0.18
    sunlit = 1 - (1 - dim) * 0.5 * (1 + np.tanh(x / half * 3))
    p.lay(wall * sunlit, box(x, y, -half, half, -0.05, top))
    for low in (top * 0.45, top - 0.02):
        p.lay(trim, box(x, y, -half - 0.02, half + 0.02, low, low + 0.03))
    tall = (draw(0.4, 0.7), half * 1.15, 0.07)[kind]
    crown = (
        abs(x) - (half + 0.01) * (1 - (y - top) / tall),
        ellipse(x / half, (y - top) / tall) * half,
        maximum(box(x, y, -half, half, top, top + tall), np.sin(x * 60) * 0.02),
    )[kind]
    p.lay((wall if kind == 2 else roof) * sunlit, maximum(crown, top - y))
    peak = top + tall
    beam = box(x, y, -0.045, 0.045, peak + 0.08, peak + 0.1)
    post = box(x, y, -0.012, 0.012, peak - 0.02, peak + 0.14)
    p.lay(rgb((0.2, 0.18, 0.15)), minimum(post, beam))
    for shape, fill in (
        (arch(abs(x) - half * 0.42, y, half * 0.2, top * 0.68, top * 0.82), glass * 0.7),
        (ellipse(x, y - top * 0.56, half * 0.3), glass),
        (arch(x, y, half * 0.42, -0.05, 0.14), slate * 0.5),
    ):
        p.lay(trim, shape - 0.018)
        p.lay(fill, shape)


def _paint_tree(p: Canvas, foot: float, leaf: ndarray, foliage: ndarray) -> None:
    """A tree at the left or the right, standing at height `foot`."""
    draw = p.rng.uniform
    radius, tall = draw(0.16, 0.34), draw(1.0, 1.9)
    x = p.x - draw(0.6, 1.05) * (1 if draw() < 0.5 else -1)
    trunk = box(x, p.y, -0.12 * radius, 0.12 * radius, foot - 2 * radius, foot)
    p.lay(rgb((0.24, 0.17, 0.12)) * foliage, trunk)
    y = (p.y - foot) / tall + radius * (1 + 0.7 / tall)
    light = (1 - 0.35 * clip(y / radius, -1, 1)) * clip(2 * foliage - 1, 0.2, None)
    p.lay(leaf * light, ellipse(x, y, radius * (0.65 + 0.35 * foliage)))


PAINTERS = {"sim_faces": _paint_face, "sim_churches": _paint_church}
