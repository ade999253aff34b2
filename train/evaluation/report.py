"""What a person looks at: picture grids and plain tables."""

import io
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from geovq.storage.files import write_bytes
from geovq.validation import InputError

_GAP = 2
_FONT_SIZE = 13


def save_grid(
    path: str | os.PathLike, rows: Mapping[str, Float[np.ndarray, "n H W C"]], *, enlarge: int = 2
) -> pathlib.Path:
    """Saves rows of images as one PNG, the name of each row at its left.

    Args:
        path: The file to write.
        rows: Images in [0, 1] by row name, of one size, grey (C = 1) or colour (C = 3).
        enlarge: Screen pixels per image pixel.

    Returns:
        The path.

    Raises:
        InputError: No images, sizes that differ, or a number of channels that a picture cannot have.
    """
    from PIL import Image, ImageDraw, ImageFont  # here, because tables need no pictures

    shapes = {images.shape[1:] for images in rows.values()}
    if len(shapes) != 1 or next(iter(shapes))[2] not in (1, 3):
        raise InputError(f"picture: expected rows of images of one size, of 1 or 3 channels, found {sorted(shapes)}.")
    height, width, _ = (side * enlarge if axis < 2 else side for axis, side in enumerate(shapes.pop()))
    font = ImageFont.load_default(_FONT_SIZE)
    margin = int(max(font.getlength(name) for name in rows)) + 3 * _GAP
    columns = max(len(images) for images in rows.values())
    canvas = Image.new("RGB", (margin + columns * (width + _GAP), len(rows) * (height + _GAP)), "white")
    pen = ImageDraw.Draw(canvas)
    for index, (name, images) in enumerate(rows.items()):
        top = index * (height + _GAP)
        pen.text((_GAP, top + height // 2), name, fill="black", font=font, anchor="lm")
        for column, image in enumerate(np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)):
            tile = Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3)))
            canvas.paste(
                tile.resize((width, height), Image.Resampling.NEAREST), (margin + column * (width + _GAP), top)
            )
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG")
    path = pathlib.Path(path)
    write_bytes(path, buffer.getvalue())
    return path


def text_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table for a terminal: words to the left, numbers to the right.

    Args:
        columns: Headings.
        rows: Cells; floats are shown with four significant digits, None as a dash.

    Returns:
        Lines joined by newlines.
    """
    cells = [list(columns), *([cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    numeric = [
        rows and all(value is None or isinstance(value, (int, float)) for value in column)
        for column in zip(*rows, strict=True)
    ]
    lines = [
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, numeric or [False] * len(widths), strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def cell(value: object) -> str:
    """A table's cell: floats with four significant digits, None as a dash."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
