"""Tables and plots of docs/performance.md. See `end-to-end`."""

import math
from html import escape

from measuring import Cost

COLOURS = {
    "wsplice": "#1f6feb",
    "floor": "#9a9a9a",
    "uWebSockets": "#1a7f37",
    "Node's ws": "#bf3989",
    "nginx + wsplice": "#8250df",
    "websocat": "#9a9a9a",
    "socat": "#c9a227",
}


def growth_table(grown):
    lines = [["growing", "unit", "", "cost"]]
    for growth, found in grown:
        for name, values in found.items():
            costs = ", ".join(f"{point:,}: {cost:,.0f}" if cost >= 100 else f"{point:,}: {cost:.3g}" for point, cost in values)
            lines.append([growth.title, growth.unit, name, costs])
    return markdown(lines)


def growth_plot(grown):
    """One panel per growth; both axes are logarithmic."""
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
            shapes.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"><title>{name}</title></polyline>')
    for i, name in enumerate(("wsplice", "floor")):
        shapes.append(f'<rect x="{60 + 90 * i}" y="{2 * (side + gap) + 12}" width="11" height="11" fill="{COLOURS[name]}"/><text x="{76 + 90 * i}" y="{2 * (side + gap) + 22}">{name}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * (side + gap) + 40}" height="{2 * (side + gap) + 34}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(shapes)}</svg>\n'
    )


def best_peer(figures):
    """The name and the cost of the cheapest peer, or None."""
    costs = [(cost.value, name) for name, cost in figures.items() if name not in ("floor", "wsplice") and isinstance(cost, Cost)]
    return min(costs, default=None)


def verdict(row, figures):
    """The targets, and whether they are met."""
    floor, ours, peer = figures["floor"], figures["wsplice"], best_peer(figures)
    if not isinstance(ours, Cost) or not isinstance(floor, Cost):
        return "", f"failed: {floor if isinstance(ours, Cost) else ours}"
    wanted = []
    if row.ratio:
        wanted.append((f"≤ {row.ratio:g} × floor", ours.value <= row.ratio * floor.value))
    if row.most:
        wanted.append((f"≤ {row.most:g} {row.unit.split()[0]}", ours.value <= row.most))
    if row.p99:
        wanted.append((f"p99 ≤ {row.p99:g} × floor", ours.p99 <= row.p99 * floor.p99))
    if row.peer:
        wanted.append((f"≤ {row.peer:g} × best peer", ours.value <= row.peer * peer[0] if peer else None))
    met = [is_met for _, is_met in wanted if is_met is not None]
    return ", ".join(text for text, _ in wanted), "" if not met else "yes" if all(met) else "**no**"


def figure(cost, floor):
    if not isinstance(cost, Cost):
        return cost or ""
    ratio = f" ({cost.value / floor.value:.2f} ×)" if isinstance(floor, Cost) and floor is not cost and floor.value > 0 else ""
    size = "" if cost.size is None else f", {cost.size:,.0f} B each"
    p99 = "" if cost.p99 is None else f", p99 {cost.p99:,.0f} µs"
    return f"{cost.value:.3g}{ratio}{size}{p99}"


def compared(figures):
    """Our cost as a multiple of that of the best peer."""
    ours, peer = figures["wsplice"], best_peer(figures)
    return f"{ours.value / peer[0]:.2f} × {peer[1]}" if peer and peer[0] > 0 and isinstance(ours, Cost) else ""


def markdown(lines):
    lines = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def table(measured):
    present = {name for _, figures in measured for name in figures}
    peers = [name for name in COLOURS if name in present - {"floor", "wsplice"}]
    lines = [["work", "unit", "floor", "wsplice", "wanted", "met", "best peer", *peers]]
    for row, figures in measured:
        floor = figures["floor"]
        costs = [figure(figures.get(name), floor) for name in ("floor", "wsplice", *peers)]
        lines.append([row.title, row.unit, *costs[:2], *verdict(row, figures), compared(figures), *costs[2:]])
    return markdown(lines)


def threads_table(measured):
    lines = [["work", "one thread, a second", "two threads, a second", "times", "possible", "CPU time of the load program"]]
    for row, rates in measured:
        if isinstance(rates, str):
            lines.append([row.title, rates, "", "", "", ""])
        else:
            one, two = rates.rates
            lines.append([row.title, f"{one:,.0f}", f"{two:,.0f}", f"{two / one:.2f}", f"{rates.possible:.2f}", f"{rates.load_share:.0%}"])
    return markdown(lines)


def plot(measured):
    """Bars of multiples of the floor, on a logarithmic scale; a tick marks the target."""
    bars, height, left, width = [], 20, 330, 560
    most = 1.0
    shown = []
    for row, figures in measured:
        floor = figures["floor"]
        if not isinstance(floor, Cost) or floor.value <= 0:
            continue
        ratios = {name: figures[name].value / floor.value for name in COLOURS if name != "floor" and isinstance(figures.get(name), Cost)}
        if ratios:
            shown.append((row, ratios, row.ratio or (row.most / floor.value if row.most else None)))
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
            bars.append(f'<rect x="{left}" y="{top}" width="{x(ratio) - left:.1f}" height="11" fill="{COLOURS[name]}"><title>{escape(name)}: {ratio:.2f} × the floor</title></rect>')
            bars.append(f'<text x="{label_at(x(ratio), reach) + 4:.0f}" y="{top + 9}" fill="#666" font-size="10">{ratio:.2f}</text>')
            top += 13
        if wanted:
            bars.append(f'<line x1="{x(wanted):.1f}" x2="{x(wanted):.1f}" y1="{start - 2}" y2="{start + 13}" stroke="#d1242f" stroke-width="2"/>')
        top += height - 13
    bars.append(f'<line x1="{x(1):.1f}" x2="{x(1):.1f}" y1="20" y2="{top}" stroke="#444" stroke-dasharray="3 3"/>')
    present = {name for _, ratios, _ in shown for name in ratios}
    legend = [name for name in COLOURS if name in present]
    for i, name in enumerate(legend):
        bars.append(f'<rect x="{left + 110 * i}" y="{top + 6}" width="11" height="11" fill="{COLOURS[name]}"/><text x="{left + 16 + 110 * i}" y="{top + 16}">{escape(name)}</text>')
    bars.append(f'<text x="{left + 110 * len(legend)}" y="{top + 16}" fill="#d1242f">| wanted</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 50}" height="{top + 26}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(bars)}</svg>\n'
    )


