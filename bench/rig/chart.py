"""The chart: bars of the contenders at 64 connections. Readable on light and on dark pages."""

from html import escape

from .load import median, spread

JUDGED = 64
LABELS = {"direct": "direct", "nginx": "nginx", "bare": "bare proxy", "keyward": "Keyward"}
PANELS = [
    ("CPU time per request, µs", "cpu", 1, "less is better"),
    ("Requests per second, thousands", "per_second", 1000, "more is better"),
    ("p99, ms", "p99", 1000, "less is better"),
]
WIDTH = 860
BAR, GAP, LEFT, RIGHT = 17, 5, 150, 70
STYLE = """
  .page { fill: #ffffff; stroke: #d5dae1; }
  text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1c2430; }
  .title { font-size: 15px; font-weight: 600; }
  .quiet { fill: #5b6675; }
  .range { stroke: #1c2430; stroke-width: 1.5; }
  .grid { stroke: #e3e7ec; }
  .direct { fill: #b3bcc8; } .nginx { fill: #5aa469; } .bare { fill: #4a7fc1; } .keyward { fill: #d9822b; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14181f; stroke: #343c48; }
    text { fill: #e6eaf0; }
    .quiet { fill: #9aa5b4; }
    .range { stroke: #e6eaf0; }
    .grid { stroke: #2a313c; }
    .direct { fill: #6b7686; }
  }
"""


def draw(results):
    cases = [case for case in results["cases"] if case["connections"] == JUDGED]
    cases = cases or results["cases"][-1:]
    parts, y = [], 20
    for title, figure, unit, hint in PANELS:
        drawn, y = panel(title, hint, cases, lambda round: round[figure] / unit, figure, unit, y)
        parts += drawn
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" '
        f'role="img" aria-label="{escape(summary(cases), quote=True)}">\n<style>{STYLE}</style>\n'
        f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{y - 1}" rx="8"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def panel(title, hint, cases, value, figure, unit, y):
    most = max(value(r) for case in cases for rounds in case["rounds"].values() for r in rounds)
    step = nice(most / 4)
    scale = (WIDTH - LEFT - RIGHT) / most
    parts = [
        f'<text class="title" x="20" y="{y + 14}">{escape(title)} '
        f'<tspan class="quiet" font-weight="400">({cases[0]["connections"]} connections; {hint})</tspan></text>'
    ]
    top = y = y + 30
    bars = []
    for case in cases:
        label = case["version"] + (", in sessions" if case["in_session"] else "")
        bars.append(f'<text class="quiet" x="20" y="{y + 12}">{escape(label)}</text>')
        y += 20
        for name, rounds in case["rounds"].items():
            middle = median(rounds, figure) / unit
            low, high = (end / unit for end in spread(rounds, figure))
            line = y + BAR / 2
            bars += [
                f'<text x="{LEFT - 10}" y="{y + 13}" text-anchor="end">{LABELS[name]}</text>',
                f'<rect class="{name}" x="{LEFT}" y="{y}" width="{middle * scale:.1f}" height="{BAR}" rx="2"/>',
                f'<line class="range" x1="{LEFT + low * scale:.1f}" x2="{LEFT + high * scale:.1f}" '
                f'y1="{line}" y2="{line}"/>',
                f'<text x="{LEFT + high * scale + 8:.1f}" y="{y + 13}">{middle:.{digits(most)}f}</text>',
            ]
            y += BAR + GAP
        y += 8
    at = step
    while at < most:
        x = LEFT + at * scale
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{y - 8}"/>')
        at += step
    return parts + bars, y + 14


def nice(step):
    """The next round number of 1, 2 or 5 times a power of ten."""
    power = 1.0
    while power * 10 <= step:
        power *= 10
    while power > step:
        power /= 10
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step)


def digits(most):
    return 0 if most >= 1000 else 1 if most >= 10 else 2


def summary(cases):
    told = []
    for case in cases:
        figures = ", ".join(
            f"{LABELS[name]} {median(rounds, 'cpu'):.1f}" for name, rounds in case["rounds"].items()
        )
        told.append(f"{case['version']}{' in sessions' if case['in_session'] else ''}: {figures}")
    return "CPU time per request in µs. " + ". ".join(told) + "."
