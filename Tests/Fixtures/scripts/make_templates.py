"""Golden renderings of Tests/Fixtures/templates/*.jinja by transformers' own renderer, and of small expressions.

    python make_templates.py            (needs transformers and jinja2 3.1; no network)

The templates are what the models ship: smollm2 from SmolLM2-135M-Instruct, the others as collected (Apache-2.0) by
TRL 1.16 in trl/chat_templates, and chatml, zephyr, mistral_v1, mistral_v3 and phi4 as in their models' tokenizer_config.json.
Output: golden.json {time, conversations, variables, cases: [{template, conversation, prompt, tools, text | error, spans}]}, spans in
characters; expressions.json [{source, text | error}].
"""
import json
import pathlib
import sys
import time

from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

HERE = pathlib.Path(__file__).parent.parent / "templates"
VARIABLES = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "date_string": "26 Jul 2024"}
WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather \"now\" in a city — in °C", "parameters": {
        "type": "object", "properties": {
            "city": {"type": "string", "description": "e.g. Zürich"}, "unit": {"type": "string", "enum": ["c", "f"]},
            "days": {"type": "integer", "minimum": 1}},
        "required": ["city"]}, "return": {"type": "number", "description": "degrees"}}}
SEARCH = {"type": "function", "function": {"name": "search", "description": "Finds things", "parameters": {
    "type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}}}
u = lambda c, **k: {"role": "user", "content": c, **k}
a = lambda c, **k: {"role": "assistant", "content": c, **k}
s = lambda c, **k: {"role": "system", "content": c, **k}
call = lambda name, arguments, id="abcdef123": {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
CONVERSATIONS = {
    "one": [u("Hello")],
    "pair": [u("What is 2+2?"), a("4")],
    "system": [s("Be brief."), u("Who wrote \"Faust\"?"), a("Goethe.")],
    "turns": [s("You're a <b>pirate</b> & friend."), u("Hi"), a("Arr!"), u("Where?\n\n"), a("  Ahead, {{ not jinja }} {% no %}\n"), u("ok")],
    "unicode": [u("Grüße 👩‍👩‍👧 日本語 e\u0301 \u00a0x\u2028y"), a("ÅÄÖ ß ﬁ '\\' \"q\" \t tab\r\nwin")],
    "spaces": [u("  \n lead and trail \n\n"), a("\n"), u(" "), a("x ")],
    "empty": [u(""), a("")],
    "think": [u("Why?"), a("<think>\nBecause\n</think>\n\nSo."), u("And?"), a("<think>hm</think>Yes", reasoning_content=None)],
    "reasoning": [u("Why?"), a("So.", reasoning_content="Let me\nthink"), u("And?"), a("Well.", reasoning_content="again ")],
    "tool": [s("Use tools."), u("Weather in Zürich?"), a("", tool_calls=[call("get_weather", {"city": "Zürich", "days": 2, "deep": {"a": [1, 2.5, None, True]}})]),
             {"role": "tool", "name": "get_weather", "tool_call_id": "abcdef123", "content": "21.5"}, a("It is 21.5 °C.")],
    "tools": [u("Both?"), a(None, tool_calls=[call("get_weather", {"city": "Rome", "unit": "c"}), call("search", {"q": "it's \"Rome\""}, "zyxwvu987")]),
              {"role": "tool", "name": "get_weather", "tool_call_id": "abcdef123", "content": "{\"t\": 30}"},
              {"role": "tool", "name": "search", "tool_call_id": "zyxwvu987", "content": "found"}, a("Hot."), u("Thanks")],
    "bad_order": [a("I begin"), a("and go on")],
    "unknown_role": [{"role": "critic", "content": "hm"}],
    "no_content": [{"role": "user"}],
    "none": [],
    "parts": [u([{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]), a("c")],
}
TOOLS = {"tool": [WEATHER], "tools": [WEATHER, SEARCH], "system": [SEARCH]}


def cases(paths):
    for path in paths:
        source = path.read_text(encoding="utf-8")
        for name, messages in CONVERSATIONS.items():
            for tools in ([None, TOOLS[name]] if name in TOOLS else [None]):
                for prompt in (False, True):
                    case = {"template": path.stem, "conversation": name, "prompt": prompt, "tools": tools is not None}
                    try:
                        texts, spans = render_jinja_template(
                            [messages], tools=tools, chat_template=source, add_generation_prompt=prompt,
                            return_assistant_tokens_mask="generation" in source, **VARIABLES)
                        case |= {"text": texts[0], "spans": [list(x) for x in spans[0]] if spans else []}
                    except Exception as error:
                        case["error"] = f"{type(error).__name__}: {error}"
                    yield case


def expressions():
    context = {"messages": CONVERSATIONS["turns"], "tools": None, "add_generation_prompt": True, "bos_token": "<s>", "d": {"b": 1, "a": [1, 2.5, None, True, "x'y"], "C": {}},
               "n": [3, 1, 2], "words": ["b", "A", "c", "a"], "text": "Grüße, Welt!", "rows": [{"k": "x", "v": 1}, {"k": "y", "v": 2}, {"k": "x", "v": 3}, {"v": 4}]}
    for source in (HERE / "expressions.txt").read_text(encoding="utf-8").split("\n%%\n"):
        case = {"source": source}
        try:
            case["text"] = _compile_jinja_template(source).render(**context)
        except Exception as error:
            case["error"] = f"{type(error).__name__}: {error}"
        yield case
    yield {"context": context}


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    out = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else HERE
    golden = {"time": int(time.time()), "conversations": CONVERSATIONS, "tools": TOOLS, "variables": VARIABLES, "cases": list(cases(sorted(folder.glob("*.jinja"))))}
    (out / "golden.json").write_text(json.dumps(golden, ensure_ascii=False, indent=0), encoding="utf-8")
    if folder == HERE:
        (out / "expressions.json").write_text(json.dumps(list(expressions()), ensure_ascii=False, indent=0), encoding="utf-8")
