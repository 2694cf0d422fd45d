#!/usr/bin/env python3
"""Writes the tables and plots of docs/performance.md from what run.py, around.py, growth.py, generation.py and `dpo bench --profile` measured.

    python Benchmarks/report.py ENGINE      from build/bench/ENGINE/{step,around,profile-*,growth,generation}.json, each optional

Text between <!-- NAME ENGINE --> and <!-- /NAME ENGINE --> is replaced; everything else in the page is written by hand.
"""
import json
import math
import re
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/performance.md"
#: Goals by engine and workload, fp32: at most so many times the limit, at least so many times faster than TRL and PyTorch.
GOALS = {("avx512", "short"): (1.2, 4, 1.9), ("avx512", "long"): (1.2, 5.7, None), ("avx2", "short"): (1.2, 3, 1.5), ("avx2", "long"): (1.2, 4.5, None)}
#: Of a batch of 1, of 16 and of prompts, times llama.cpp's rate.
GENERATION_GOALS = {"avx512": (1.6, 2.7, 2.5), "avx2": (1.1, 2, 2)}


def measured_on(found):
    """What every table says of the machine."""
    machine = found.get("machine", found)
    return f"{machine['processor']}, {machine['cores']} cores, engine {found['engine']}"


def against(ratio, goal, sign):
    return f"{ratio:.2f}" + (f" ({sign} {goal:g})" if goal else "")


def read(folder, name):
    path = folder / name
    return json.loads(path.read_text()) if path.exists() else None


def seconds(runs):
    return median(run["seconds_per_step"] for run in runs), min(run.get("seconds_per_step_min", run["seconds_per_step"]) for run in runs)


def step_table(found):
    lines = [f"{measured_on(found)}, {found['threads']} threads; medians of one run, fastest step in brackets.", "",
             "| workload | libdpo, s | limit, s | × the limit (goal) | × faster than TRL (goal) | × faster than tuned PyTorch (goal) | peak MB |",
             "|---|---|---|---|---|---|---|"]
    full = {}
    for record in found["results"]:
        runs, key = record["runs"], (record["workload"], record["precision"])
        if record["lora_r"] or "libdpo" not in runs:
            continue
        ours, fastest = seconds(runs["libdpo"])
        peak = max(run["peak_rss_mb"] for run in runs["libdpo"])
        full[key] = ours
        limit = seconds(runs["limit"])[0] if "limit" in runs else math.nan
        goals = GOALS.get((found["engine"], key[0])) if key[1] == "fp32" else None
        goals = goals or (None, None, None)
        cells = [against(ours / limit, goals[0], "≤")]
        for who, goal in (("TRL", goals[1]), ("PyTorch, tuned", goals[2])):
            cells.append(against(seconds(runs[who])[0] / ours, goal, "≥") if who in runs else "not measured")
        lines.append(f"| {key[0]} {key[1]}, all weights | {ours:.2f} ({fastest:.2f}) | {limit:.2f} | {' | '.join(cells)} | {peak} |")
    for record in found["results"]:
        if record["lora_r"] and "libdpo" in record["runs"] and (record["workload"], record["precision"]) in full:
            ours, fastest = seconds(record["runs"]["libdpo"])
            peak = max(run["peak_rss_mb"] for run in record["runs"]["libdpo"])
            share = ours / full[record["workload"], record["precision"]]
            lines.append(f"| {record['workload']} {record['precision']}, LoRA {record['lora_r']} | {ours:.2f} ({fastest:.2f}) | | {share:.2f} of the full step{' (≤ 0.75, ≤ 600 MB)' if record['workload'] == 'short' and record['precision'] == 'fp32' else ''} | | | {peak} |")
    return lines


def profile_table(folder):
    """Milliseconds and, in brackets, GFLOP/s or GB/s of what takes at least 4 ms of one of the steps."""
    kinds = {"short, all weights": "short", "long, all weights": "long", "short, LoRA 16": "lora"}
    found = {title: read(folder, f"profile-{name}.json") for title, name in kinds.items()}
    if not all(found.values()):
        return None
    names = {}
    for run in found.values():
        for entry in run["profile"]:
            names[entry["name"]] = max(names.get(entry["name"], 0), entry["ms"])

    def cell(run, name):
        entry = next((entry for entry in run["profile"] if entry["name"] == name), None)
        if entry is None or entry["ms"] < 0.5:
            return ""
        rate = f" ({entry['gflops']:.0f})" if entry["gflops"] >= 1 else f" ({entry['gb_s']:.0f} GB/s)" if entry["gb_s"] >= 1 else ""
        return f"{entry['ms']:.0f}{rate}"

    lines = ["| part of a step, ms (GFLOP/s), fp32 | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    for name in sorted(names, key=names.get, reverse=True):
        if names[name] >= 4:
            lines.append(f"| {name} | " + " | ".join(cell(run, name) for run in found.values()) + " |")
    # Parts are means over the timed steps, and so is the whole.
    wholes = [1e3 * sum(run["seconds_per_step_all"]) / len(run["seconds_per_step_all"]) for run in found.values()]
    rest = [whole - sum(entry["ms"] for entry in run["profile"]) for whole, run in zip(wholes, found.values())]
    lines.append("| the rest: AdamW, the gradients' norm, the loss | " + " | ".join(f"{ms:.0f}" for ms in rest) + " |")
    lines.append("| whole step | " + " | ".join(
        f"{whole:.0f} ({run['gflops'] * run['seconds_per_step'] * 1e3 / whole:.0f})" for whole, run in zip(wholes, found.values())) + " |")
    return lines


def fitted(points, x):
    """Exponent of the power law through the points."""
    xs, ys = [math.log(p[x]) for p in points], [math.log(p["seconds"]) for p in points]
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - mx) * (b - my) for a, b in zip(xs, ys)) / sum((a - mx) ** 2 for a in xs)


def growth(found, picture):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
    series = found["series"]
    kinds = [("tokens", "tokens", "distinct tokens, one pair"), ("pairs", "tokens", "distinct tokens, more pairs"),
             ("completions", "tokens", "distinct tokens, more completions of one prompt"), ("parameters", "value", "parameters")]
    kinds = [kind for kind in kinds if len(series.get(kind[0], [])) > 1]
    figure, axes = pyplot.subplots(1, max(1, len(kinds)), figsize=(4 * len(kinds), 3.4), squeeze=False)
    lines = []
    for axis, (kind, x, title) in zip(axes[0], kinds):
        points, exponent = series[kind], fitted(series[kind], x)
        axis.loglog([p[x] for p in points], [p["seconds"] for p in points], "o-", color="#2a6f97")
        end = points[-1]
        axis.loglog([p[x] for p in points], [end["seconds"] * p[x] / end[x] for p in points], ":", color="#888888", label="linear")
        axis.legend(frameon=False)
        axis.set(xlabel=title, ylabel="seconds a step", title=f"exponent {exponent:.2f}")
        for ticks in (axis.xaxis, axis.yaxis):
            ticks.set_major_locator(LogLocator(subs=(1, 2, 5) if ticks is axis.yaxis or kind in ("completions", "parameters") else (1, 3)))
            ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1e6:g}M" if value >= 1e6 else f"{value:g}"))
            ticks.set_minor_formatter(NullFormatter())
        axis.grid(True, which="both", alpha=0.25)
        lines.append(f"- {title}: exponent {exponent:.2f} ({points[0][x]:,} → {points[-1][x]:,}: {points[0]['seconds']:.2f} → {points[-1]['seconds']:.2f} s)")
    if kinds:
        figure.tight_layout()
        figure.savefig(picture, dpi=110)
    threads = {p["value"]: p["seconds"] for p in series.get("threads", [])}
    if 1 in threads and 2 in threads:
        lines.append(f"- threads 1 → 2: {threads[1]:.2f} → {threads[2]:.2f} s, {threads[1] / threads[2]:.2f} × faster (goal ≥ 1.9)")
    shown = [f"![Step time, where it grows]({picture.name})", ""] if kinds else []
    return [f"{measured_on(found)}.", "", *shown, *lines]


def generation_table(found):
    one, many, prompts = GENERATION_GOALS.get(found["engine"], (None,) * 3)
    rates = {(row["weights"], row["program"], row["batch"]): row for row in found["results"]}
    lines = [f"{measured_on(found)}, {found['threads']} threads, prompts of {found['prompt']} tokens, {found['new']} new ones each; tokens a second, and our ratios to llama.cpp (goals in brackets).", "",
             "| weights | batch | libdpo fp32 | libdpo bf16 | llama.cpp | ratio | prompts: libdpo | llama.cpp | ratio |", "|---" * 9 + "|"]
    for weights, batch in dict.fromkeys((row["weights"], row["batch"]) for row in found["results"] if row["program"] == "ours"):
        ours, half, peer = (rates.get((weights, program, batch)) for program in ("ours", "ours-bf16", "llama.cpp"))
        best = max((row for row in (ours, half) if row), key=lambda row: row["tokens_per_second"])
        ratio = against(best["tokens_per_second"] / peer["tokens_per_second"], one if batch == 1 else many, "≥") if peer else "not measured"
        reading = against(max(row["prefill_tokens_per_second"] for row in (ours, half) if row) / peer["prefill_tokens_per_second"], prompts, "≥") if peer else ""
        cell = lambda row, key="tokens_per_second": f"{row[key]:.0f}" if row else ""
        lines.append(f"| {weights} | {batch} | {cell(ours)} | {cell(half)} | {cell(peer)} | {ratio} | "
                     f"{cell(max((row for row in (ours, half) if row), key=lambda row: row['prefill_tokens_per_second']), 'prefill_tokens_per_second')} | "
                     f"{cell(peer, 'prefill_tokens_per_second')} | {reading} |")
    for row in found["results"]:
        if row["program"].startswith("hf-"):
            lines.append(f"| transformers, {row['program'][3:]} | {row['batch']} | | | {row['tokens_per_second']:.0f} | | | {row['prefill_tokens_per_second']:.0f} | |")
    return lines


def around_table(found):
    score, memory = found["scoring"], found["memory_seconds"]
    lines = [f"{measured_on(found)}.", "", f"- `dpo logps` over {score['rows']:,} pairs ({score['tokens']:,} tokens), whole command: {score['seconds']:.0f} s, "
             f"{score['limit_seconds'] / score['seconds']:.2f} of the forward limit (goal ≥ 0.9)."]
    for name, first in found["first"].items():
        beyond = first["load_seconds"] + first["first_step_seconds"] - first["seconds_per_step"]
        lines.append(f"- load to first finished step, {name}: {first['load_seconds']:.2f} s to load, first step {first['first_step_seconds']:.1f} s, "
                     f"later ones {first['seconds_per_step']:.1f} s: {beyond:.1f} s beyond the step (goal ≤ 2).")
    lines.append(f"- 2.7 GB of memory that was not used lately, written to by a program that does nothing else: {memory[0]:.1f} s; once more at once: {memory[1]:.1f} s.")
    lines += ["", "| `--gradient-checkpointing` | activations, MB | share (goal ≤ 0.25) | s a step | × (goal ≤ 1.35) | peak MB |", "|---|---|---|---|---|---|"]
    for row in found["checkpointing"]:
        kept, again = row["kept"], row["recomputed"]
        lines.append(f"| {row['workload']} fp32, {'LoRA 16' if row['lora'] else 'all weights'} | {kept['activations_mb']} → {again['activations_mb']} | "
                     f"{again['activations_mb'] / kept['activations_mb']:.2f} | {kept['seconds']:.2f} → {again['seconds']:.2f} | {again['seconds'] / kept['seconds']:.2f} | "
                     f"{kept['peak_mb']} → {again['peak_mb']} |")
    return lines


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    engine = sys.argv[1]
    folder = ROOT / "build/bench" / engine
    page = PAGE.read_text(encoding="utf-8")
    parts = {"step": ("step.json", step_table), "around": ("around.json", around_table),
             "growth": ("growth.json", lambda found: growth(found, ROOT / f"docs/growth-{engine}.png")), "generation": ("generation.json", generation_table)}
    tables = {name: table(found) if (found := read(folder, file)) is not None else None for name, (file, table) in parts.items()}
    tables["profile"] = profile_table(folder)
    for name, lines in tables.items():
        if lines is None:
            print(f"{folder} lacks what {name} was measured in: that part of the page stays as it was")
            continue
        text = "\n".join(lines)
        page, count = re.subn(rf"(<!-- {name} {engine} -->\n).*?(<!-- /{name} {engine} -->)", lambda m: m[1] + text + "\n" + m[2], page, flags=re.DOTALL)
        if count == 0:
            print(f"{PAGE.name} has no place for {name} {engine}: left out")
    PAGE.write_text(page, encoding="utf-8")
    print(f"Wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
