"""The three tasks: where the policies start, what is preferred, what they are tested on."""

from __future__ import annotations

import collections
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import libdpo

from . import data, measure, models
from .methods import Preferences
from .store import Made, Work


@dataclass
class Sentiment:
    """Film reviews begun by people. The reward is a classifier of human ratings: the paper's ground truth."""

    work: Work

    @cached_property
    def size(self) -> "dict[str, Any]":
        if self.work.quick:
            return {"prompts": 32, "test": 12, "new_tokens": 8, "sft_rows": 100, "judge_rows": 300, "batch": 16}
        return {"prompts": 768, "test": 128, "new_tokens": 24, "sft_rows": 9000, "judge_rows": 20000, "batch": 32}

    @cached_property
    def judge(self) -> libdpo.TextClassifier:
        """Log-odds that a text is positive, learned from human labels of other films' reviews."""
        path = self.work.root / "models" / f"sentiment-{self.size['judge_rows']}.h5"
        if not path.exists():
            labelled = data.some(data.rows("sentiment", "train"), self.size["judge_rows"], 0)
            libdpo.TextClassifier.train([row["text"] for row in labelled], [row["label"] for row in labelled]).save(
                path
            )
        return libdpo.TextClassifier(path)

    def judge_quality(self) -> "dict[str, float]":
        """Accuracy on films that the judge has not seen, and that of always saying the commoner label."""
        held = data.rows("sentiment", "test")
        labels = [row["label"] for row in held]
        right = [
            (score > 0) == bool(label)
            for score, label in zip(self.judge.log_odds([row["text"] for row in held]), labels)
        ]
        positive = sum(labels) / len(labels)
        return {
            "rows": len(held),
            "accuracy": round(sum(right) / len(right), 4),
            "majority": round(max(positive, 1 - positive), 4),
        }

    def reward(self, prompts: "list[str]", completions: "list[str]") -> "list[float]":
        return self.judge.log_odds([prompt + text for prompt, text in zip(prompts, completions)])

    @cached_property
    def start(self) -> Made:
        """The SFT model."""
        rows = data.some([{"text": row["text"]} for row in data.rows("sentiment", "train")], self.size["sft_rows"], 1)
        held = [{"text": row["text"]} for row in data.some(data.rows("sentiment", "valid"), 300, 1)]
        settings = {"learning_rate": 1e-3, "num_train_epochs": 2, "per_device_train_batch_size": self.size["batch"]}
        return models.sft(self.work, models.base(self.work), "sentiment", rows, held, settings)

    def prompts(self, split: str, count: int, seed: int) -> "list[str]":
        return [row["prompt"] for row in data.some(data.rows("sentiment_prompts", split), count, seed)]

    @cached_property
    def test(self) -> "list[str]":
        return self.prompts("test", self.size["test"], 0)

    def preferences(self, seed: int) -> Preferences:
        """Four completions of each prompt by the SFT model, compared two by two by the ground truth: two pairs a prompt."""
        prompts = self.prompts("train", self.size["prompts"], seed)
        settings = {"start": self.start, "seed": seed, "prompts": len(prompts), "tokens": self.size["new_tokens"]}
        pairs = self.work.cell("sentiment pairs", settings, lambda: {"pairs": self._pairs(prompts, seed)})["pairs"]
        made = {"learning_rate": 5e-4, "num_train_epochs": 2, "per_device_train_batch_size": self.size["batch"]}
        cut = len(pairs) // 10
        reward = models.reward_model(self.work, self.start, "sentiment", pairs[cut:], pairs[:cut], made, settings)
        return Preferences(pairs, prompts, reward, self.reward)

    def _pairs(self, prompts: "list[str]", seed: int) -> "list[dict]":
        drawn = measure.texts(
            measure.draw(
                self.start.open(), prompts, 4, seed=100 + seed, max_new_tokens=self.size["new_tokens"]
            )
        )
        pairs = []
        for prompt, four in zip(prompts, drawn):
            scores = self.reward([prompt] * 4, four)
            for a, b in ((0, 1), (2, 3)):
                if scores[a] != scores[b]:
                    better, worse = (a, b) if scores[a] > scores[b] else (b, a)
                    pairs.append({"prompt": prompt, "chosen": four[better], "rejected": four[worse]})
        return pairs


def words(text: str) -> "list[str]":
    return re.findall(r"[a-z0-9]+", text.lower())


def rouge_l(candidate: str, reference: str) -> float:
    """F1 of the longest common subsequence of words (Lin 2004)."""
    a, b = words(candidate), words(reference)
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for at, other in enumerate(b, 1):
            diagonal, row[at] = row[at], diagonal + 1 if word == other else max(row[at], row[at - 1])
    return 2 * row[-1] / (len(a) + len(b)) if row[-1] else 0.0


class ContentJudge:
    """Cosine of the tf-idf vectors of a description and of a summary. It needs no reference summary, so that it can compare one
    with a policy's, and it is not what the policies are trained for."""

    def __init__(self, texts: "list[str]") -> None:
        self.documents = len(texts)
        self.counts = collections.Counter(word for text in texts for word in set(words(text)))

    def vector(self, text: str) -> "dict[str, float]":
        found = {
            word: (1 + math.log(count)) * math.log((self.documents + 1) / (self.counts[word] + 1))
            for word, count in collections.Counter(words(text)).items()
        }
        length = math.sqrt(sum(value * value for value in found.values())) or 1.0
        return {word: value / length for word, value in found.items()}

    def score(self, prompt: str, summary: str) -> float:
        document = self.vector(prompt.rsplit("\n\nTL;DR:", 1)[0])
        return sum(value * document.get(word, 0.0) for word, value in self.vector(summary).items())

    def nearest(self, rows: "list[dict]") -> "list[int]":
        """For each row another one, whose description is the most alike."""
        vectors = [self.vector(row["prompt"]) for row in rows]
        holders = collections.defaultdict(list)
        for index, vector in enumerate(vectors):
            for word, value in vector.items():
                holders[word].append((index, value))
        found = []
        for index, vector in enumerate(vectors):
            likeness = collections.Counter({(index + 1) % len(rows): 0.0})
            for word, value in vector.items():
                for other, weight in holders[word]:
                    if other != index:
                        likeness[other] += value * weight
            found.append(max(likeness, key=lambda other: (likeness[other], -other)))
        return found


def wins(scores: "list[float]", references: "list[float]") -> "list[float]":
    """1 where the policy's answer is the better one, ½ for a tie."""
    return [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in zip(scores, references)]


@dataclass
class Summaries:
    """Package descriptions and the synopses that people wrote. Preferred is what is nearer to the hidden synopsis (ROUGE-L): that
    is where human judgement enters. Win rates are by another judge, of content."""

    work: Work

    @cached_property
    def size(self) -> "dict[str, Any]":
        if self.work.quick:
            return {
                "prompts": 24,
                "test": 12,
                "new_tokens": 8,
                "sft_rows": 60,
                "judge_rows": 300,
                "batch": 8,
                "words": 40,
                "gap": -1.0,
            }
        return {
            "prompts": 192,
            "test": 96,
            "new_tokens": 16,
            "sft_rows": 768,
            "judge_rows": 20000,
            "batch": 8,
            "words": 50,
            "gap": 0.1,
        }

    def rows(self, split: str) -> "list[dict]":
        return data.summary_tasks("summaries", split, self.size["words"])

    @cached_property
    def start(self) -> Made:
        """The SFT model, on people's synopses."""
        settings = {"learning_rate": 2e-5, "num_train_epochs": 1, "per_device_train_batch_size": 2 * self.size["batch"]}
        rows = data.some(self.rows("train"), self.size["sft_rows"], 1)
        return models.sft(
            self.work, models.shipped(self.work), "summaries", rows, data.some(self.rows("valid"), 100, 1), settings
        )

    @cached_property
    def judge(self) -> ContentJudge:
        return ContentJudge([row["prompt"] for row in data.some(self.rows("train"), self.size["judge_rows"], 0)])

    @cached_property
    def test(self) -> "list[dict]":
        return data.some(self.rows("test"), self.size["test"], 0)

    @cached_property
    def other_domain(self) -> "list[dict]":
        return data.some(data.summary_tasks("descriptions", "test", self.size["words"]), self.size["test"], 0)

    def judge_quality(self) -> "dict[str, float]":
        """How often the judge sides with people: for the synopsis that was written for the package against that of the most alike
        other one; and, of two samples of the SFT model, for the one nearer to the synopsis."""
        rows = self.rows("test")
        judge, others = self.judge, self.judge.nearest(rows)
        own = wins(
            [judge.score(row["prompt"], row["completion"]) for row in rows],
            [judge.score(row["prompt"], rows[other]["completion"]) for row, other in zip(rows, others)],
        )
        pairs = self.preferences(1).pairs
        samples = wins(
            [judge.score(pair["prompt"], pair["chosen"]) for pair in pairs],
            [judge.score(pair["prompt"], pair["rejected"]) for pair in pairs],
        )
        return {
            "own_against_alike": round(sum(own) / len(own), 4),
            "rows": len(rows),
            "nearer_sample": round(sum(samples) / len(samples), 4),
            "sample_pairs": len(pairs),
        }

    def preferences(self, seed: int) -> Preferences:
        """Of four samples of the SFT model the nearest to the hidden synopsis against the farthest."""
        rows = data.some(self.rows("train"), self.size["prompts"], 10 + seed)
        settings = {"start": self.start, "seed": seed, "size": self.size}
        pairs = self.work.cell("summary pairs", settings, lambda: {"pairs": self._pairs(rows, seed)})["pairs"]
        made = {
            **models.ADAPTER,
            "num_train_epochs": 1,
            "per_device_train_batch_size": self.size["batch"],
        }
        cut = max(1, len(pairs) // 10)
        reward = models.reward_model(self.work, self.start, "summaries", pairs[cut:], pairs[:cut], made, settings)
        return Preferences(pairs, [row["prompt"] for row in rows], reward)

    def _pairs(self, rows: "list[dict]", seed: int) -> "list[dict]":
        drawn = measure.texts(
            measure.draw(
                self.start.open(),
                [row["prompt"] for row in rows],
                4,
                seed=100 + seed,
                max_new_tokens=self.size["new_tokens"],
            )
        )
        pairs = []
        for row, four in zip(rows, drawn):
            ordered = sorted(four, key=lambda text: rouge_l(text, row["completion"]))
            if rouge_l(ordered[-1], row["completion"]) - rouge_l(ordered[0], row["completion"]) > self.size["gap"]:
                pairs.append({"prompt": row["prompt"], "chosen": ordered[-1], "rejected": ordered[0]})
        return pairs


@dataclass
class Dialogue:
    """People's talk: the real reply is preferred to one that was given to somebody else. The judge is a reward model of its own,
    trained on conversations that the policies' data does not have."""

    work: Work

    @cached_property
    def size(self) -> "dict[str, Any]":
        if self.work.quick:
            return {"pairs": 60, "test": 12, "new_tokens": 8, "judge_pairs": 60, "batch": 8, "words": 40}
        return {"pairs": 512, "test": 96, "new_tokens": 24, "judge_pairs": 768, "batch": 8, "words": 50}

    @cached_property
    def halves(self) -> "tuple[list[dict], list[dict]]":
        """Pairs for the policies, pairs for the judge."""
        pairs = data.some(
            data.chat_tasks("train", self.size["words"]), self.size["pairs"] + self.size["judge_pairs"], 0
        )
        return pairs[: self.size["pairs"]], pairs[self.size["pairs"] :]

    @cached_property
    def start(self) -> Made:
        """Preferred-FT: the base model fine-tuned on the real replies. There is no other SFT model, as in the paper."""
        rows = [{"prompt": pair["prompt"], "completion": pair["chosen"]} for pair in self.halves[0]]
        pairs = data.some(data.chat_tasks("valid", self.size["words"]), 100, 1)
        held = [{"prompt": pair["prompt"], "completion": pair["chosen"]} for pair in pairs]
        settings = {"learning_rate": 2e-5, "num_train_epochs": 1, "per_device_train_batch_size": 2 * self.size["batch"]}
        return models.sft(self.work, models.shipped(self.work), "dialogue", rows, held, settings)

    @cached_property
    def test(self) -> "list[dict]":
        return data.some(data.chat_tasks("test", self.size["words"]), self.size["test"], 0)

    def reward_model(self, pairs: "list[dict]", seed: int, use: str) -> Made:
        settings = {
            **models.ADAPTER,
            "num_train_epochs": 1,
            "per_device_train_batch_size": self.size["batch"],
            "seed": seed,
        }
        held = data.some(data.chat_tasks("test", self.size["words"]), 200, 1)
        return models.reward_model(
            self.work, models.shipped(self.work), f"dialogue {use}", pairs, held, settings, {"size": self.size}
        )

    @cached_property
    def judge(self) -> Made:
        return self.reward_model(self.halves[1], 11, "judge")

    def preferences(self) -> Preferences:
        pairs = self.halves[0]
        # The pairs are the same for every seed, and so is their reward model.
        return Preferences(pairs, [pair["prompt"] for pair in pairs], self.reward_model(pairs, 1, "of policies"))
