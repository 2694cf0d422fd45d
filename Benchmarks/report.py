#!/usr/bin/env python3
"""Writes the tables and plots of docs/performance.md from what run.py, around.py, growth.py, generation.py and `dpo bench --profile` measured.

    python Benchmarks/report.py DIRECTORY      with step.json, around.json, growth.json, profile.json and generation.json, each optional

Text between <!-- NAME --> and <!-- /NAME --> is replaced; everything else in the page is written by hand.
"""
import json
import math
import re
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/performance.md"
#: Goals: at most so many times the limit, at least so many times faster than the others.
GOALS = {("short", "fp32"): (1.25, 4.5, 3.3), ("short", "bf16"): (1.4, 7, 3.5), ("long", "fp32"): (1.25, 9, 4.5), ("long", "bf16"): (1.4, 13, 5.5)}


def read(folder, name):
    path = folder / name
    return json.loads(path.read_text()) if path.exists() else None


def seconds(runs):
    return median(run["seconds_per_step"] for run in runs), min(run.get("seconds_per_step_min", run["seconds_per_step"]) for run in runs)


def step_table(found):
    machine = found["machine"]["processor"]
    lines = [f"{machine}, {found['threads']} threads; medians of one run, fastest step in brackets.", "",
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
        goals = GOALS.get(key, (math.nan,) * 3)
        cells = [f"{ours / limit:.2f} (≤ {goals[0]:g})"]
        for who, goal in (("TRL", goals[1]), ("PyTorch, tuned", goals[2])):
            cells.append(f"{seconds(runs[who])[0] / ours:.1f} (≥ {goal:g})" if who in runs else "not measured")
        lines.append(f"| {key[0]} {key[1]}, all weights | {ours:.2f} ({fastest:.2f}) | {limit:.2f} | {' | '.join(cells)} | {peak} |")
    for record in found["results"]:
        if record["lora_r"] and "libdpo" in record["runs"] and (record["workload"], record["precision"]) in full:
            ours, fastest = seconds(record["runs"]["libdpo"])
            peak = max(run["peak_rss_mb"] for run in record["runs"]["libdpo"])
            share = ours / full[record["workload"], record["precision"]]
            lines.append(f"| {record['workload']} {record['precision']}, LoRA {record['lora_r']} | {ours:.2f} ({fastest:.2f}) | | {share:.2f} of the full step | | | {peak} |")
    return lines


def profile_table(found):
    lines = ["| part of a step (short, fp32) | ms | GFLOP/s | GB/s | share |", "|---|---|---|---|---|"]
    total = found["seconds_per_step"] * 1e3
    for entry in found["profile"]:
        if entry["ms"] >= 1:
            rates = [f"{entry[key]:.0f}" if entry[key] >= 1 else "" for key in ("gflops", "gb_s")]
            lines.append(f"| {entry['name']} | {entry['ms']:.0f} | {rates[0]} | {rates[1]} | {entry['ms'] / total:.1%} |")
    lines.append(f"| whole step | {total:.0f} | {found['gflops']:.0f} | | |")
    return lines


def fitted(points, x):
    """Exponent of the power law through the upper half of the points."""
    points = points[len(points) // 2 - 1:]
    xs, ys = [math.log(p[x]) for p in points], [math.log(p["seconds"]) for p in points]
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - mx) * (b - my) for a, b in zip(xs, ys)) / sum((a - mx) ** 2 for a in xs)


def growth(found, picture):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    series = found["series"]
    kinds = [("tokens", "tokens", "distinct tokens, one pair"), ("pairs", "tokens", "distinct tokens, more pairs"),
             ("completions", "tokens", "distinct tokens, more completions of one prompt"), ("parameters", "value", "parameters")]
    kinds = [kind for kind in kinds if len(series.get(kind[0], [])) > 1]
    figure, axes = pyplot.subplots(1, len(kinds), figsize=(4 * len(kinds), 3.4), squeeze=False)
    lines = []
    for axis, (kind, x, title) in zip(axes[0], kinds):
        points, exponent = series[kind], fitted(series[kind], x)
        axis.loglog([p[x] for p in points], [p["seconds"] for p in points], "o-", color="#2a6f97")
        end = points[-1]
        axis.loglog([p[x] for p in points], [end["seconds"] * p[x] / end[x] for p in points], ":", color="#888888", label="linear")
        axis.legend(frameon=False)
        axis.set(xlabel=title, ylabel="seconds a step", title=f"exponent {exponent:.2f}")
        axis.grid(True, which="both", alpha=0.25)
        lines.append(f"- {title}: exponent {exponent:.2f} ({points[0][x]:,} → {points[-1][x]:,}: {points[0]['seconds']:.2f} → {points[-1]['seconds']:.2f} s)")
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    threads = {p["value"]: p["seconds"] for p in series.get("threads", [])}
    if 1 in threads and 2 in threads:
        lines.append(f"- threads 1 → 2: {threads[1]:.2f} → {threads[2]:.2f} s, {threads[1] / threads[2]:.2f} × faster (goal ≥ 1.85)")
    return [f"![Step time against tokens, pairs and model size]({picture.name})", "", *lines]


def generation_table(found):
    rates = {(row["weights"], row["engine"], row["batch"]): row for row in found["results"]}
    lines = [f"{found['threads']} threads, prompts of {found['prompt']} tokens, {found['new']} new ones each; tokens a second, and our ratio to llama.cpp.", "",
             "| weights | batch | libdpo fp32 | libdpo bf16 | llama.cpp | ratio | prompts: libdpo | llama.cpp |", "|---|---|---|---|---|---|---|---|"]
    for weights, batch in dict.fromkeys((row["weights"], row["batch"]) for row in found["results"] if row["engine"] == "ours"):
        ours, half, peer = (rates.get((weights, engine, batch)) for engine in ("ours", "ours-bf16", "llama.cpp"))
        best = max((row for row in (ours, half) if row), key=lambda row: row["tokens_per_second"])
        ratio = f"{best['tokens_per_second'] / peer['tokens_per_second']:.2f}" if peer else "not measured"
        cell = lambda row, key="tokens_per_second": f"{row[key]:.0f}" if row else ""
        lines.append(f"| {weights} | {batch} | {cell(ours)} | {cell(half)} | {cell(peer)} | {ratio} | "
                     f"{cell(best, 'prefill_tokens_per_second')} | {cell(peer, 'prefill_tokens_per_second')} |")
    for row in found["results"]:
        if row["engine"].startswith("hf-"):
            lines.append(f"| transformers, {row['engine'][3:]} | {row['batch']} | | | {row['tokens_per_second']:.0f} | | | {row['prefill_tokens_per_second']:.0f} |")
    return lines


def around_table(found):
    score, memory = found["scoring"], found["memory_seconds"]
    lines = [f"- `dpo logps` over {score['rows']:,} pairs ({score['tokens']:,} tokens), whole command: {score['seconds']:.0f} s, "
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
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/bench")
    page = PAGE.read_text(encoding="utf-8")
    parts = {"step": ("step.json", step_table), "around": ("around.json", around_table), "profile": ("profile.json", profile_table),
             "growth": ("growth.json", lambda found: growth(found, ROOT / "docs/growth.png")), "generation": ("generation.json", generation_table)}
    for name, (file, table) in parts.items():
        found = read(folder, file)
        if found is None:
            print(f"{folder / file} is missing: that part of the page stays as it was")
            continue
        text = "\n".join(table(found))
        page, count = re.subn(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m: m[1] + text + "\n" + m[2], page, flags=re.DOTALL)
        if count != 1:
            sys.exit(f"{PAGE} has no place for {name}")
    PAGE.write_text(page, encoding="utf-8")
    print(f"Wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
