"""Rows in files that other programs write: gzip, csv and json of Python's, pandas where there is one; stdin, directories, mixtures."""

import csv
import gzip
import json
import subprocess
import unittest

import libdpo
from support import MODEL, PAIRS, Case, dpo, rows

TEXTS = [
    {"prompt": "Say:", "chosen": ' "yes", she said', "rejected": " no\r\nand\nno"},
    {"prompt": "Größe?", "chosen": " 1,80 m", "rejected": " \t\u2028🙂"},
    {"prompt": "", "chosen": " ''", "rejected": ' ""'},
]


class Forms(Case):
    def tokens(self, *arguments: object, **options: object) -> "list[dict]":
        result = dpo("tokenize", MODEL, "--data", *arguments, "--json", **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)["rows"]

    def test_what_python_writes_is_read_as_it_was(self) -> None:
        lines = "".join(json.dumps(row) + "\n" for row in TEXTS)
        (self.directory / "a.jsonl").write_text(lines)
        expected = self.tokens(self.directory / "a.jsonl")
        self.assertEqual(len(expected), len(TEXTS))
        (self.directory / "a.json").write_text(json.dumps(TEXTS))
        (self.directory / "indented.json").write_text(json.dumps(TEXTS, indent=2, ensure_ascii=False))
        for name, options in (("a.csv", {}), ("quoted.csv", {"quoting": csv.QUOTE_ALL}), ("a.tsv", {"delimiter": "\t"})):
            with open(self.directory / name, "w", newline="", encoding="utf-8-sig") as file:
                writer = csv.DictWriter(file, list(TEXTS[0]), **options)
                writer.writeheader()
                writer.writerows(TEXTS)
        for path in sorted(self.directory.iterdir()):
            (self.directory / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        for path in sorted(self.directory.iterdir()):
            self.assertEqual(self.tokens(path), expected, path.name)
        parts = [gzip.compress(part.encode()) for part in lines.splitlines(keepends=True)]
        (self.directory / "parts.jsonl.gz").write_bytes(b"".join(parts))
        self.assertEqual(self.tokens(self.directory / "parts.jsonl.gz"), expected)
        for data in (lines, json.dumps(TEXTS)):
            self.assertEqual(self.tokens("-", input=data), expected)

    def test_the_library_opens_the_same_paths(self) -> None:
        model = libdpo.Model(MODEL)
        (self.directory / "rows").mkdir()
        whole = json.dumps(TEXTS).encode()
        (self.directory / "rows" / "a.json.gz").write_bytes(gzip.compress(whole))
        (self.directory / "rows" / "b.json").write_bytes(whole)
        expected = libdpo.Dataset(TEXTS, model).info.tokens
        self.assertEqual(libdpo.Dataset(self.directory / "rows" / "a.json.gz", model).info.tokens, expected)
        self.assertEqual(libdpo.Dataset(self.directory / "rows", model).info.tokens, 2 * expected)
        with self.assertRaisesRegex(libdpo.errors.FormatError, "c.csv: line 2: 1 fields; expected 3"):
            (self.directory / "rows" / "c.csv").write_text("prompt,chosen,rejected\nalone\n")
            libdpo.Dataset(self.directory / "rows", model)

    def test_columns_of_csv_that_are_no_text(self) -> None:
        for name, label in (("python", "True"), ("json", "true"), ("number", "1")):
            path = self.directory / f"{name}.csv"
            path.write_text(f'prompt,completion,label,weight\na," b",{label},0.5\na," c",{label},\n')
            found = json.loads(dpo("inspect", path, "--json").stdout)
            self.assertEqual((found["row_kind"], found["format"], found["rows"]), ("unpaired", "csv", 2))
        path = self.directory / "chat.csv"
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["messages"])
            writer.writerow([json.dumps([{"role": "user", "content": "a, b"}, {"role": "assistant", "content": 'c "d"'}])])
        self.assertTrue(json.loads(dpo("inspect", path, "--json").stdout)["conversational"])

    def test_large_packed_files_are_read_piece_by_piece(self) -> None:
        row = json.dumps({"prompt": "a " * 200, "chosen": " b", "rejected": " c"}) + "\n"
        data = row.encode() * 20000  # 9 MB
        for name, text in (("lines.jsonl.gz", data), ("array.json.gz", b"[" + data[:-1].replace(b"\n", b",\n") + b"]")):
            path = self.directory / name
            path.write_bytes(gzip.compress(text))
            self.assertEqual(json.loads(dpo("inspect", path, "--json").stdout)["rows"], 20000)

    def test_damaged_packed_files(self) -> None:
        whole = gzip.compress(PAIRS.read_bytes())
        changed = bytearray(whole)
        changed[len(whole) // 2] ^= 16
        wrong_sum = bytearray(whole)
        wrong_sum[-6] ^= 1
        for content in (whole[:-9], whole[:40], bytes(changed), bytes(wrong_sum), whole + b"more"):
            path = self.directory / "rows.jsonl.gz"
            path.write_bytes(content)
            result = dpo("tokenize", MODEL, "--data", path)
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertIn("rows.jsonl.gz", result.stderr)

    def test_parquet_says_what_to_do(self) -> None:
        path = self.directory / "rows.parquet"
        path.write_bytes(b"PAR1" + bytes(64))
        result = dpo("tokenize", MODEL, "--data", path)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"pandas.read_parquet('{path}').to_json('{path.with_suffix('.jsonl')}'", result.stderr)


class Training(Case):
    def train(self, out: str, *arguments: object, **options: object) -> "subprocess.CompletedProcess[str]":
        result = dpo("train", MODEL, *arguments, "--output-dir", self.directory / out, "--max-length", 64, "--lora-r", 2, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def losses(self, out: str) -> "list[float]":
        return [row["loss"] for row in rows(self.directory / out / "metrics.jsonl")]

    def test_sources_one_after_the_other_are_one_file(self) -> None:
        lines = PAIRS.read_text().splitlines(keepends=True)
        (self.directory / "data").mkdir()
        (self.directory / "data" / "1.jsonl").write_text("".join(lines[:3]))
        (self.directory / "data" / "2.json").write_text("[" + ",".join(lines[3:5]) + "]")
        rest = "".join(lines[5:])
        (self.directory / "rest.jsonl").write_text(rest)
        steps = ("--max-steps", 3)
        self.train("one", "--data", PAIRS, *steps)
        self.train("several", "--data", self.directory / "data", "--data", self.directory / "rest.jsonl", *steps)
        self.train("piped", "--data", self.directory / "data", "--data", "-", *steps, input=rest)
        for out in ("several", "piped"):
            self.assertEqual(self.losses(out), self.losses("one"))

    def test_a_mixture_goes_on_in_the_same_bits(self) -> None:
        lines = PAIRS.read_text().splitlines(keepends=True)
        first, second = self.directory / "a=1.jsonl", self.directory / "b.jsonl"
        first.write_text("".join(lines[:6]))
        second.write_text("".join(lines[6:]))
        data = ("--data", f"{first}=3", "--data", f"{second}=1", "--per-device-train-batch-size", 2, "--seed", 7)
        whole = self.train("whole", *data, "--max-steps", 4)
        self.assertIn("mixture: 6 of 6 rows of a=1.jsonl, 2 of ", whole.stderr)
        self.train("parts", *data, "--max-steps", 4, "--save-steps", 2)
        (self.directory / "parts" / "checkpoint-4.h5").unlink()
        (self.directory / "parts" / "final.h5").unlink()
        self.train("parts", *data, "--max-steps", 4, "--save-steps", 2, "--resume-from-checkpoint", "last")
        self.assertEqual(
            (self.directory / "parts" / "final.h5").read_bytes(), (self.directory / "whole" / "final.h5").read_bytes())
        other = [argument if argument != f"{second}=1" else f"{second}=2" for argument in data]
        result = dpo("train", MODEL, *other, "--output-dir", self.directory / "parts", "--max-length", 64, "--lora-r", 2,
                     "--max-steps", 5, "--save-steps", 2, "--resume-from-checkpoint", "last")
        self.assertEqual(result.returncode, 1)
        self.assertIn("the training data", result.stderr)

    def test_shares_that_make_no_sense(self) -> None:
        for data, says in ((f"{PAIRS}=0", "above 0"), (f"{PAIRS}=x", "no such file")):
            result = dpo("train", MODEL, "--data", data, "--output-dir", self.directory / "run")
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(says, result.stderr)
        result = dpo("train", MODEL, "--data", f"{PAIRS}=1", "--data", PAIRS, "--output-dir", self.directory / "run")
        self.assertEqual(result.returncode, 2)
        self.assertIn("give every source a share", result.stderr)


if __name__ == "__main__":
    unittest.main()
