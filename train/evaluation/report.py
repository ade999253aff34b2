"""What a person looks at: picture grids, plain tables, and one self-contained HTML page for a run."""

import base64
import html
import io
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from geovq.storage import write_bytes
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


def save_page(
    path: str | os.PathLike,
    title: str,
    tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[object]]]],
    pictures: Mapping[str, pathlib.Path],
    notes: str,
) -> None:
    """Saves one HTML file with tables and pictures inside it.

    Args:
        path: The file to write.
        title: Its heading.
        tables: Headings and rows by caption.
        pictures: PNG files by caption.
        notes: Preformatted text at the end.

    Raises:
        InputError: The file cannot be written.
    """
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>", _STYLE]
    parts.append(f"<h1>{html.escape(title)}</h1>")
    for caption, (columns, rows) in tables.items():
        head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell(v))}</td>" for v in row) + "</tr>" for row in rows)
        parts.append(f"<h2>{html.escape(caption)}</h2><table><tr>{head}</tr>{body}</table>")
    for caption, picture in pictures.items():
        data = base64.b64encode(picture.read_bytes()).decode()
        text = html.escape(caption)
        parts.append(f'<h2>{text}</h2><img alt="{text}" src="data:image/png;base64,{data}">')
    parts.append(f"<h2>Options</h2><pre>{html.escape(notes)}</pre></html>")
    write_bytes(path, "\n".join(parts).encode())


_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse } td, th { border-bottom: 1px solid #ccc; padding: .2rem .7rem; text-align: left }
img { image-rendering: pixelated; max-width: 100% } pre { background: #f4f4f4; padding: 1rem; overflow: auto }
</style>"""


def cell(value: object) -> str:
    """A table's cell: floats with four significant digits, None as a dash."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
