"""What the fixture scripts share: places, versions, canonical JSON and the text that tokenizers are trained on.

Every script runs from the repository root with the Python of the peers' environment (Tests/peers/setup), writes the same
bytes each time, and names in its header what it makes. Written with torch 2.15.0, transformers 5.23.0, TRL 1.16.0,
PEFT 0.21.2, tokenizers 0.23.3, gguf 0.19.0.
"""
import json
import os
import zlib
from pathlib import Path

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS"):
    os.environ[name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

FIXTURES = Path(__file__).resolve().parent.parent
MODELS = FIXTURES / "models"
GGUF = FIXTURES / "gguf"
DATA = FIXTURES / "data"
GOLDEN = FIXTURES / "golden"
NAMES = ["llama-tied", "llama-untied", "mistral", "qwen2", "qwen3", "gpt2", "llama-biased"]
MIXTURE = "qwen3-moe"


def place(model):
    """Where in the fixtures a model lies: the mixture apart from those of which all goldens are made."""
    return f"{'mixtures' if model == MIXTURE else 'models'}/{model}"


def rows(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").split("\n") if line.strip()]


def write_json(path, value):
    """Compact, one top-level entry a line, full precision."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [json.dumps(key) + ":" + json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
               for key, entry in value.items()]
    path.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")


TEXT = """
The harbour was quiet in the early morning, and the old fisherman counted his boats twice before the fog came in.
There were 7 boats, 12 nets and 365 little bells, one for every day of the year. "It's nothing," he said; "we'll wait."
A good film tells the truth about people. A bad film tells you what to feel, then it tells you again, louder.
I've seen it three times and I'd see it again. They're wonderful together; she doesn't waste a single line.
The plot isn't clever, the jokes aren't funny, and the ending couldn't have come sooner. You'll want your money back.
What is the capital of France? The capital of France is Paris. How far is the moon? About 384,400 km away.
Please write a short letter to my teacher and thank her for the lessons of last winter.
You are a helpful assistant. The user asked a question and the assistant answered it in one sentence.
for i in range(10):\n    total = total + values[i] * weights[i]\n    if total > 100:\n        break\nreturn total
Straße, naïve, café, façade, jalapeño, coöperate, Ångström, smörgåsbord, piñata, über, déjà vu.
Привет, мир! Как дела? Сегодня хорошая погода. 今天天气很好。你好，世界！ こんにちは世界。 안녕하세요. مرحبا بالعالم.
In 1999 the price rose from $3.50 to $4.75, or by 35.7 %; by 2024 nobody remembered either number.
The market on the island opened at six. The farmer brought apples, the captain brought letters, the doctor brought news.
Before the storm the signal changed and the sailors closed every window, although the street was already under water.
"""
CORPUS = [line.replace("\\n", "\n") for line in TEXT.strip().splitlines()] * 3


def digest(data):
    """CRC-32 of bytes, as 8 digits: goldens keep it where the whole would be large."""
    return f"{zlib.crc32(data):08x}"


def smollm2(directory):
    """SmolLM2's tokenizer with the pre-tokenizer that it was released with: digits one by one, then GPT-2's."""
    from tokenizers import Tokenizer, pre_tokenizers
    tokenizer = Tokenizer.from_file(f"{directory}/tokenizer.json")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    return tokenizer


def number(value):
    """A float32 as the shortest text that names it."""
    return float(f"{float(value):.9g}")


def numbers(values):
    return [number(value) for value in values]
