"""Windows that cover an image: of sliding-window inference, and of tiles cut from large images."""


def sliding_windows(
    size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]
) -> list[tuple[int, int, int, int]]:
    """Windows that cover an image row by row; the last ones are pushed back inside it.

    Args:
        size: (h, w) of the image.
        window: (h, w); where the image is smaller, the window is as large as the image.
        stride: (y, x) from one window to the next.

    Returns:
        ``(y1, y2, x1, x2)`` of each window.

    Raises:
        ValueError: a stride that is not positive, or larger than its window: pixels would be left
            out.
    """
    if any(not 0 < s <= w for s, w in zip(stride, window)):
        raise ValueError(f'stride={stride} must be between 1 and the window {window}')
    rows, columns = (_starts(*edge) for edge in zip(size, window, stride))
    return [
        (y, min(y + window[0], size[0]), x, min(x + window[1], size[1]))
        for y in rows
        for x in columns
    ]


def _starts(size: int, window: int, stride: int) -> list[int]:
    # As many steps as reach the far edge.
    count = max(size - window + stride - 1, 0) // stride + 1
    return [max(min(i * stride, size - window), 0) for i in range(count)]
