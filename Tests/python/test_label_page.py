"""`dpo label --serve`: the page in a real browser, its keys and its names for screen readers, and who else may ask it things."""

import http.client
import json
import pathlib
import re
import signal
import socket
import subprocess
import time
import unittest

import browser
from support import BUILD, MODEL, Case, dpo, rows

LOST = "Chromium is not installed (Debian: apt-get install chromium)"


class Served(Case):
    """`dpo label --serve` in a process of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.samples = self.directory / "samples.jsonl"
        self.out = self.directory / "pairs.jsonl"
        self.write([{"prompt": f"Prompt {index}:", "completions": [f" one {index}", f" two {index}"]} for index in range(4)])

    def write(self, samples: "list[dict]") -> None:
        self.samples.write_text("".join(json.dumps(row) + "\n" for row in samples))

    def command(self, *extra: object) -> "list[str]":
        return [str(part) for part in (BUILD / "bin/dpo", "label", "--serve", "--data", self.samples, "-o", self.out, *extra)]

    def serve(self, *extra: object) -> str:
        """The page's address."""
        self.process = subprocess.Popen(
            self.command(*extra), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.addCleanup(self.stop)
        told = [self.process.stderr.readline()]
        while told[-1] and not told[-1].startswith("http"):
            told.append(self.process.stderr.readline())
        self.told, address = "".join(told[:-1]), told[-1].strip()
        self.port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/[0-9a-f]{32}/", address).group(1))
        self.path = address.split(str(self.port), 1)[1]
        return address

    def stop(self, number: int = signal.SIGINT) -> str:
        """What it printed at its end."""
        if self.process.stdout.closed:
            return ""
        self.process.send_signal(number)
        printed, _ = self.process.communicate(timeout=20)
        return printed

    def ask(
        self, method: str, path: str, body: "dict | bytes | None" = None, **headers: str
    ) -> "tuple[int, dict | str]":
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if data is not None:
            named.setdefault("Content-Type", "application/json")
        connection.request(method, path, data, named)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, json.loads(text) if response.getheader("Content-Type") == "application/json" else text

    def log(self) -> "list[dict]":
        return rows(pathlib.Path(f"{self.out}.log"))


class Requests(Served):
    def state(self) -> dict:
        status, state = self.ask("GET", self.path + "state")
        self.assertEqual(status, 200)
        return state

    def answer(self, verdict: str, state: dict, **more: object) -> "tuple[int, dict]":
        return self.ask(
            "POST", self.path + "answer",
            {"question": state["question"]["id"], "verdict": verdict, "revision": state["revision"], **more},
        )

    def test_every_click_is_kept_and_a_killed_server_goes_on(self) -> None:
        self.serve()
        state = self.state()
        for done, verdict in enumerate(("left", "right", "tie")):
            text = [part[0]["text"] for part in state["question"]["answers"]]
            status, state = self.answer(verdict, state)
            self.assertEqual((status, state["done"]), (200, done + 1))
            said = self.log()[-1]["verdict"]
            if verdict != "tie":
                chosen = text[0 if verdict == "left" else 1]
                self.assertEqual(said, "first" if "one" in chosen else "second")
        self.stop(signal.SIGKILL)
        self.serve()
        self.assertIn("3 of 4 judged", self.told)
        status, state = self.answer("skip", self.state())
        self.assertEqual((state["done"], state["postponed"], state["question"]["again"]), (3, 1, True))
        status, state = self.answer("skip", state)
        self.assertIsNone(state["question"])
        status, state = self.ask("POST", self.path + "undo", {"revision": state["revision"]})
        self.assertEqual(state["question"]["prompt"], [{"role": "", "text": "Prompt 3:"}])
        self.assertIn("3 of 4 judged; labelled rows in", self.stop())
        self.assertEqual([row["prompt"] for row in rows(self.out)], ["Prompt 0:", "Prompt 1:"])
        trained = dpo("train", MODEL, "--data", self.out, "--output-dir", self.directory / "run", "--max-steps", 1)
        self.assertEqual(trained.returncode, 0, trained.stderr)

    def test_thumbs_train_kto(self) -> None:
        self.serve("--mode", "thumbs")
        state = self.state()
        for verdict in ("up", "down", "down", "up", "skip"):
            self.assertEqual(len(state["question"]["answers"]), 1)
            _, state = self.answer(verdict, state)
        self.assertFalse(state["question"]["again"])
        self.stop()
        self.assertEqual([row["label"] for row in rows(self.out)], [True, False, False, True])
        trained = dpo(
            "train", MODEL, "--method", "kto", "--data", self.out, "--output-dir", self.directory / "run", "--max-steps", 1,
            "--per-device-train-batch-size", 2,
        )
        self.assertEqual(trained.returncode, 0, trained.stderr)

    def test_every_two_of_three_answers_are_asked_about(self) -> None:
        self.write([{"prompt": "p", "completions": [" a", " bb", " ccc"]}])
        self.serve()
        self.assertIn("Every two answers of a row are compared", self.told)
        state, asked = self.state(), []
        while state["question"]:
            texts = [answer[0]["text"] for answer in state["question"]["answers"]]
            asked.append(sorted(texts))
            _, state = self.answer("left" if len(texts[0]) > len(texts[1]) else "right", state)
        self.assertEqual(asked, [[" a", " bb"], [" a", " ccc"], [" bb", " ccc"]])
        self.stop()
        self.assertEqual([(row["chosen"], row["rejected"]) for row in rows(self.out)], [(" bb", " a"), (" ccc", " a"), (" ccc", " bb")])

    def test_a_ranking_trains_ranked(self) -> None:
        self.write([{"prompt": f"p{index}", "completions": [" ccc", " a", " bb", " a"]} for index in range(2)])
        self.serve("--mode", "ranking")
        state = self.state()
        for bad in ([1, 2], [1, 2, 4], ["1", 2, 3], None):
            self.assertEqual(self.answer("ranked", state, ranks=bad)[0], 400)
        self.assertEqual(self.answer("tie", state)[0], 400)
        while state["question"]:
            # The shortest is the best.
            ranks = [len(answer[0]["text"]) - 1 for answer in state["question"]["answers"]]
            self.assertEqual(len(ranks), 3)
            _, state = self.answer("ranked", state, ranks=ranks, comment="short")
        self.assertEqual(state["last"], {"verdict": "ranked", "comment": "short", "ranks": ranks})
        self.stop()
        self.assertEqual(rows(self.out)[0], {
            "prompt": "p0", "completions": [" ccc", " a", " bb"], "ranks": [3, 1, 2], "comment": "short"})
        trained = dpo("train", MODEL, "--method", "ranked", "--data", self.out, "--output-dir", self.directory / "run", "--max-steps", 1)
        self.assertEqual(trained.returncode, 0, trained.stderr)
        self.serve("--mode", "ranking", "--form", "all-pairs")
        self.stop()
        self.assertEqual([(row["chosen"], row["rejected"]) for row in rows(self.out)[:3]], [(" a", " ccc"), (" bb", " ccc"), (" a", " bb")])

    def test_forms_that_people_cannot_give_are_refused(self) -> None:
        for extra, says in (
            (("--form", "best-worst"), "--form best-worst does not go with --serve --mode pairs, which has all-pairs"),
            (("--mode", "ranking", "--form", "scores"), "which has ranks, all-pairs, best-worst, best"),
            (("--mode", "thumbs", "--form", "ranks"), "which has thumbs"), (("--gap", "1"), "--gap does not go with --serve"),
        ):
            told = subprocess.run(self.command(*extra), capture_output=True, text=True)
            self.assertEqual(told.returncode, 2)
            self.assertIn(says, told.stderr.replace("\n", " "))

    def test_options_of_the_page_are_refused_without_it(self) -> None:
        for name, value in (("port", "0"), ("annotator", "me"), ("mode", "pairs")):
            told = subprocess.run(
                [BUILD / "bin/dpo", "label", "--command", "cat", "--data", self.samples, "-o", self.out, f"--{name}", value],
                capture_output=True, text=True)
            self.assertEqual(told.returncode, 2)
            self.assertIn(f"--{name} goes with --serve alone", told.stderr.replace("\n", " "))
            self.assertFalse(self.out.exists())

    def test_comments_are_kept_and_bounded(self) -> None:
        self.serve()
        self.assertEqual(self.answer("left", self.state(), comment="x" * 4001)[0], 400)
        status, state = self.answer("left", self.state(), comment="<b>clear</b> é")
        self.assertEqual(state["last"], {"verdict": "left", "comment": "<b>clear</b> é", "ranks": []})
        self.answer("both-bad", state)
        self.stop()
        self.assertEqual([(row["prompt"], row["comment"]) for row in rows(self.out)], [("Prompt 0:", "<b>clear</b> é")])
        self.assertEqual([event.get("comment") for event in self.log()], ["<b>clear</b> é", None])
        self.assertEqual(self.log()[1]["verdict"], "both-bad")

    def test_the_output_follows_while_it_serves(self) -> None:
        self.serve()
        self.answer("left", self.state())
        for _ in range(300):
            if self.out.exists() and len(rows(self.out)) == 1:
                break
            time.sleep(0.02)
        self.assertEqual(len(rows(self.out)), 1)

    def test_two_annotators_and_their_agreement(self) -> None:
        said = {"ann": ("left", "left", "tie", "left"), "bob": ("left", "left", "tie", "skip", "skip")}
        for name, verdicts in said.items():
            self.serve("--annotator", name, "--json")
            state = self.state()
            self.assertEqual(state["annotator"], name)
            for verdict in verdicts:
                _, state = self.answer(verdict, state)
            report = json.loads(self.stop())
        self.assertEqual((report["done"], report["counts"]["tie"]), (4, 1))
        self.assertEqual([entry["annotator"] for entry in report["agreements"]], ["ann"])
        told = json.loads(dpo("label", "--agreement", f"{self.out}.log", "--json").stdout)["agreements"]
        self.assertEqual((told[0]["with"], told[0]["annotator"], told[0]["count"]), ("ann", "bob", 3))
        self.assertEqual(told[0]["observed"], report["agreements"][0]["observed"])

    def test_agreement_of_labelled_files(self) -> None:
        def write(name: str, choices: str) -> pathlib.Path:
            path = self.directory / name
            path.write_text("".join(
                json.dumps({"prompt": str(i), "chosen": c, "rejected": "ab".replace(c, "")}) + "\n"
                for i, c in enumerate(choices)
            ))
            return path

        first, second = write("first.jsonl", "aabb"), write("second.jsonl", "aaba")
        told = dpo("label", "--agreement", first, second)
        self.assertEqual(told.stdout, "first.jsonl and second.jsonl: 75 % of 4 equal, Cohen's κ 0.5\n")
        # A ranking says something of every two answers: here what the first file says of prompts 0 and 2, and a tie on 3.
        ranked = self.directory / "ranked.jsonl"
        ranked.write_text("".join(json.dumps(row) + "\n" for row in (
            {"prompt": "0", "completions": ["b", "c", "a"], "ranks": [2, 3, 1]}, {"prompt": "2", "completions": ["a", "b"], "ranks": [2, 1]},
            {"prompt": "3", "completions": ["a", "b"], "ranks": [1, 1]})))
        told = json.loads(dpo("label", "--agreement", first, ranked, "--json").stdout)["agreements"][0]
        self.assertEqual((told["count"], round(told["observed"] * 3)), (3, 2))
        nothing = dpo("label", "--agreement", first)
        self.assertEqual(nothing.returncode, 1)
        self.assertIn("no two annotators", nothing.stderr)

    def test_an_outdated_window_changes_nothing(self) -> None:
        self.serve()
        state = self.state()
        self.assertEqual(self.answer("left", state)[0], 200)
        status, found = self.answer("left", state)
        self.assertEqual((status, found["done"], len(self.log())), (409, 1, 1))
        self.assertEqual(self.ask("POST", self.path + "undo", {"revision": 0})[0], 409)

    def test_other_pages_and_names_are_refused(self) -> None:
        self.serve()
        state = self.state()
        body = {"question": state["question"]["id"], "verdict": "left", "revision": 0}
        answer = self.path + "answer"
        for status, method, path, data, headers in (
            (404, "GET", "/", None, {}),
            (404, "GET", "/" + "0" * 32 + "/state", None, {}),
            (404, "GET", self.path[:-2] + "/state", None, {}),
            (421, "GET", self.path, None, {"Host": f"evil.example:{self.port}"}),
            (421, "GET", self.path, None, {"Host": "127.0.0.1"}),
            (403, "POST", answer, body, {"Origin": "http://evil.example"}),
            (403, "POST", answer, body, {"Origin": "null"}),
            (415, "POST", answer, body, {"Content-Type": "text/plain"}),
            (415, "POST", answer, body, {"Content-Type": "application/x-www-form-urlencoded"}),
            (405, "GET", answer, None, {}),
            (405, "PUT", answer, body, {}),
            (405, "GET", self.path + "../etc/passwd", None, {}),
            (413, "POST", answer, b"x" * 20000, {}),
            (400, "POST", answer, b"{", {}),
            (400, "POST", answer, {"question": "x"}, {}),
            (400, "POST", answer, {**body, "verdict": "first"}, {}),
            (400, "POST", answer, {**body, "verdict": "up"}, {}),
            (411, "POST", answer, None, {"Transfer-Encoding": "chunked"}),
        ):
            with self.subTest(path=path, headers=headers, status=status):
                self.assertEqual(self.ask(method, path, data, **{k.replace("-", "_"): v for k, v in headers.items()})[0], status)
        self.assertEqual(self.log(), [])
        same = self.ask("POST", answer, body, Origin=f"http://127.0.0.1:{self.port}")
        self.assertEqual(same[0], 200)

    def test_it_listens_on_this_machine_alone_and_survives_bad_clients(self) -> None:
        self.serve()
        listening = {line.split()[1] for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]}
        self.assertIn(f"0100007F:{self.port:04X}", listening)
        idle = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(40)]
        for sent in (b"\r\n\r\n", b"GET\r\n\r\n", b"\xff\xfe\r\n\r\n", b"GET / HTTP/1.1\r\n: x\r\n\r\n", b"x" * 9000, b"\0" * 100):
            with socket.create_connection(("127.0.0.1", self.port)) as client:
                client.settimeout(15)
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
                try:
                    answer = client.recv(100)
                except ConnectionResetError:
                    continue
                self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer)
        self.assertEqual(self.state()["done"], 0)
        for client in idle:
            client.close()

    def test_headers_shut_everything_else_out(self) -> None:
        self.serve()
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", self.path)
        response = connection.getresponse()
        self.assertIn("default-src 'none'", response.getheader("Content-Security-Policy"))
        self.assertEqual(response.getheader("Referrer-Policy"), "no-referrer")
        page = response.read().decode()
        self.assertEqual(re.findall(r"https?://", page), [])

    def test_a_port_that_is_taken_and_an_output_in_use(self) -> None:
        self.serve()
        again = subprocess.run(self.command(), capture_output=True, text=True)
        self.assertEqual(again.returncode, 1)
        self.assertIn("in use by another call or process", again.stderr)
        self.out = self.directory / "other.jsonl"
        again = subprocess.run(self.command("--port", self.port), capture_output=True, text=True)
        self.assertEqual(again.returncode, 1)
        self.assertIn(f"port {self.port} on 127.0.0.1: Address already in use", again.stderr)

    def test_rows_without_anything_to_compare_are_refused(self) -> None:
        self.write([{"prompt": "a", "completions": ["b", "b"]}])
        told = subprocess.run(self.command(), capture_output=True, text=True)
        self.assertEqual(told.returncode, 1)
        self.assertIn("nothing to compare", told.stderr)


@unittest.skipUnless(browser.PATH, LOST)
class InABrowser(Served):
    @classmethod
    def setUpClass(cls) -> None:
        cls.browser = browser.Browser()
        cls.addClassCleanup(cls.browser.close)

    def count(self, page: browser.Page, done: int) -> None:
        page.wait(f"document.getElementById('count').textContent.startsWith('{done} of')")

    def text(self, page: browser.Page, element: str) -> str:
        return str(page.value(f"document.getElementById('{element}').innerText"))

    def shows(self, page: browser.Page, element: str, text: str) -> None:
        page.wait(f"document.getElementById('{element}').innerText.includes({json.dumps(text)})")

    def test_keys_judge_skip_and_undo(self) -> None:
        page = self.browser.open(self.serve())
        self.count(page, 0)
        left = str(page.value("document.querySelector('article .text').innerText"))
        for done, (key, text) in enumerate((("ArrowLeft", ""), ("2", "2"), ("=", "="))):
            page.key(key, text)
            self.count(page, done + 1)
        self.shows(page, "status", "Saved: “Equal”; U undoes it.")
        page.key("s", "s")
        # What was skipped comes once more.
        self.shows(page, "status", "skipped before")
        self.shows(page, "count", "3 of 4, 1 skipped")
        page.key("s", "s")
        page.wait("!document.getElementById('end').hidden")
        self.assertIn("2 compared, 1 equal, 1 skipped.", self.text(page, "summary"))
        page.key("u", "u")
        self.shows(page, "status", "Undone: “Skip” is taken back.")
        page.key("Backspace")
        page.wait("document.getElementById('count').textContent === '3 of 4'")
        page.key("u", "u")
        self.shows(page, "status", "Undone: “Equal” is taken back.")
        self.assertTrue(page.value("document.getElementById('status').getBoundingClientRect().height > 15"))
        page.key("x", "x")
        self.shows(page, "status", "Saved: “Both bad”")
        self.stop()
        self.assertEqual(rows(self.out)[0]["chosen"].strip(), left.strip())
        self.assertEqual([event.get("verdict") for event in self.log()][2:], ["tie", "skip", "skip", None, None, None, "both-bad"])

    def test_letters_and_numbers_are_the_answers(self) -> None:
        page = self.browser.open(self.serve())
        for done, (key, button) in enumerate((("1", 0), ("b", 1), ("A", 0), ("2", 1))):
            self.count(page, done)
            texts = page.value("[...document.querySelectorAll('article .text')].map(e => e.innerText)")
            page.key(key, key)
            self.count(page, done + 1)
            self.assertEqual(self.log()[-1]["verdict"], "first" if "one" in texts[button] else "second")

    def test_a_comment_goes_with_the_verdict_and_comes_back_with_undo(self) -> None:
        page = self.browser.open(self.serve())
        self.count(page, 0)
        page.key("/", "/")
        self.assertEqual(page.value("document.activeElement.id"), "comment")
        for letter in "2s=":  # keys that would judge elsewhere
            page.key(letter, letter)
        page.key("Enter", "\r")
        self.assertEqual(page.value("document.activeElement.id"), "prompt-title")
        page.key("1", "1")
        self.count(page, 1)
        self.assertEqual(page.value("document.getElementById('comment').value"), "")
        self.assertEqual(self.log()[0]["comment"], "2s=")
        page.key("u", "u")
        self.count(page, 0)
        self.assertEqual(page.value("document.getElementById('comment').value"), "2s=")

    def test_help_shows_the_keys(self) -> None:
        page = self.browser.open(self.serve())
        self.count(page, 0)
        page.key("?", "?")
        page.wait("document.getElementById('help').open")
        self.assertIn("Both bad", self.text(page, "help-keys"))
        page.key("ArrowLeft")  # judges nothing while help is open
        page.key("?", "?")
        page.wait("!document.getElementById('help').open")
        page.value("document.getElementById('keys').click()")
        page.wait("document.getElementById('help').open")
        page.key("Escape")
        self.count(page, 0)
        self.assertEqual(self.log(), [])

    def test_answers_are_ranked_by_keys_clicks_and_dragging(self) -> None:
        self.write([{"prompt": f"p{index}", "completions": ["a", "b", "c", "d"]} for index in range(3)])
        for width, height in ((1280, 800), (390, 844)):
            page = self.browser.open(self.serve("--mode", "ranking"), width, height)
            chips = "[...document.querySelectorAll('#order .chip, #order .relation')].map(e => e.textContent).join('')"
            self.count(page, 0)
            texts = page.value("[...document.querySelectorAll('article .text')].map(e => e.innerText.trim())")
            self.assertTrue(page.value("document.getElementById('ranked').disabled"))
            page.key("3", "3")
            page.key("a", "a")
            page.key("=", "=")
            page.value("document.querySelectorAll('.place')[3].click()")
            page.key("Enter", "\r")  # not all have a place: nothing is saved
            page.value("document.querySelectorAll('.place')[1].click()")
            self.assertEqual(page.value(chips), "C=A>D>B")
            self.assertEqual(page.value("[...document.querySelectorAll('.place')].map(e => e.textContent.slice(0, 7)).join()"),
                             "Place 1,Place 4,Place 1,Place 3")
            # B is dragged to the front, then goes one to the right by key.
            boxes = page.value("[...document.querySelectorAll('.chip')].map(e => { const b = e.getBoundingClientRect(); "
                               "return [b.left + b.width / 2, b.top + b.height / 2]; })")
            page.drag(boxes[3], boxes[0])
            self.assertEqual(page.value(chips), "B>C=A>D")
            page.key("ArrowRight")
            self.assertEqual(page.value(chips), "C>B>A>D")
            self.assertEqual(page.value("document.activeElement.textContent"), "B")
            page.value("document.querySelectorAll('.relation')[2].click()")
            self.assertEqual(page.value(chips), "C>B>A=D")
            page.value("document.querySelectorAll('.place')[0].focus()")
            page.key("Enter", "\r")
            self.count(page, 1)
            self.shows(page, "status", "Saved: “C > B > A = D”")
            page.key("u", "u")
            self.count(page, 0)
            self.assertEqual(page.value(chips), "C>B>A=D")
            page.value("document.getElementById('ranked').click()")
            self.count(page, 1)
            self.stop()
            place = {texts[2]: 1, texts[1]: 2, texts[0]: 3, texts[3]: 3}
            self.assertEqual(rows(self.out), [{"prompt": "p0", "completions": list("abcd"), "ranks": [place[text] for text in "abcd"]}])
            pathlib.Path(f"{self.out}.log").unlink()

    def test_texts_are_shown_as_text(self) -> None:
        evil = "<img src=x onerror=document.title='broken'><script>document.title='broken'</script>\n\n  & more"
        marked = evil + "\n\n[a](javascript:document.title='broken') **<b>x</b>** `<i>`\n\n- <u>y</u>\n\n| <s> |\n|---|\n| <s> |\n```<b>\n<b>\n```"
        self.write([{"prompt": [{"role": "user", "content": evil}], "completions": [marked, ""]}])
        page = self.browser.open(self.serve())
        self.count(page, 0)
        self.assertEqual(page.value("document.querySelector('#prompt p').textContent"), evil)
        self.assertIn("(empty)", self.text(page, "answers"))
        for _ in range(2):  # as it is, and as Markdown
            self.assertEqual(page.value("document.title"), "Label – dpo")
            self.assertEqual(page.value("document.querySelectorAll('main img, main script, main b, main i, main u, main s, main a').length"), 0)
            page.key("m", "m")

    def test_white_space_is_told_apart(self) -> None:
        self.write([{"prompt": "p", "completions": ["", " ", "\n\t", "word", " word"]}])
        page = self.browser.open(self.serve("--mode", "ranking"))
        for _ in range(2):  # as it is, and as Markdown
            self.count(page, 0)
            texts = page.value("[...document.querySelectorAll('article .text')].map(e => e.innerText.trim())")
            self.assertEqual(sorted(texts), sorted(
                ["(empty)", "(white space only) ␣", "(white space only) ⏎\n⇥", "word", "␣word"]))
            page.key("m", "m")

    def test_code_and_markdown(self) -> None:
        code = "Run *this*:\n```sh\n  ls -l # x\n```\nor\n~~~\nopen"
        mark = ("# Title\n\nSome **bold _and_ slanted**, ~~old~~, `a*b*c`, snake_case_name, 2 * 3 * 4, \\*star\\* and [link](https://e.org/x_y).\n"
                "1. one\n   - inner\n2. two\n\n   more\n\n> said\n\n| a | b |\n|---|:-:|\n| 1 | `2` |\n\n---\n```py\nx = 1\n```")
        self.write([{"prompt": code, "completions": [mark, "b"]}])
        page = self.browser.open(self.serve())
        self.count(page, 0)
        self.assertEqual(page.value("[...document.querySelectorAll('#prompt pre')].map(e => e.textContent)"),
                         ["```sh\n  ls -l # x\n```", "~~~\nopen\n"])
        self.assertIn("mono", str(page.value("getComputedStyle(document.querySelector('#prompt code')).fontFamily")))
        self.assertEqual(page.value("document.querySelector('#prompt p').textContent"), "Run *this*:")
        page.value("document.getElementById('markdown').click()")
        self.assertEqual(page.value("document.getElementById('markdown').getAttribute('aria-pressed')"), "true")
        self.assertEqual(page.value("document.querySelector('#prompt em').textContent"), "this")
        self.assertEqual(page.value("[...document.querySelectorAll('#prompt code')].map(e => e.textContent)"), ["  ls -l # x", "open"])
        found = page.value(
            """(e => Object.fromEntries(['h3', 'strong', 'strong em', 's', 'p code', 'ol > li', 'ol ul li', 'blockquote', 'th', 'td', 'td code', 'hr', 'pre code', '.address']
            .map(name => [name, [...e.querySelectorAll(name)].map(e => e.textContent)])))
            ([...document.querySelectorAll('article .text')].find(e => e.textContent.includes('Title')))""")
        self.assertEqual(found, {
            "h3": ["Title"], "strong": ["bold and slanted"], "strong em": ["and"], "s": ["old"], "p code": ["a*b*c"],
            "ol > li": ["oneinner", "twomore"], "ol ul li": ["inner"], "blockquote": ["said"], "th": ["a", "b"], "td": ["1", "2"],
            "td code": ["2"], "hr": [""], "pre code": ["x = 1"], ".address": [" (https://e.org/x_y)"]})
        self.assertIn("snake_case_name, 2 * 3 * 4, *star* and link", self.text(page, "answers"))

    def test_a_text_of_nothing_but_marks_is_shown_soon(self) -> None:
        self.write([{"prompt": "*" * 20000, "completions": ["[" * 20000 + "](" * 9000, "`a " * 20000 + "**a " * 9000]},
                    {"prompt": "> " * 9000, "completions": ["- " * 9000, "_a " * 20000]}])
        page = self.browser.open(self.serve())
        self.count(page, 0)
        for done in range(2):
            self.count(page, done)
            took = page.value("(() => { const start = performance.now(); toggleMarkdown(); toggleMarkdown(); return performance.now() - start; })()")
            self.assertLess(took, 5000)
            page.key("1", "1")

    def test_thumbs_by_mouse(self) -> None:
        page = self.browser.open(self.serve("--mode", "thumbs"))
        self.count(page, 0)
        for done, name in enumerate(("up", "down")):
            page.value(f"document.getElementById('{name}').click()")
            self.count(page, done + 1)
        self.stop()
        self.assertEqual([row["label"] for row in rows(self.out)], [True, False])

    def test_two_windows(self) -> None:
        address = self.serve()
        first, second = self.browser.open(address), self.browser.open(address)
        for page in (first, second):
            self.count(page, 0)
        first.key("ArrowLeft")
        self.count(first, 1)
        second.value("document.getElementById('right').click()")
        self.count(second, 1)
        self.assertIn("another window", self.text(second, "alert"))
        second.key("ArrowRight")
        self.count(second, 2)
        self.assertEqual(len(self.log()), 2)

    def test_a_server_that_is_gone_is_told(self) -> None:
        page = self.browser.open(self.serve())
        self.count(page, 0)
        self.stop()
        page.key("ArrowLeft")
        page.wait("document.getElementById('alert').textContent.includes('does not answer')")
        self.count(page, 0)

    def test_screen_readers_and_the_keyboard_find_everything(self) -> None:
        page = self.browser.open(self.serve())
        self.count(page, 0)
        found = page.accessibility()
        for expected in (
            ("heading", "Which answer is better?"), ("progressbar", "Questions judged"), ("region", "Prompt"),
            ("article", "Answer A"), ("article", "Answer B"), ("button", "A is better"), ("button", "B is better"),
            ("button", "Equal"), ("button", "Both bad"), ("textbox", "Comment"), ("button", "Markdown"), ("button", "Skip"), ("button", "Undo"), ("navigation", "Judge the answers"),
        ):
            self.assertIn(expected, found)
        self.assertEqual(page.value("document.activeElement.id"), "prompt-title")
        page.key("ArrowLeft")
        self.count(page, 1)
        self.assertEqual(page.value("document.getElementById('status').textContent"), "Saved: “A is better”; U undoes it. Question 2 of 4.")
        self.assertEqual(page.value("document.getElementById('status').getAttribute('aria-live')"), "polite")
        page.value("document.getElementById('tie').focus()")
        page.key("Enter", "\r")
        self.count(page, 2)

    def test_contrast_and_fit_on_a_phone_and_a_desk(self) -> None:
        long = "word " * 400 + "x" * 300
        self.write([{"prompt": long, "completions": [long, "short"]}])
        page = self.browser.open(self.serve(), 390, 844)
        self.count(page, 0)
        for scheme in ("light", "dark"):
            page("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            for width, height in ((390, 844), (1280, 800)):
                page.size(width, height)
                self.assertEqual(page.value("document.documentElement.scrollWidth <= innerWidth"), True)
                self.assertEqual(page.value("document.documentElement.scrollHeight <= innerHeight"), True)
                # The answers scroll by themselves: their heads, and what stands above and below them, do not move.
                page.value("document.querySelectorAll('main, .text').forEach(e => e.scrollTo(0, 1e6))")
                for name in ("h1", "#status", "#prompt-title", "article:nth-child(1) h2", "article:nth-child(2) h2", "#comment"):
                    box = page.value(
                        f"(b => [b.top, b.bottom])(document.querySelector('{name}').getBoundingClientRect())")
                    self.assertTrue(0 <= box[0] < box[1] <= height, (name, box))
                self.assertGreaterEqual(page.value("Math.min(...[...document.querySelectorAll('article .text')].map(e => e.clientHeight))"), 100)
                for name in ("left", "right", "tie", "both-bad", "skip", "undo"):
                    box = page.value(
                        f"(b => [b.left, b.top, b.right, b.bottom, b.height])(document.getElementById('{name}').getBoundingClientRect())"
                    )
                    self.assertTrue(box[0] >= 0 and box[1] >= 0 and box[2] <= width and box[3] <= height, (name, box))
                    self.assertGreaterEqual(box[4], 44, "too small for a finger")
                across = page.value("(a => a[0].getBoundingClientRect().top === a[1].getBoundingClientRect().top)(document.querySelectorAll('article'))")
                self.assertEqual(across, width > 600)
            for element in ("h1", "h2", "#who", "#count", "#status", "#prompt p", "#left", "#tie", "#comment"):
                self.assertGreaterEqual(self.contrast(page, element), 4.5, f"{element}, {scheme}")

    def contrast(self, page: browser.Page, element: str) -> float:
        """WCAG's ratio of a text's colour and what is behind it."""
        colours = page.value(
            """(e => { const ink = getComputedStyle(e).color; let paper;
            for (; e; e = e.parentElement) {
              paper = getComputedStyle(e).backgroundColor;
              if (paper !== 'rgba(0, 0, 0, 0)') break;
            }
            return [ink, paper]; })(document.querySelector('%s'))""" % element
        )

        def luminance(colour: str) -> float:
            parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
            linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
            return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

        light, dark = sorted((luminance(colour) for colour in colours), reverse=True)
        return (light + 0.05) / (dark + 0.05)


if __name__ == "__main__":
    unittest.main()
