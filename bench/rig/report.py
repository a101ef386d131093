"""The report: what was held against what it was to hold, the tables, and how to repeat it."""

from . import chart as drawing
from .load import median, ratio, spread

JUDGED = 64
NAMES = {
    "direct": "nothing: the upstream itself",
    "nginx": "nginx, a map of 1,000 keys",
    "bare": "a bare hyper proxy, one HMAC",
    "keyward": "**Keyward**",
}
BEGIN = "<!-- written by bench/run --report: begin -->"
END = "<!-- written by bench/run --report: end -->"


def write(results, file):
    """Puts the report between its marks where the file has them, else makes the file."""
    chart = file.with_name("performance-proxying.svg")
    chart.write_text(drawing.draw(results))
    body = f"{BEGIN}\n{text(results, chart.name)}\n{END}\n"
    there = file.read_text() if file.exists() else ""
    if BEGIN in there and END in there:
        before, rest = there.split(BEGIN, 1)
        after = rest.split(END, 1)[1].lstrip("\n")
        body = before + body + ("\n" + after if after else "")
    file.write_text(body)


def text(results, chart):
    parts = [verdict(results), memory(results)]
    if chart:
        parts.insert(1, f"![CPU per request, requests per second and latency at 64 connections]({chart})")
    parts += [calls(results), conditions(results)]
    return "\n\n".join(part for part in parts if part)


def way(case):
    return case["version"] + (", in sessions" if case["in_session"] else "")


def verdict(results):
    """The ratios that Keyward is to hold, where they are judged."""
    cases = [case for case in results["cases"] if case["connections"] == JUDGED]
    kinds = [
        ("CPU per request, of the bare proxy's", "cpu", "bare", 1.15),
        ("CPU per request, of nginx's", "cpu", "nginx", 1.5),
        ("p99, of the bare proxy's", "p99", "bare", 1.2),
    ]
    rows = []
    for title, figure, other, bound in kinds:
        if not cases or not {"keyward", other} <= set(cases[0]["rounds"]):
            continue
        found = [ratio(c["rounds"]["keyward"], c["rounds"][other], figure) for c in cases]
        rows.append([title, *(marked(value, bound) for value in found), f"{bound:g}"])
    if not rows:
        return ""
    head = [f"Keyward at {JUDGED} connections", *map(way, cases), "at most"]
    return table(head, rows)


def marked(value, bound):
    return f"{value:.2f}" if value <= bound else f"**{value:.2f}**, too much"


def memory(results):
    count = f"{results['streams']:,}"
    rows = []
    for name, figures in results["memory"].items():
        per_stream = f"{figures['stream_kib']:.1f} KiB"
        peak = figures.get("peak_rss")
        idle = f"{figures['idle_rss'] / 1024:.1f} MiB"
        rows.append([NAMES[name], idle, f"{peak / 1024:.1f} MiB" if peak else "", per_stream])
    if not rows:
        return ""
    head = ["memory", "idle", "most under load", f"for each of {count} idle SSE streams"]
    return table(head, rows)


def calls(results):
    head = ["protocol version", "connections", "through", "requests/s", "p50", "p99", "CPU/request"]
    head += ["of bare's", "of nginx's"]
    rows = []
    for case in results["cases"]:
        for name, rounds in case["rounds"].items():
            low, high = spread(rounds, "cpu")
            low_rate, high_rate = spread(rounds, "per_second")
            rows.append(
                [
                    way(case),
                    str(case["connections"]),
                    NAMES[name],
                    f"{median(rounds, 'per_second'):,.0f} ({low_rate:,.0f}–{high_rate:,.0f})",
                    duration(median(rounds, "p50")),
                    duration(median(rounds, "p99")),
                    f"{median(rounds, 'cpu'):.1f} µs ({low:.1f}–{high:.1f})",
                    compared(case, name, "bare"),
                    compared(case, name, "nginx"),
                ]
            )
    return table(head, rows)


def compared(case, name, other):
    if name == "direct" or other not in case["rounds"]:
        return ""
    return f"{ratio(case['rounds'][name], case['rounds'][other], 'cpu'):.2f}"


def duration(us):
    return f"{us / 1000:.2f} ms"


def conditions(results):
    facts = results["facts"]
    shares = [
        round["others"]
        for case in results["cases"]
        for name, rounds in case["rounds"].items()
        for round in rounds
        if name != "direct"
    ]
    busy = sorted(shares)[len(shares) // 2] * 100 if shares else 0
    lines = [
        f"Medians (least–most) of rounds of {results['seconds']} s; ratios are medians of the ratios of "
        "rounds that were neighbours. The CPU of a call through nothing is the upstream's own.",
    ]
    if busy > 5:
        lines.append(
            f"**The machine was busy while this was taken**: other work had {busy:.0f} % of the proxy's "
            "core (median over the rounds). Read the ratios only, and those with caution."
        )
    else:
        lines.append(f"Other work had {busy:.1f} % of the proxy's core (median over the rounds).")
    lines.append(
        f"{facts['date']}; {facts['CPU']}, {facts['cores']} cores; {facts['kernel']}; "
        f"Keyward {facts['keyward']}; {facts['rustc']}; nginx {facts['nginx']}; wrk {facts['wrk']}; the bare "
        f"proxy with {facts['libraries']} and the {allocator(facts['bare'])}. To repeat: "
        f"`{facts['command']}`."
    )
    return "\n".join(lines)


def allocator(name):
    return "system's allocator (Keyward has mimalloc)" if name == "system" else "mimalloc, as Keyward"


def table(head, rows):
    lines = ["| " + " | ".join(cells) + " |" for cells in [head, *rows]]
    lines.insert(1, "|" + "---|" * len(head))
    return "\n".join(lines)
