"""report.html in a real browser: values under the pointer, on a desk and a phone, and nothing else that runs."""

import base64
import hashlib
import json
import re
import unittest

import browser
from support import MODEL, PAIRS, Case, dpo, rows

LOST = "Chromium is not installed (Debian: apt-get install chromium)"


class ReportPage(Case):
    def setUp(self) -> None:
        super().setUp()
        self.run_directory = self.directory / "run"
        trained = dpo("train", MODEL, "--data", PAIRS, "--eval-data", PAIRS, "--output-dir", self.run_directory, "--max-steps", 40,
                      "--eval-steps", 8, "--lora-r", 4, "--learning-rate", 1e-3)
        self.assertEqual(trained.returncode, 0, trained.stderr)
        self.page = (self.run_directory / "report.html").read_text()

    def test_the_policy_lets_the_page_s_own_script_run_alone(self) -> None:
        scripts = re.findall(r"<script[^>]*>(.*?)</script>", self.page, re.DOTALL)
        self.assertEqual(len(scripts), 1)
        digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', self.page).group(1)
        self.assertEqual(policy, f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'")
        self.assertEqual(set(re.findall(r"https?://[^\"' ]*", self.page)), {"http://www.w3.org/2000/svg"})

    @unittest.skipUnless(browser.PATH, LOST)
    def test_values_under_the_pointer(self) -> None:
        metrics = {row["step"]: row for row in rows(self.run_directory / "metrics.jsonl")}
        chromium = browser.Browser()
        self.addCleanup(chromium.close)
        for scheme, width, height in (("light", 1280, 800), ("dark", 390, 844)):
            page = chromium.open(f"file://{self.run_directory / 'report.html'}", width, height)
            page("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            page.wait("document.querySelectorAll('.tip').length > 5")
            self.assertEqual(page.value("document.documentElement.scrollWidth <= innerWidth"), True)
            tip = "document.querySelector('figure .tip')"
            svg = "document.querySelector('figure svg')"
            self.assertIn("Reward margin", str(page.value(f"{svg}.getAttribute('aria-label')")))
            page.value(f"{svg}.scrollIntoView()")
            plot = json.loads(str(page.value(f"{svg}.dataset.plot")))
            left, across, first, last = plot["x"]
            box = page.value(f"(b => [b.left, b.top, b.width, b.height])({svg}.getBoundingClientRect())")

            def near(step: int) -> "list[float]":
                return [box[0] + (left + (step - first) / (last - first) * across) * box[2] / 440, box[1] + box[3] / 2]

            for step in (3, 16, 40):
                page.drag(near(20), near(step))
                self.assertFalse(page.value(f"{tip}.hidden"))
                row, said = metrics[step], str(page.value(f"{tip}.innerText"))
                self.assertTrue(said.startswith(f"step {step}\n"), said)
                self.assertIn("training " + self.shown(row["rewards/margins"]), said)
                if step % 8 == 0:
                    self.assertIn("held out " + self.shown(row["eval_rewards/margins"]), said)
                else:
                    self.assertNotIn("held out", said)
                inside = page.value(f"(t => [t.left, t.right, t.top])({tip}.getBoundingClientRect())")
                self.assertTrue(box[0] <= inside[0] and inside[1] <= box[0] + box[2] and inside[2] >= box[1], inside)
            # By keys, from where the pointer was.
            page.value(f"{svg}.focus()")
            page.key("ArrowLeft")
            self.assertTrue(str(page.value(f"{tip}.innerText")).startswith("step 39\n"))
            page.key("Home")
            self.assertTrue(str(page.value(f"{tip}.innerText")).startswith("step 1\n"))
            page.key("Escape")
            self.assertTrue(page.value(f"{tip}.hidden"))

    @staticmethod
    def shown(value: float) -> str:
        """As the report writes numbers below 1."""
        text = f"{abs(value):.3f}" if abs(value) >= 1e-3 else re.sub(r"\.?0*e-0?", "e-", f"{abs(value):.2e}")
        return ("−" if value < 0 else "") + text

    @unittest.skipUnless(browser.PATH, LOST)
    def test_defaults_are_folded(self) -> None:
        chromium = browser.Browser()
        self.addCleanup(chromium.close)
        page = chromium.open(f"file://{self.run_directory / 'report.html'}")
        page.wait("document.querySelector('footer')")
        text = str(page.value("document.querySelector('main').innerText"))
        for name, is_shown in (("lora_r", True), ("learning_rate", True), ("lora_alpha", False), ("adam_beta1", False)):
            self.assertEqual(bool(re.search(rf"^{name}\b", text.split("Settings")[1], re.MULTILINE)), is_shown, name)
        page.value("document.querySelectorAll('details').forEach(e => { e.open = true; })")
        text = str(page.value("document.querySelector('main').innerText"))
        self.assertIn("lora_alpha", text)
        self.assertNotIn("cliprange", text)


if __name__ == "__main__":
    unittest.main()
