"""Does feedback teach? Thumbs on answers in two styles, training in a thread, and what became of other prompts.

    python feedback.py model.gguf OUTPUT-DIRECTORY

Eight questions each get a warm answer with a thumb up and a curt one with a thumb down. For questions that nobody
judged the model's preference log p(warm) - log p(curt) is measured before and after.
"""

import pathlib
import sys
import threading

from libdpo import CancelledError, Feedback, Model

TOLD = [
    "boil an egg", "tie a tie", "fix a flat tyre", "plant tomatoes", "brew coffee", "bake bread", "paint a door", "sew a button",
]
UNSEEN = ["change a fuse", "make pancakes", "draw a cat", "prune a rose", "pack a suitcase", "hang a picture", "cook rice", "wash a car"]


def prompt(task: str) -> str:
    return f"<|im_start|>user\nHow do I {task}?<|im_end|>\n<|im_start|>assistant\n"


def warm(task: str) -> str:
    return f"What a lovely thing to do! I'd be glad to help you {task}. Let's take it step by step."


def curt(task: str) -> str:
    return f"Look it up. Everyone knows how to {task}. I have nothing to add to that."


def preferences(model: Model, tasks: "list[str]") -> "list[tuple[float, float]]":
    """Log-probs of the warm and the curt answer to each question."""
    scores = model.score([prompt(task) for task in tasks for _ in range(2)], [f(task) for task in tasks for f in (warm, curt)])
    return [(scores[i].logp, scores[i + 1].logp) for i in range(0, len(scores), 2)]


def main() -> int:
    if len(sys.argv) != 3:
        print(f"usage: {sys.argv[0]} MODEL OUTPUT-DIRECTORY", file=sys.stderr)
        return 2
    model, directory = Model(sys.argv[1]), pathlib.Path(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    feedback = Feedback(directory / "feedback.jsonl")
    if len(feedback) == 0:
        for task in TOLD:
            feedback.thumb(prompt(task), warm(task), up=True)
            feedback.thumb(prompt(task), curt(task), up=False)

    def train() -> None:
        try:
            result = feedback.train(model, directory / "adapter", max_seconds=600)
            print(f"{result.outcome}: {result.steps} steps on {result.new} records")
        except CancelledError:
            print("stopped; the next start goes on")

    # The program's own work goes on meanwhile; Ctrl-C asks for a stop.
    trainer = threading.Thread(target=train)
    trainer.start()
    try:
        trainer.join()
    except KeyboardInterrupt:
        feedback.cancel()
        trainer.join()
    adapted = Model(sys.argv[1], directory / "adapter" / "adapter.gguf")
    for name, tasks in (("questions that were judged", TOLD), ("questions that were not", UNSEEN)):
        before, after = preferences(model, tasks), preferences(adapted, tasks)
        margins = [[up - down for up, down in scores] for scores in (before, after)]
        gains = [b - a for a, b in zip(*margins)]
        up, down = (sum(b[i] - a[i] for a, b in zip(before, after)) / len(tasks) for i in (0, 1))
        print(
            f"{name}: log p(warm) {up:+.2f}, log p(curt) {down:+.2f}; their difference rose for {sum(g > 0 for g in gains)} of "
            f"{len(gains)}, by {sum(gains) / len(gains):.2f} nats in the mean"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
