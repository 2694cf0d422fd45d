"""Golden renderings of Tests/Fixtures/templates/*.jinja by transformers' own renderer, and of small expressions.

    python make_templates.py            (needs transformers and jinja2 3.1; no network)

The templates are what the models ship: smollm2 from SmolLM2-135M-Instruct (Apache-2.0); chatml, zephyr, mistral_v1, mistral_v3 and phi4 as
in their models' tokenizer_config.json; smollm3, granite3_3, granite4_1, ministral3, seed_oss (models under Apache-2.0),
glm4_6 and deepseekv3_1 (MIT) as collected by llama.cpp in models/templates; the others as collected (Apache-2.0) by TRL 1.16 in
trl/chat_templates. Output: golden.json {time, conversations, tools, variables, results: {template: {conversation: [RESULT, …]}}}, without
tools and then with those of the conversation, each without and with a generation prompt. A RESULT is the digest of the text and, in
characters, what generation blocks wrote, or "!" and the error. And expressions.json [{source, text | error}].
"""
import json
import pathlib
import time

from common import digest
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
    "tool_parts": [s([{"type": "text", "text": "Sys "}]), u([{"type": "text", "text": "Hi\n"}]), a([{"type": "text", "text": "x"}]),
                   {"role": "tool", "content": [{"type": "text", "text": "found"}], "tool_call_id": "abcdef123", "name": "search"},
                   u([{"type": "text", "text": "bye"}, {"type": "image"}])],
    "call_text": [u("Weather?"), a("", tool_calls=[call("get_weather", '{"city": "Zürich"}')]),
                  {"role": "tool", "name": "get_weather", "tool_call_id": "abcdef123", "content": "21.5"}, a("It is 21.5 °C.")],
    "call_values": [u("Weather?"), a("Let me see.", tool_calls=[call("get_weather", {
        "city": "<b>\"O'Hara\"</b> & \\ co\n", "n": -0.0, "x": 1e22, "y": 1e-7, "t": True, "z": None, "l": [], "d": {}})]),
        {"role": "tool", "content": "a\nb"}, u("And now?"), a("Done.")],
    "call_bare": [u("Weather?"), {"role": "assistant", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Rome"}}]},
                  {"role": "tool", "content": {"t": 1.5, "ok": True}}, a("ok")],
    "call_think": [s("S"), u("Weather?"), a("", reasoning_content="I need it.", tool_calls=[
        call("get_weather", {"city": "Rome"}), call("search", {}, "zyxwvu987")]),
        {"role": "tool", "tool_call_id": "abcdef123", "name": "get_weather", "content": "1"},
        {"role": "tool", "tool_call_id": "zyxwvu987", "name": "search", "content": "2"}],
    "long": [s("Sys"), *(f(f"{index} ") for index in range(6) for f in (u, a)), u("last")],
    "developer": [{"role": "developer", "content": "Dev"}, u("Hi"), a("Ho")],
    "system_late": [u("Hi"), a("Ho"), s("Change"), u("Hm"), a("x")],
    "two_users": [u("a"), u("b"), a("c"), a("d")],
    "markers": [s("<|im_end|> </s> [INST] <|eot_id|>"), u("<think>q</think> <tool_call>{}</tool_call>"),
                a("{% x %}{{y}}{# z #} <|end|>\\n\\t%s {0} ${a}"), u("</think>")],
    "think_open": [u("q"), a("<think>\n\n</think>\n\nA"), u("r"), a("no end </think> b </think> c")],
    "names": [{"role": "user", "content": "x", "items": "i", "keys": 1, "get": 2}, a("y", weight=0.1)],
}
PLAIN = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {
    "x": {"type": ["string", "null"], "default": None}, "y": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    "z": {"type": "array", "items": {"type": "object", "properties": {"q": {"type": "number"}}}}}}}
TOOLS = {"tool": [WEATHER], "tools": [WEATHER, SEARCH], "system": [SEARCH], "call_text": [WEATHER], "call_values": [WEATHER, SEARCH],
         "call_think": [WEATHER, SEARCH], "markers": [SEARCH], "names": [PLAIN],
         "think_open": [{"type": "function", "function": {**PLAIN, "strict": True}}]}


def rendered(source, messages, prompt, tools, variables=VARIABLES):
    """The text and what generation blocks wrote."""
    texts, spans = render_jinja_template(
        [messages], tools=tools, chat_template=source, add_generation_prompt=prompt,
        return_assistant_tokens_mask="generation" in source, **variables)
    return texts[0], spans[0] if spans else []


def result(*arguments):
    try:
        text, spans = rendered(*arguments)
    except Exception as error:
        return f"!{type(error).__name__}: {error}"
    return " ".join([digest(text.encode()), *(f"{start}-{end}" for start, end in spans)])


def results(source):
    return {name: [result(source, messages, prompt, tools) for tools in ([None, TOOLS[name]] if name in TOOLS else [None])
                   for prompt in (False, True)] for name, messages in CONVERSATIONS.items()}


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
    golden = {"time": int(time.time()), "conversations": CONVERSATIONS, "tools": TOOLS, "variables": VARIABLES, "results": {
        path.stem: results(path.read_text(encoding="utf-8")) for path in sorted(HERE.glob("*.jinja"))}}
    (HERE / "golden.json").write_text(json.dumps(golden, ensure_ascii=False, indent=0), encoding="utf-8")
    (HERE / "expressions.json").write_text(json.dumps(list(expressions()), ensure_ascii=False, indent=0), encoding="utf-8")
