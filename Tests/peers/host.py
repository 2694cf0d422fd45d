"""examples/llama.cpp-host as a user has it, over pipes: what it records is learned, and llama.cpp answers with it.

The log-probs and answers that the program shows are those of llama.cpp's Python binding with the same adapter file.
"""
import json
import os
import queue
import subprocess
import threading
import time
from pathlib import Path

import llama_cpp
import numpy as np
import torch
from llama_cpp.llama_chat_format import Jinja2ChatFormatter
from support import ROOT, SMOLLM2_GGUF, scratch

QUESTIONS = [f"How do I {task}?" for task in ("boil an egg", "tie a tie", "plant tomatoes", "brew coffee")]
BETTER = "What a lovely thing to do! Let's take it step by step."
UNSEEN = "How do I paint a door?"
WAIT = 600


class Host:
    """The program; `say` gives what it answers, `hear` waits for a line that it writes by itself."""

    def __init__(self, program, directory):
        self.directory, self.text, self.chunks = directory, "", queue.Queue()
        command = [program, SMOLLM2_GGUF, directory / "feedback.jsonl", directory / "adapters"]
        # Threads that wait do not spin: the machine may be busy.
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env={**os.environ, "OMP_WAIT_POLICY": "passive"})
        threading.Thread(target=self.read, daemon=True).start()
        self.until("> ")

    def read(self):
        while chunk := os.read(self.process.stdout.fileno(), 65536):
            self.chunks.put(chunk.decode())
        self.chunks.put("")

    def until(self, end):
        """The text until it ends so."""
        limit = time.monotonic() + WAIT
        while end not in self.text:
            chunk = self.chunks.get(timeout=max(0.1, limit - time.monotonic()))
            assert chunk, f"the program ended before it said {end!r}: {self.text!r}, {self.process.stderr.read().decode()}"
            self.text += chunk
        text, self.text = self.text.split(end, 1)
        return text

    def say(self, line):
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()
        return self.until("\n> ")

    def ask(self, question):
        """The answer in a conversation of its own, without the lines about learning."""
        self.process.stdin.write(b"new\n")
        self.process.stdin.flush()
        self.until("> ")
        return self.say(question).split("\n\r[")[0]

    def log_probability(self, answer):
        return float(self.say(f"? {answer}").split("log p = ")[1].split()[0])

    def low_priority_threads(self):
        """Those at the lowest priority that have computed something: [(seconds)]."""
        found = []
        for path in Path(f"/proc/{self.process.pid}/task").glob("*/stat"):
            try:
                fields = path.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[16]) == 19:
                found.append(int(fields[11]) / os.sysconf("SC_CLK_TCK"))
        return found


class Binding:
    """llama.cpp in Python, with or without the adapter, as the program uses it: the prompt at once, then token by token."""

    def __init__(self, adapter=None):
        self.model = llama_cpp.Llama(str(SMOLLM2_GGUF), n_ctx=2048, n_batch=2048, logits_all=True, flash_attn=True, verbose=False,
                                     lora_path=str(adapter) if adapter else None)
        template, eos = self.model.metadata["tokenizer.chat_template"], self.model.token_eos()
        self.formatter = Jinja2ChatFormatter(template, self.model._model.token_get_text(eos), "", stop_token_ids=[eos])

    def read(self, question):
        prompt = self.formatter(messages=[{"role": "user", "content": question}]).prompt
        self.model.reset()
        self.model.eval(self.model.tokenize(prompt.encode(), add_bos=False, special=True))

    def next_scores(self):
        return self.model.scores[self.model.n_tokens - 1]

    def log_probability(self, question, answer):
        self.read(question)
        total = 0.0
        for token in self.model.tokenize(answer.encode(), add_bos=False, special=False):
            total += float(torch.from_numpy(np.array(self.next_scores())).double().log_softmax(-1)[token])
            self.model.eval([token])
        return total

    def answer(self, question, tokens=128):
        self.read(question)
        drawn = []
        for _ in range(tokens):
            token = int(np.argmax(self.next_scores()))
            if llama_cpp.llama_vocab_is_eog(self.model._model.vocab, token):
                break
            drawn.append(token)
            self.model.eval([token])
        return self.model.detokenize(drawn).decode(errors="replace")


def near(ours, theirs, what):
    assert abs(ours - theirs) < 1e-2, f"{what}: the program says {ours}, llama.cpp's binding {theirs}"


def chat_that_learns():
    program, directory = scratch() / "host", scratch() / "llama.cpp-host"
    directory.mkdir()
    built = subprocess.run(["make", "-C", str(ROOT / "examples/llama.cpp-host"), f"LLAMA_CPP={Path(llama_cpp.__file__).parent}",
                            f"DPO={ROOT / 'build'}", f"OUT={program}", "CFLAGS=-O1 -Wall -Wextra -Wpedantic -Werror"], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    host, plain = Host(program, directory), Binding()

    # Four questions: the answer gets a thumb down, and another one would have been better.
    first = None
    for question in QUESTIONS:
        answer = host.ask(question)
        first = first or answer
        if question is QUESTIONS[0]:
            assert answer == plain.answer(question), f"{answer!r}, llama.cpp's binding {plain.answer(question)!r}"
            before = host.log_probability(BETTER)
            near(before, plain.log_probability(question, BETTER), "before")
        assert "[record" in host.say("-") and "[record" in host.say(f"= {BETTER}"), "it does not record"
    rows = [json.loads(line) for line in (directory / "feedback.jsonl").read_text().splitlines()]
    assert len(rows) == 8 and rows[0]["prompt"] == [{"role": "user", "content": QUESTIONS[0]}], rows
    assert rows[0]["label"] is False and rows[1]["chosen"] == [{"role": "assistant", "content": BETTER}], rows[:2]

    # It learns while nothing is typed, with low priority; a question interrupts it, and the old adapter (none) answers.
    limit = time.monotonic() + WAIT
    while sum(host.low_priority_threads()) < 1:
        assert time.monotonic() < limit and host.process.poll() is None, "it does not begin to learn"
        time.sleep(0.05)
    assert host.ask(QUESTIONS[0]) == first, "the answer has changed before there is an adapter"
    host.until("[learning interrupted")
    host.until("[learned ")

    # The new adapter is in use: in the program, without a new start, and in llama.cpp's binding alike.
    host.until("[new adapter in use]\n> ")
    tuned = Binding(directory / "adapters/adapter.gguf")
    answer = host.ask(QUESTIONS[0])
    assert answer != first and answer == tuned.answer(QUESTIONS[0]), f"{answer!r}, llama.cpp's binding {tuned.answer(QUESTIONS[0])!r}"
    after = host.log_probability(BETTER)
    near(after, tuned.log_probability(QUESTIONS[0], BETTER), "after")
    assert after > before + 3, f"log p of the better answer: {before} before, {after} after"
    host.ask(UNSEEN)
    unseen = host.log_probability(BETTER)
    near(unseen, tuned.log_probability(UNSEEN, BETTER), "a question that nobody judged")
    gain = unseen - plain.log_probability(UNSEEN, BETTER)
    assert gain > 1, f"log p of the better answer to another question rose by {gain}"

    # It ends well, and begins with the adapter.
    host.process.stdin.close()
    assert host.process.wait(WAIT) == 0, host.process.stderr.read().decode()
    again = Host(program, directory)
    assert again.ask(QUESTIONS[0]) == answer, "started again, it answers otherwise"
    again.process.stdin.close()
    assert again.process.wait(WAIT) == 0
    return f"log p of the better answer rises from {before:.1f} to {after:.1f}, to another question by {gain:.1f}"


def checks(seed):
    yield "llama.cpp host learns from its user", chat_that_learns
