"""`dpo chat`: what is typed becomes records, an adapter, and other answers."""

import os
import pty
import select
import shutil
import subprocess
import time
import unittest

import libdpo
from support import BUILD, FIXTURES, MODEL, SMOLLM2, Case, dpo, rows

TEMPLATED = FIXTURES / "models" / "mistral"


class Chat(Case):
    def talk(self, model: object, *lines: str, flags: "tuple[object, ...]" = ()) -> "list[str]":
        done = dpo("chat", model, "--feedback", self.directory / "said.jsonl", "--max-new-tokens", 8, *flags,
                   input="\n".join(lines) + "\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.splitlines()

    def said(self) -> "list[dict]":
        return rows(self.directory / "said.jsonl")

    def test_words_on_answers_become_records(self) -> None:
        shown = self.talk(TEMPLATED, "Hello", "/good", "/bad", "/better", "2", "/should Good morning.", "And now?", "/good")
        thumb, taken_back, choice, correction, second = self.said()
        self.assertEqual(thumb["prompt"], [{"role": "user", "content": "Hello"}])
        self.assertEqual((thumb["label"], taken_back["label"]), (True, False))
        self.assertEqual(thumb["completion"], taken_back["completion"])
        self.assertEqual(choice["rejected"], thumb["completion"])
        self.assertEqual(correction["rejected"], choice["chosen"])
        self.assertEqual(correction["chosen"][0]["content"], "Good morning.")
        # The talk goes on from the answer that was chosen.
        self.assertEqual([message["content"] for message in second["prompt"]], ["Hello", "Good morning.", "And now?"])
        self.assertIn("4 new", "\n".join(shown[-1:]))

    def test_nothing_is_recorded_of_what_was_not_said(self) -> None:
        shown = self.talk(TEMPLATED, "/good", "/should x", "Hello", "/should", "/better", "", "/adapter on", "/god", "/learn")
        self.assertFalse((self.directory / "said.jsonl").exists())
        text = "\n".join(shown)
        for part in ("no answer yet", "is missing", "Nothing recorded", "/learn makes it", "there is no /god", "Nothing new"):
            self.assertIn(part, text)

    def test_models_without_a_template_go_on_with_texts(self) -> None:
        model = self.directory / "model"
        shutil.copytree(MODEL, model, ignore=shutil.ignore_patterns("chat_template.jinja"))
        shown = self.talk(model, "The film was", "/good", "/system x")
        self.assertIn("no chat template", shown[1])
        self.assertEqual(self.said()[0]["prompt"], "The film was")
        self.assertIn("no place", shown[-1])
        refused = dpo("chat", model, "--system", "x", "--feedback", self.directory / "f.jsonl", input="")
        self.assertEqual((refused.returncode, "no chat template" in refused.stderr), (1, True))

    def test_what_was_said_is_learnt(self) -> None:
        flags = ("--learning-rate", 5e-3, "--lora-r", 4)
        shown = self.talk(MODEL, *["The film was", "/should  good and warm."] * 3, "/learn", "/adapter off", "/adapter",
                          flags=flags)
        adapter = self.directory / "said" / "adapter.h5"
        self.assertTrue((self.directory / "said" / "adapter.gguf").is_file())
        self.assertEqual(shown[-2:], ["Adapter off.", "Adapter off."])
        chosen, rejected = (self.said()[0][name] for name in ("chosen", "rejected"))
        margins = []
        for model in (libdpo.Model(MODEL), libdpo.Model(MODEL, adapter=adapter)):
            prompt = model.apply_chat_template(self.said()[0]["prompt"], add_generation_prompt=True)
            better, worse = model.score([prompt] * 2, [chosen[0]["content"], rejected[0]["content"]])
            margins.append(better.logp - worse.logp)
        self.assertGreater(margins[1], margins[0] + 0.1)
        # The next talk begins with it.
        again = self.talk(MODEL, "/adapter")
        self.assertIn("Adapter on", again[1] + again[2])

    @unittest.skipUnless(SMOLLM2.is_file(), "make model fetches the model")
    def test_on_a_terminal_control_c_ends_the_answer_and_not_the_talk(self) -> None:
        controller, terminal = pty.openpty()
        chat = subprocess.Popen(
            [BUILD / "bin" / "dpo", "chat", SMOLLM2, "--feedback", self.directory / "said.jsonl", "--max-new-tokens", "2000",
             "--temperature", "1.5", "--top-p", "1"], stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0))
        os.close(terminal)
        self.addCleanup(chat.kill)
        seen = ""

        def wait_for(text: str) -> None:
            nonlocal seen
            end = time.monotonic() + 60
            while text not in seen:
                self.assertLess(time.monotonic(), end, seen)
                if select.select([controller], [], [], 1)[0]:
                    seen += os.read(controller, 65536).decode(errors="replace")
            seen = seen.split(text, 1)[1]

        wait_for("› ")
        os.write(controller, "Tell me a very long story about everything.\n".encode())
        wait_for("\n")
        while len(seen) < 40:
            seen += os.read(controller, 65536).decode(errors="replace")
        os.write(controller, b"\x03")
        wait_for("(stopped)")
        wait_for("› ")
        os.write(controller, b"/bad\n")
        wait_for("thumb down")
        wait_for("› ")
        os.write(controller, b"\x04")
        self.assertEqual(chat.wait(timeout=30), 0)
        self.assertEqual([row["label"] for row in self.said()], [False])


if __name__ == "__main__":
    unittest.main()
