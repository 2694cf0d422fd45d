"""Chat templates of llama.cpp's sources, TRL's and those in GGUF files, over random conversations with tools, calls
and reasoning: the text beside transformers' renderer, or an error in both.
"""
import json
import random
import subprocess
from functools import partial
from pathlib import Path

import gguf
import trl
from make_templates import CONVERSATIONS, SEARCH, TOOLS, WEATHER, call, rendered
from real import files
from support import COMMAND, dpo, scratch, write_rows
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tokens import SOURCES

TEXTS = ["", "Hi", " \n x\n\n", "<think>\na\n</think>\n\nb", "</think>", "{{ x }}{% if %}", "é👍\u2028\u00a0", "[INST] x [/INST]", "<|im_end|>",
         "a\\n\"b\" 'c' <d>&", "line\r\nline\ttab", "{\"a\": 1}", "<tool_call>\n{}\n</tool_call>", "/no_think"]
VALUES = ["é\"'\\\n<", 0, -5, 2**40, 0.5, -0.0, 1e22, 3.0, True, False, [1, "a"], {"é x": [], "items": {}}]
KEYWORDS = [{}, {}, {"enable_thinking": False}, {"enable_thinking": True}, {"thinking": True}, {"reasoning_effort": "high"},
            {"documents": [{"title": "T", "text": "x\ny"}]}, {"preserve_thinking": True}, {"date_string": "x"}]


def message(source, role):
    found = {"role": role, "content": source.choice(TEXTS)}
    if role == "assistant" and source.random() < 0.3:
        arguments = {name: source.choice(VALUES) for name in source.sample(["city", "q", "x y"], source.randint(0, 3))}
        found["tool_calls"] = [call(source.choice(["get_weather", "search"]), arguments, id) for id in ["abcdef123", "zyxwvu987"][:source.randint(1, 2)]]
    if role == "assistant" and source.random() < 0.2:
        found[source.choice(["reasoning_content", "thinking"])] = source.choice(TEXTS)
    return found


def conversation(source):
    found = [message(source, source.choice(["system", "system", "developer"]))] if source.random() < 0.4 else []
    for _ in range(source.randint(1, 3)):
        found += [message(source, "user"), message(source, "assistant")]
        calls = found[-1].get("tool_calls", [])
        found += [{**message(source, "tool"), "name": one["function"]["name"], "tool_call_id": one["id"]} for one in calls]
        if calls and source.random() < 0.7:
            found.append({"role": "assistant", "content": source.choice(TEXTS)})
    return found


def rows(seed, count=60):
    source = random.Random(seed)
    # Rows hold text.
    fixed = [{"messages": messages, "tools": TOOLS.get(name)} for name, messages in CONVERSATIONS.items()
             if messages and all(isinstance(one.get("content"), str) for one in messages)]
    return fixed + [{"messages": conversation(source), "tools": source.choice([None, [WEATHER, SEARCH], [SEARCH]]),
                     "chat_template_kwargs": source.choice(KEYWORDS)} for _ in range(count)]


def without_nulls(value):
    """As TRL and dpo read rows."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def folder(name, template):
    """A tokenizer whose tokens are bytes, with the template."""
    path = scratch() / f"template-{name}"
    path.mkdir()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: id for id, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<s>"), AddedToken("</s>")])
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    (path / "chat_template.jinja").write_bytes(template.encode())
    return path, tokenizer


def render(name, template, seed):
    path, tokenizer = folder(name, template)
    expected, refused = [], []
    for row in map(without_nulls, rows(seed)):
        variables = {"bos_token": "<s>", "eos_token": "</s>", **row.get("chat_template_kwargs", {})}
        try:
            text = rendered(template, row["messages"], False, row.get("tools"), variables)[0]
        except Exception as error:
            refused.append((row, error))
        else:
            expected += [(row, text)] if text else []    # a row needs tokens
    if expected:
        found = dpo("tokenize", path, data=write_rows(scratch() / "chats.jsonl", [row for row, _ in expected]), json=True)["rows"]
        for (row, text), ours in zip(expected, found, strict=True):
            ours = tokenizer.decode(ours["prompt_ids"] + ours["completion_ids"], skip_special_tokens=False)
            assert ours == text, f"{row}: {ours!r}, expected {text!r}"
    for row, error in refused:
        data = write_rows(scratch() / "refused.jsonl", [row])
        result = subprocess.run([COMMAND, "tokenize", path, "--data", data, "--json"], capture_output=True)
        assert result.returncode == 1, f"{row}: exit {result.returncode}, expected {error!r}"
    return f"{len(expected)} conversations, {len(refused)} refused"


def sources():
    folders = [Path(trl.__file__).parent / "chat_templates", SOURCES / "models/templates"]
    for path in (path for folder in folders for path in sorted(folder.glob("*.jinja"))):
        yield f"{path.parent.parent.name} {path.stem}", path.read_bytes().decode()
    for file in files():
        template = gguf.GGUFReader(file).fields.get("tokenizer.chat_template")
        if template:
            yield file.stem, template.contents()


def checks(seed):
    for name, template in sources():
        yield f"template {name}", partial(render, name.replace(" ", "-"), template, seed)
