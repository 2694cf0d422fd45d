"""Faults of a kind that people reported of preference tuning, adapters, chat templates and GGUF files: one entry each, with what
went wrong in words, the input that shows it, and how the right value is computed. right.json holds those values, made by
make_right.py with the programs that each entry names; Tests/python/test_reports.py holds `dpo` against them.
"""

import dataclasses
import json
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "Tests" / "Fixtures"
sys.path.insert(0, str(ROOT / "Tests" / "hostile"))

PAIR = {"prompt": "Name a river.", "chosen": " Loire", "rejected": " a tall tree"}
RIVER = {"prompt": "a river lake b", "chosen": " Loire", "rejected": " tree"}


def chat(role: str, content: object, **more: object) -> dict:
    return {"role": role, "content": content, **more}


CHAT = {"prompt": [chat("user", "Name a river.")], "chosen": [chat("assistant", "Loire")], "rejected": [chat("assistant", "tree")]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {}}}}
WHOLE = {"chosen": CHAT["prompt"] + CHAT["chosen"], "rejected": CHAT["prompt"] + CHAT["rejected"]}
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIALS = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}{{ unk_token }}{{ pad_token }}"
TOOLS = "TOOLS {{ tools | length }} {% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"
PARTS = (
    "{% for m in messages %}{{ m.role }}:{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
    "<{{ part.type }}{% if part.image is defined %} and image{% endif %}>{{ part.text }}{% endfor %}{% endif %};{% endfor %}"
)
CALLS = (
    "{% for m in messages %}{{ m.role }}{% if m.name is defined %} {{ m.name }}{% endif %}:{{ m.content }}"
    "{% for call in m.tool_calls or [] %}{{ call.function.name }}{{ call.function.arguments | tojson }}{% endfor %};{% endfor %}"
    "{% if tools %}{{ tools | tojson }}{% endif %}"
)


def call(**arguments: object) -> list:
    return [{"type": "function", "function": {"name": "f", "arguments": arguments}}]


@dataclasses.dataclass
class Tokens:
    """Rows that became other tokens than they should."""

    name: str
    #: What went wrong.
    wrong: str
    #: How the right ids are computed, beside tokenising as TRL does with transformers' AutoTokenizer.
    computed: str
    model: str
    rows: "list[dict]"
    #: Rows that transformers is given instead.
    right_rows: "list[dict] | None" = None
    #: Files of the fixture model that have other content, as JSON or text, or are taken away (None).
    files: "dict[str, object]" = dataclasses.field(default_factory=dict)
    #: What config.json has besides or (None) not.
    config: "dict[str, object]" = dataclasses.field(default_factory=dict)
    #: Sets the EOS of transformers' tokenizer, which leaves it out.
    right_eos: "str | None" = None
    #: Whether every format that it can be written as gives the same ids.
    exports: bool = False
    #: Whether tokenizer.json has a byte-level step that puts a blank before a text.
    blank: bool = False
    #: Text of a processor that the tokenizer gets: specials around a text.
    around: "list[str] | None" = None


REPORTS = [
    Tokens("eos-of-the-class", "GPT-2's folder names no special tokens: they are defaults of transformers' tokenizer class. Rows of "
           "text were refused, and exports had no EOS.", "", "gpt2", [PAIR],
           files={"tokenizer_config.json": {"model_max_length": 1024}}, exports=True),
    Tokens("eos-of-a-named-class", "The same where tokenizer_config.json names the class.", "", "qwen2", [PAIR],
           files={"tokenizer_config.json": {"tokenizer_class": "GPT2TokenizerFast"}}, exports=True),
    Tokens("eos-of-qwen", "Qwen's class has EOS and padding, and no BOS.", "", "qwen2", [PAIR, CHAT][:1],
           files={"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "chat_template": SPECIALS}, "chat_template.jinja": None}),
    Tokens("eos-in-the-map", "EOS, BOS and padding stand in special_tokens_map.json alone, one of them as an object.", "", "llama-untied", [CHAT],
           files={"tokenizer_config.json": {"tokenizer_class": "TokenizersBackend"}, "special_tokens_map.json": {
               "bos_token": "<|im_start|>", "pad_token": "<|im_end|>", "eos_token": {
                   "content": "<|im_end|>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}},
               "chat_template.jinja": SPECIALS}, exports=True),
    Tokens("map-over-configuration", "special_tokens_map.json and tokenizer_config.json disagree: the map wins.", "", "llama-untied", [PAIR],
           files={"special_tokens_map.json": {"eos_token": "<|im_start|>"}}, exports=True),
    Tokens("configuration-over-map", "The same with added_tokens_decoder, which newer files have: the map is not read.", "", "llama-untied", [PAIR],
           files={"special_tokens_map.json": {"eos_token": "<|im_start|>"}, "tokenizer_config.json": {
               "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>",
               "added_tokens_decoder": {"2": {"content": "<|im_end|>", "special": True}}}}),
    Tokens("eos-by-id", "EOS is named nowhere, but config.json has its id.", "EOS set by hand: llama.cpp's converter takes the id.",
           "llama-untied", [PAIR], files={"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}, "generation_config.json": None},
           config={"eos_token_id": [2, 0]}, right_eos="<|im_end|>", exports=True),
    Tokens("specials-in-the-template", "A template writes unk_token, pad_token and others.", "", "llama-untied", [CHAT],
           files={"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "unk_token": "<|endoftext|>",
                                            "pad_token": "<|im_start|>"}, "chat_template.jinja": SPECIALS}, exports=True),
    Tokens("template-list", "tokenizer_config.json holds a list of templates: exports to GGUF had none, and rows with tools did not use "
           "tool_use.", "", "llama-untied", [CHAT, {**CHAT, "tools": [TOOL]}],
           files={"chat_template.jinja": None, "tokenizer_config.json": {
               "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>",
               "chat_template": [{"name": "default", "template": CHATML}, {"name": "tool_use", "template": TOOLS}]}}, exports=True),
    Tokens("template-folder", "The same as files in additional_chat_templates.", "", "llama-untied", [CHAT, {**CHAT, "tools": [TOOL]}],
           files={"additional_chat_templates/tool_use.jinja": TOOLS}, exports=True),
    Tokens("template-file-first", "chat_template.jinja and the template in tokenizer_config.json differ: the file wins.", "", "llama-untied", [CHAT],
           files={"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "chat_template": TOOLS}}),
    Tokens("null-keys", "Rows that were Arrow tables have every key, null where a row has none.", "Rows without the nulls.", "llama-untied",
           [{**CHAT, "prompt": [chat("user", "Sum 2 and 3", tool_calls=None, name=None)], "tools": None, "weight": None,
             "chat_template_kwargs": None, "margin": None}], [{**CHAT, "prompt": [chat("user", "Sum 2 and 3")]}],
           files={"chat_template.jinja": CALLS}),
    Tokens("null-arguments", "Arguments of calls have the keys of all calls.", "Rows without the nulls.", "llama-untied",
           [{**CHAT, "chosen": [chat("assistant", "", tool_calls=call(city="Oslo", town=None))],
             "rejected": [chat("assistant", "", tool_calls=call(city=None, town="Oslo"))]}],
           [{**CHAT, "chosen": [chat("assistant", "", tool_calls=call(city="Oslo"))],
             "rejected": [chat("assistant", "", tool_calls=call(town="Oslo"))]}], files={"chat_template.jinja": CALLS}),
    Tokens("null-in-a-schema", "So have the schemas of tools.", "Rows without the nulls.", "llama-untied",
           [{**CHAT, "tools": [{**TOOL, "strict": None, "function": {**TOOL["function"], "returns": None}}]}], [{**CHAT, "tools": [TOOL]}],
           files={"chat_template.jinja": CALLS}),
    Tokens("null-in-text", "Tools as a string of JSON are what their writer meant, nulls and all.", "tools by json.loads.", "llama-untied",
           [{**CHAT, "tools": json.dumps([{**TOOL, "default": None}])}], [{**CHAT, "tools": [{**TOOL, "default": None}]}],
           files={"chat_template.jinja": CALLS}),
    Tokens("null-prompt", "A null prompt beside whole conversations is none.", "Rows without the column.", "llama-untied",
           [{**WHOLE, "prompt": None}], [CHAT]),
    Tokens("null-content", "A message that only calls tools has a null content; transformers leaves the key out.", "", "llama-untied",
           [{**CHAT, "chosen": [chat("assistant", None, tool_calls=call(city="Oslo"))]}], files={"chat_template.jinja": CALLS}),
    Tokens("content-in-parts", "What a message says stands in parts, as in data for models that also see; tables of Arrow give every part all "
           "keys. They were refused.", "Rows without the nulls.", "llama-untied",
           [{**CHAT, "prompt": [chat("user", [{"type": "text", "text": "Name", "image": None}, {"type": "text", "text": " a river", "image": None}])]}],
           [{**CHAT, "prompt": [chat("user", [{"type": "text", "text": "Name"}, {"type": "text", "text": " a river"}])]}],
           files={"chat_template.jinja": PARTS}, exports=True),
    Tokens("prompt-beside-conversations", "A prompt as text stands beside whole conversations, as in UltraFeedback.",
           "TRL's rule: the messages in common are the prompt.", "llama-untied",
           [{**WHOLE, "prompt": "Name a river.", "score_chosen": 8.0, "score_rejected": 2.0}], [CHAT]),
    Tokens("messages-beside-conversations", "So does the prompt as messages.", "The messages in common are the prompt.", "llama-untied",
           [{**WHOLE, "prompt": CHAT["prompt"]}], [CHAT]),
    Tokens("extra-tokens-empty-list", "An empty extra_special_tokens beside additional_special_tokens hides them.", "", "qwen2", [RIVER],
           files={"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "extra_special_tokens": [],
                                            "additional_special_tokens": ["river"]}}),
    Tokens("extra-tokens-joined", "extra_special_tokens in two files: the lists are joined.", "", "qwen2", [RIVER],
           files={"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "extra_special_tokens": ["lake"]},
                  "special_tokens_map.json": {"extra_special_tokens": ["river"]}}),
    Tokens("model-tokens", "Special tokens of a model's own, such as image_token, in an object or beside the others.", "", "qwen2", [RIVER],
           files={"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "audio_token": "lake",
                                            "extra_special_tokens": {"image_token": "river"}}}),
    Tokens("model-tokens-in-the-template", "Templates know them by their names.", "", "qwen2", [CHAT],
           files={"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "audio_token": "lake",
                                            "extra_special_tokens": {"image_token": "river"}},
                  "chat_template.jinja": SPECIALS + "{{ image_token }}{{ audio_token }}"}),
    Tokens("added-tokens-file", "Old folders have added_tokens.json beside tokenizer.json.", "", "qwen2", [RIVER],
           files={"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>"}, "added_tokens.json": {"river": 383}}),
    Tokens("template-object", "chat_template as an object of named templates: exports to GGUF had none.", "", "llama-untied",
           [CHAT, {**CHAT, "tools": [TOOL]}], files={"chat_template.jinja": None, "tokenizer_config.json": {
               "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "chat_template": {"default": CHATML, "tool_use": TOOLS}}},
           exports=True),
    Tokens("template-twice", "A name that stands twice: the last one counts.", "", "llama-untied", [CHAT],
           files={"additional_chat_templates/default.jinja": TOOLS.replace("tools | length", "1"), "chat_template.jinja": CHATML}, exports=True),
    Tokens("class-of-qwen2", "transformers does not believe the class that a folder of qwen2 names.", "", "qwen2", [PAIR],
           files={"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}}),
    Tokens("class-in-config", "config.json may name the tokenizer's class.", "", "llama-untied", [PAIR],
           files={"tokenizer_config.json": {}}, config={"tokenizer_class": "GPT2Tokenizer"}),
    Tokens("blank-before-a-text", "tokenizer_config.json asks a class that makes its pre-tokenizer itself for a blank before every text.", "", "gpt2",
           [PAIR], files={"tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}}),
    Tokens("no-blank-before-a-text", "tokenizer.json puts a blank before every text, which such a class undoes.", "", "gpt2", [PAIR],
           files={"tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer"}}, blank=True),
    Tokens("bos-without-a-name", "The post-processor puts a BOS that no file names: it stood twice in text, and not in a GGUF.",
           "The text without its BOS.", "llama-tied", [{**PAIR, "prompt": "<|begin_of_text|>Name a river."}], [PAIR],
           files={"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end_of_text|>"}}, exports=True),
    Tokens("bos-twice", "A text was written with BOS, and the tokenizer puts another one before it.", "The text without its BOS.", "llama-tied",
           [{**PAIR, "prompt": "<|begin_of_text|>Name a river."}], [PAIR]),
    Tokens("eos-twice", "A tokenizer puts EOS behind every text, and so does training.", "A tokenizer that does not.", "llama-tied",
           [PAIR], around=["<|begin_of_text|>", "<|end_of_text|>"]),
]


def build(report: Tokens, directory: pathlib.Path, around: bool = True) -> None:
    """The model of a report, with its rows beside."""
    model = directory / "model"
    shutil.copytree(FIXTURES / "models" / report.model, model, copy_function=shutil.copyfile)
    for name, content in report.files.items():
        if content is None:
            (model / name).unlink()
            continue
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text(content if isinstance(content, str) else json.dumps(content))
    config = json.loads((model / "config.json").read_text())
    config = {**config, **report.config}
    (model / "config.json").write_text(json.dumps(config))
    if report.blank:
        tokenizer = json.loads((model / "tokenizer.json").read_text())
        tokenizer["pre_tokenizer"]["add_prefix_space"] = True
        (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    if report.around and around:
        put_around(model / "tokenizer.json", report.around)
    (directory / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in report.rows))


def put_around(path: pathlib.Path, specials: "list[str]") -> None:
    """A post-processor that puts the first of two special tokens before a text and the second behind it."""
    tokenizer = json.loads(path.read_text())
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    before, after = ({"SpecialToken": {"id": text, "type_id": 0}} for text in specials)
    sequence = {"Sequence": {"id": "A", "type_id": 0}}
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing", "single": [before, sequence, after], "pair": [before, sequence, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {text: {"id": text, "ids": [ids[text]], "tokens": [text]} for text in specials},
    }
    path.write_text(json.dumps(tokenizer))


#: `dpo evaluate` gave means over batches: eight rows that the policy gets wrong and one that it gets right, or the other way round.
EVALUATION = {
    "policy": "llama-biased", "reference": "llama-tied",
    "rows": [{"prompt": "Count", "chosen": " one two three four five", "rejected": " x y"}] * 8
    + [{"prompt": "Name a river.", "chosen": " Loire", "rejected": " tree"}],
}

#: generation_config.json names tokens that are never drawn: those that the model likes best behind this prompt.
SUPPRESSED = {"model": "llama-untied", "prompt": "Name a river.", "rounds": 6, "new_tokens": 8}
