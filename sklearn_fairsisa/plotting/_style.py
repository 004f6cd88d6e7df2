"""Style and labels of all displays."""

import textwrap

import numpy as np

# Distinguishable with any kind of colour vision (after Okabe and Ito, and Tol).
COLORS = (
    "#0072B2", "#D55E00", "#009E73", "#AA4499", "#E69F00",
    "#56B4E9", "#882255", "#6B6B00", "#332288", "#000000",
)  # fmt: skip
# Markers and lines also distinguish the groups.
MARKERS = "osD^vPX<>p"
LINES = ("-", (0, (5, 1.5)), (0, (2, 1)), (0, (6, 1.5, 1, 1.5)))

# Width and height of a figure in inches. A phone shows 4.8 inches on about 360 pixels,
# where 9 points are still 9 pixels.
SIZE = (4.8, 4.0)

INK = "#333333"
MUTED = "#666666"
FAINT = "#B0B0B0"


def color_of(index):
    return COLORS[index % len(COLORS)]


def line_of(index):
    return LINES[index % len(LINES)]


def make_axes(ax, figsize):
    """Return the given axes, or new ones in a new figure."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError(
            "Plotting needs matplotlib. Install it with `pip install matplotlib`."
        ) from None
    return plt.subplots(figsize=figsize, layout="constrained")[1]


def tidy(ax):
    """Remove lines that carry no information."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)
    ax.tick_params(color=FAINT, labelcolor=INK, labelsize=9)
    ax.grid(True, color="#ECECEC", linewidth=0.8)
    ax.set_axisbelow(True)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set_color(INK)
        label.set_fontsize(10)


def set_title(ax, title, pad=6):
    """Write a title from the left end of the axes, in as many lines as it needs."""
    size = 9.5
    # A character is about half as wide as high.
    width = ax.get_window_extent().width * 72 / ax.figure.dpi
    fitting = max(20, int(width / (0.52 * size)))
    lines = [
        part for line in title.split("\n") for part in textwrap.wrap(line, fitting)
    ]
    ax.set_title("\n".join(lines), fontsize=size, color=INK, loc="left", pad=pad)


def place_labels(ax, points, texts, colors, *, dots=(), bars=(), fontsize=9):
    """Write a label beside each point so that labels cover neither each other nor dots.

    Parameters
    ----------
    ax : Axes
        Axes with their final limits.
    points : ndarray of shape (n_points, 2)
        In data coordinates.
    texts : list of str
    colors : list of str
    dots : ndarray of shape (n_dots, 2)
        Further points that labels must not cover, in data coordinates.
    bars : list of ((float, float), (float, float))
        Ends of lines that labels should not cover, in data coordinates.
    fontsize : float

    Returns
    -------
    labels : list of Annotation
    """
    from matplotlib.patheffects import withStroke

    figure = ax.figure
    renderer = figure.canvas.get_renderer()
    # Constrained layout moves the axes, so it is applied before positions are measured.
    figure.draw_without_rendering()
    scale = figure.dpi / 72
    pixels = ax.transData.transform(np.asarray(points, dtype=float))
    if len(dots):
        dots = np.vstack([pixels, ax.transData.transform(np.asarray(dots))])
    else:
        dots = pixels
    steps = np.linspace(0, 1, 60)[:, None]
    lines = [np.asarray(a) * (1 - steps) + np.asarray(b) * steps for a, b in bars]
    lines = ax.transData.transform(np.vstack(lines)) if lines else np.empty((0, 2))
    frame = ax.get_window_extent(renderer)
    sizes = []
    for text in texts:
        probe = ax.text(0, 0, text, fontsize=fontsize)
        box = probe.get_window_extent(renderer)
        probe.remove()
        sizes.append((box.width, box.height))
    # Crowded points choose first, because they have the fewest free places. Later
    # passes move a label to a better place if there is one.
    crowd = [np.sum(np.hypot(*(dots - p).T) < 80 * scale) for p in pixels]
    order = np.argsort(crowd, kind="stable")[::-1]
    chosen = {}
    for i in [*order, *order, *order]:
        others = [place[0] for j, place in chosen.items() if j != i]
        chosen[i] = min(
            _places(pixels[i], sizes[i], scale),
            key=lambda place: _badness(place, others, dots, lines, frame, scale),
        )
    labels = []
    for i in range(len(texts)):
        (x, y, _, _), distance = chosen[i]
        label = ax.annotate(
            texts[i],
            xy=points[i],
            xytext=((x - pixels[i][0]) / scale, (y - pixels[i][1]) / scale),
            textcoords="offset points",
            fontsize=fontsize,
            color=colors[i],
            va="bottom",
            ha="left",
            zorder=6,
            path_effects=[withStroke(linewidth=2.5, foreground="white", alpha=0.85)],
            arrowprops={"arrowstyle": "-", "color": colors[i], "lw": 0.6, "alpha": 0.7}
            if distance > 14 * scale
            else None,
        )
        labels.append(label)
    return labels


def _places(point, size, scale):
    """Yield boxes (x, y, width, height) around a point, and their distances."""
    width, height = size
    for distance in (6, 12, 20, 30, 45, 60, 80, 110):
        for angle in np.deg2rad(
            [0, 45, -45, 90, -90, 180, 135, -135, 20, -20, 160, -160]
        ):
            x = point[0] + distance * scale * np.cos(angle)
            y = point[1] + distance * scale * np.sin(angle)
            # The side of the box that faces the point is at this distance.
            x -= width * (1 - np.cos(angle)) / 2
            y -= height * (1 - np.sin(angle)) / 2
            yield (x, y, width, height), distance * scale


def _badness(place, boxes, dots, lines, frame, scale):
    (x, y, width, height), distance = place
    pad = 2 * scale
    cost = distance / scale
    for bx, by, bw, bh in boxes:
        overlap_x = min(x + width, bx + bw) - max(x, bx) + pad
        overlap_y = min(y + height, by + bh) - max(y, by) + pad
        if overlap_x > 0 and overlap_y > 0:
            cost += 400 + overlap_x * overlap_y / scale**2
    cost += 120 * _inside(dots, place[0], 4 * scale).sum()
    cost += 1.5 * _inside(lines, place[0], 0).sum()
    outside = max(0, frame.x0 - x, x + width - frame.x1)
    outside += max(0, frame.y0 - y, y + height - frame.y1)
    return cost + 30 * outside / scale


def _inside(points, box, margin):
    x, y, width, height = box
    return (
        (points[:, 0] > x - margin)
        & (points[:, 0] < x + width + margin)
        & (points[:, 1] > y - margin)
        & (points[:, 1] < y + height + margin)
    )
