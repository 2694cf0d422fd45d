"""Progress of a run: a line that moves in a terminal, a table that grows in a notebook, plain lines elsewhere."""

from __future__ import annotations

import html
import shutil
import sys
import time
from typing import Any

__all__ = ["Progress"]

_SHOWN = (
    ("loss", "loss", ".4f"), ("eval_loss", "eval loss", ".4f"), ("rewards/margins", "margin", "+.4f"),
    ("eval_rewards/margins", "eval margin", "+.4f"), ("rewards/accuracies", "accuracy", ".0%"),
    ("eval_rewards/accuracies", "eval accuracy", ".0%"), ("mean_token_accuracy", "token accuracy", ".0%"),
)


def _notebook() -> bool:
    try:
        from IPython import get_ipython  # type: ignore[import-not-found]
    except ImportError:
        return False
    return type(get_ipython()).__name__ == "ZMQInteractiveShell"


def summary(metrics: "dict[str, Any]") -> str:
    """The metrics that a reader follows, as "loss 0.6931  margin +0.0012"."""
    return "  ".join(f"{label} {metrics[name]:{form}}" for name, label, form in _SHOWN if name in metrics)


class Reading:
    """How far rows of a file were read, on stderr; nothing of what takes less than a second. In a notebook stderr is shown, too."""

    def __init__(self) -> None:
        self.started = self.shown = time.monotonic()
        self.terminal = sys.stderr.isatty()

    def __call__(self, phase: str, done: int, total: int, rows: int) -> None:
        now = time.monotonic()
        if now - self.started < 1 or now - self.shown < (0.2 if self.terminal else 10):
            return
        self.shown = now
        text = phase + (f" {100 * done // total} %" if total else "")
        if rows:
            text += f"  {rows} rows, {int(rows / (now - self.started))} a second"
        sys.stderr.write(f"\r\033[K{text}" if self.terminal else text + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Takes the line away."""
        if self.terminal and self.shown > self.started:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


class Progress:
    """What a run shows on stderr, or in a notebook."""

    def __init__(self, total: int, every: int) -> None:
        self.total = total
        self.every = max(1, every)
        self.started = time.monotonic()
        self.first: "int | None" = None
        self.terminal = sys.stderr.isatty()
        self.display: Any = None
        self.rows: "list[dict[str, Any]]" = []
        if _notebook():
            from IPython.display import display  # type: ignore[import-not-found]

            self.display = display(display_id=True)

    def step(self, step: int, metrics: "dict[str, Any]") -> None:
        """Shows a step and its metrics."""
        if self.first is None:
            self.first = step - 1
        text = f"step {step}/{self.total}  {summary(metrics)}  {self._left(step)}"
        if self.display is not None:
            if step % self.every == 0 or step == self.total:
                self.rows.append({"step": step, **metrics})
            self._show(text)
        elif self.terminal:
            width = shutil.get_terminal_size().columns
            sys.stderr.write("\r\033[K" + text[: width - 1])
            sys.stderr.flush()
        elif step % self.every == 0 or step == self.total:
            print(text, file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Shows a sentence."""
        if self.display is not None:
            print(text)
        else:
            sys.stderr.write(("\r\033[K" if self.terminal else "") + text + "\n")
            sys.stderr.flush()

    def close(self) -> None:
        """Ends the line that moves."""
        if self.terminal and self.display is None and self.first is not None:
            sys.stderr.write("\n")

    def _left(self, step: int) -> str:
        done = step - (self.first or 0)
        each = (time.monotonic() - self.started) / done
        left = int(each * (self.total - step))
        return f"{each:.2f} s/step  {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"

    def _show(self, text: str) -> None:
        shown = [(name, label, form) for name, label, form in _SHOWN if any(name in row for row in self.rows)]
        head = "".join(f"<th>{html.escape(label)}</th>" for _, label, _ in shown)
        lines = "".join(
            f"<tr><td>{row['step']}</td>"
            + "".join(f"<td>{row[name]:{form}}</td>" if name in row else "<td></td>" for name, _, form in shown)
            + "</tr>"
            for row in self.rows[-50:]
        )
        markup = f"<p>{html.escape(text)}</p><table><tr><th>step</th>{head}</tr>{lines}</table>"
        self.display.update({"text/html": markup, "text/plain": text}, raw=True)
