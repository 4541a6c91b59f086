"""Tables and plots of docs/performance.md. See `end-to-end`."""

import math
from html import escape


def growth_table(grown):
    lines = ["| growing | unit | | cost |", "| --- | --- | --- | --- |"]
    for growth, found in grown:
        for name, values in found.items():
            costs = ", ".join(f"{point:,}: {cost:,.0f}" if cost >= 100 else f"{point:,}: {cost:.3g}" for point, cost in values)
            lines.append(f"| {growth.title} | {growth.unit} | {name} | {costs} |")
    return "\n".join(lines)


def growth_plot(grown):
    """One panel per growth; both axes are logarithmic."""
    colours = {"wsplice": "#1f6feb", "floor": "#9a9a9a"}
    side, gap, shapes = 230, 70, []
    for i, (growth, found) in enumerate(grown):
        left, top = 60 + i % 2 * (side + gap), 30 + i // 2 * (side + gap)
        values = [value for values in found.values() for value in values]
        ends = [(math.log(min(axis)), math.log(max(axis))) for axis in zip(*values)]

        def at(value, axis):
            low, high = ends[axis]
            part = (math.log(value) - low) / max(high - low, 1)
            return left + part * side if axis == 0 else top + side - part * side

        shapes.append(f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="none" stroke="#ccc"/>')
        shapes.append(f'<text x="{left}" y="{top - 8}">{escape(growth.title)}; {escape(growth.unit)}</text>')
        for point in growth.points:
            shapes.append(f'<text x="{at(point, 0):.0f}" y="{top + side + 14}" text-anchor="middle" fill="#666" font-size="9">{point:,}</text>')
        for cost in (math.exp(end) for end in ends[1]):
            shapes.append(f'<text x="{left - 4}" y="{at(cost, 1) + 4:.0f}" text-anchor="end" fill="#666" font-size="10">{cost:.2g}</text>')
        for name, values in found.items():
            line = " ".join(f"{at(point, 0):.1f},{at(cost, 1):.1f}" for point, cost in values)
            shapes.append(f'<polyline points="{line}" fill="none" stroke="{colours[name]}" stroke-width="2"><title>{name}</title></polyline>')
    for i, (name, colour) in enumerate(colours.items()):
        shapes.append(f'<rect x="{60 + 90 * i}" y="{2 * (side + gap) + 12}" width="11" height="11" fill="{colour}"/><text x="{76 + 90 * i}" y="{2 * (side + gap) + 22}">{name}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * (side + gap) + 40}" height="{2 * (side + gap) + 34}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(shapes)}</svg>\n'
    )


def verdict(row, figures):
    """The target, and whether it is met."""
    floor, ours = figures["floor"], figures["wsplice"]
    if isinstance(ours, str) or isinstance(floor, str):
        return "", f"failed: {ours if isinstance(ours, str) else floor}"
    if row.ratio:
        wanted, met = f"≤ {row.ratio:g} ×", ours[0] <= row.ratio * floor[0]
    else:
        wanted, met = f"≤ {row.most:g} {row.unit.split()[0]}", ours[0] <= row.most
    if row.p99:
        wanted, met = f"{wanted}, p99 ≤ {row.p99:g} ×", met and ours[1] <= row.p99 * floor[1]
    return wanted, "yes" if met else "**no**"


def figure(value, floor):
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    ratio = "" if isinstance(floor, str) or floor[0] <= 0 else f" ({value[0] / floor[0]:.2f} ×)"
    p99 = "" if value[1] is None else f", p99 {value[1]:,.0f} µs"
    return f"{value[0]:.3g}{ratio}{p99}"


def table(measured):
    peers = sorted({name for _, figures in measured for name in figures} - {"floor", "wsplice"})
    head = ["work", "unit", "floor", "wsplice", "wanted", "met", *peers]
    lines = [head, ["---"] * len(head)]
    for row, figures in measured:
        floor = figures["floor"]
        own = "" if isinstance(floor, str) else figure(floor, floor).replace(" (1.00 ×)", "")
        lines.append([row.title, row.unit, own, figure(figures["wsplice"], floor), *verdict(row, figures), *(figure(figures.get(peer), floor) for peer in peers)])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def plot(measured):
    """Bars of multiples of the floor, on a logarithmic scale; a tick marks the target."""
    colours = {"wsplice": "#1f6feb", "websocat": "#9a9a9a", "socat": "#c9a227"}
    bars, height, left, width = [], 20, 330, 560
    most = 1.0
    shown = []
    for row, figures in measured:
        floor = figures["floor"]
        ratios = {name: value[0] / floor[0] for name, value in figures.items() if name != "floor" and not isinstance(value, str) and not isinstance(floor, str) and floor[0] > 0}
        if ratios:
            shown.append((row, ratios, row.ratio or (row.most / floor[0] if row.most else None)))
            most = max(most, *ratios.values())

    def x(ratio):
        return left + width * math.log(max(ratio, 0.5) / 0.5) / math.log(most * 1.3 / 0.5)

    for step in (0.5, 1, 2, 5, 10, 20, 50, 100, 200):
        if step <= most * 1.3:
            bars.append(f'<text x="{x(step):.0f}" y="16" text-anchor="middle" fill="#666">{step:g}×</text>')
    def label_at(end, tick):
        """After the bar, or after the tick if the tick would overlap."""
        return tick if end - 4 < tick < end + 32 else end

    top = 26
    for row, ratios, wanted in shown:
        start = top
        reach = x(wanted) if wanted else 0
        bars.append(f'<text x="{left - 8}" y="{top + 11}" text-anchor="end">{escape(row.title)}</text>')
        for name, ratio in ratios.items():
            bars.append(f'<rect x="{left}" y="{top}" width="{x(ratio) - left:.1f}" height="11" fill="{colours[name]}"><title>{escape(name)}: {ratio:.2f} × the floor</title></rect>')
            bars.append(f'<text x="{label_at(x(ratio), reach) + 4:.0f}" y="{top + 9}" fill="#666" font-size="10">{ratio:.2f}</text>')
            top += 13
        if wanted:
            bars.append(f'<line x1="{x(wanted):.1f}" x2="{x(wanted):.1f}" y1="{start - 2}" y2="{start + 13}" stroke="#d1242f" stroke-width="2"/>')
        top += height - 13
    bars.append(f'<line x1="{x(1):.1f}" x2="{x(1):.1f}" y1="20" y2="{top}" stroke="#444" stroke-dasharray="3 3"/>')
    present = {name for _, ratios, _ in shown for name in ratios}
    for i, (name, colour) in enumerate((name, colour) for name, colour in colours.items() if name in present):
        bars.append(f'<rect x="{left + 90 * i}" y="{top + 6}" width="11" height="11" fill="{colour}"/><text x="{left + 16 + 90 * i}" y="{top + 16}">{name}</text>')
    bars.append(f'<text x="{left + 280}" y="{top + 16}" fill="#d1242f">| wanted</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 50}" height="{top + 26}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(bars)}</svg>\n'
    )
