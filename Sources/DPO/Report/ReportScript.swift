/// The page's only script: values under the pointer in the curves, also by touch and arrow keys. The page's policy lets no other
/// script run.
enum ReportScript {
  /// SHA-256 of `code` in base 64, by which the page's policy knows it. A test computes it.
  static let hash = "jzC8N5bZe26sxLy8X89rq4fP4pdFPvt/2K/9soDwvrw="

  static let code = #"""
    "use strict";
    const drawn = name => document.createElementNS("http://www.w3.org/2000/svg", name);

    function number(value) {
      const size = Math.abs(value);
      const text = size === 0 ? "0"
        : size < 1e-3 || size >= 1e9 ? value.toExponential(2).replace(/\.?0*e\+?/, "e")
        : size >= 1000 || Number.isInteger(value) ? Math.round(value).toLocaleString("en")
        : value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3);
      return text.replace("-", "−");
    }

    function nearest(steps, step) {
      let best = 0;
      steps.forEach((other, index) => { if (Math.abs(other - step) < Math.abs(steps[best] - step)) best = index; });
      return best;
    }

    for (const svg of document.querySelectorAll("svg[data-plot]")) {
      const plot = JSON.parse(svg.dataset.plot);
      const [left, width, first, last] = plot.x;
      const [top, height, low, high, isLogarithmic] = plot.y;
      const scale = isLogarithmic ? Math.log10 : value => value;
      const px = step => left + (step - first) / (last - first) * width;
      const py = value => top + (1 - Math.min(1.5, Math.max(-.5, (scale(value) - scale(low)) / (scale(high) - scale(low))))) * height;
      const steps = [...new Set(plot.lines.flatMap(line => line.steps))].sort((a, b) => a - b);
      if (!steps.length) continue;
      const marks = drawn("g");
      marks.setAttribute("pointer-events", "none");
      const tip = document.createElement("div");
      tip.className = "tip";
      tip.setAttribute("role", "status");
      tip.hidden = true;
      svg.append(marks);
      // What tells values without a script would be told twice.
      svg.querySelectorAll("title").forEach(title => title.remove());
      svg.parentElement.append(tip);
      svg.tabIndex = 0;
      let shown = null;

      function show(index) {
        shown = index;
        const step = steps[index];
        marks.replaceChildren();
        const rule = drawn("path");
        rule.setAttribute("d", `M${px(step)} ${top}V${top + height}`);
        rule.setAttribute("style", "stroke:var(--muted);stroke-width:1");
        marks.append(rule);
        const title = document.createElement("strong");
        title.textContent = `step ${step.toLocaleString("en")}`;
        tip.replaceChildren(title);
        for (const line of plot.lines) {
          const at = nearest(line.steps, step);
          // A dense curve's nearest point stands for this step; few measured ones stand for their own.
          if (line.isEvaluation && line.steps[at] !== step) continue;
          const value = line.values[at];
          const dot = drawn("circle");
          const look = {cx: px(line.steps[at]), cy: py(value), r: 4, style: `fill:${line.color}`};
          for (const [name, setting] of Object.entries(look)) dot.setAttribute(name, setting);
          marks.append(dot);
          const row = document.createElement("div");
          const sign = document.createElement("i");
          sign.style.background = line.color;
          row.append(sign, `${line.label} ${number(value)}`);
          tip.append(row);
        }
        tip.hidden = false;
        const box = svg.getBoundingClientRect();
        const figure = svg.parentElement.getBoundingClientRect();
        const place = box.left - figure.left + px(step) * box.width / 440;
        const isRight = px(step) > left + width / 2;
        tip.style.left = isRight ? "" : `${place + 10}px`;
        tip.style.right = isRight ? `${figure.width - place + 10}px` : "";
        tip.style.top = `${box.top - figure.top + top * box.width / 440}px`;
      }

      function hide() {
        shown = null;
        tip.hidden = true;
        marks.replaceChildren();
      }

      function point(event) {
        const box = svg.getBoundingClientRect();
        const x = (event.clientX - box.left) * 440 / box.width;
        const step = first + (x - left) / width * (last - first);
        // Measured points are few: near one, it is meant.
        const measured = plot.lines.filter(line => line.isEvaluation).flatMap(line => line.steps)
          .filter(other => Math.abs(px(other) - x) < 5);
        show(steps.indexOf(measured.length ? measured[nearest(measured, step)] : steps[nearest(steps, step)]));
      }

      svg.addEventListener("pointermove", point);
      svg.addEventListener("pointerdown", point);
      svg.addEventListener("pointerleave", event => { if (event.pointerType === "mouse") hide(); });
      svg.addEventListener("blur", hide);
      svg.addEventListener("keydown", event => {
        const to = {ArrowLeft: (shown ?? steps.length) - 1, ArrowRight: (shown ?? -1) + 1, Home: 0, End: steps.length - 1}[event.key];
        if (event.key === "Escape") hide();
        if (to === undefined) return;
        event.preventDefault();
        show(Math.max(0, Math.min(steps.length - 1, to)));
      });
    }

    """#
}
