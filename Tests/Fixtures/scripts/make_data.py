"""Makes Tests/Fixtures/data/{pairs,margins,shared,implicit,chat,chat_implicit,unpaired,text,messages,completions,ranked,tools,
tool_messages,documents}.jsonl: small rows in every form that trainers accept, with unicode, long rows, shared prompts and merges across the boundary.

    python3 Tests/Fixtures/scripts/make_data.py           standard library
"""
import json
import random

from common import DATA

NOUNS = "film story harbour teacher captain letter island winter machine garden".split()
GOOD = ["a joy to watch", "warm, clever and true", "quite wonderful", "worth seeing twice", "the best thing here"]
BAD = ["a waste of time", "dull, loud and false", "quite hopeless", "not worth a look", "the worst thing here"]
STARTS = ["The {} was", "I thought the {} was", "We've never seen a {} that was", "In 1999 the {} was", "She said: the {} is"]


def pair(source, long=False):
    prompt = source.choice(STARTS).format(source.choice(NOUNS))
    more = lambda: " and it stayed so" * source.randint(4, 9) if long else source.choice(["", " indeed", ", people said"])
    return {"prompt": prompt, "chosen": f" {source.choice(GOOD)}{more()}.", "rejected": f" {source.choice(BAD)}{more()}."}


def write(name, rows):
    DATA.mkdir(exist_ok=True)
    (DATA / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def main():
    source = random.Random(7)
    pairs = [pair(source) for _ in range(9)]
    pairs.insert(2, pair(source, long=True))
    pairs.insert(5, {"prompt": "Straße, naïve café: ", "chosen": "très bien! 👍🏽 今天天气很好。", "rejected": "non… 👎 Привет, мир"})
    pairs.insert(7, {"prompt": "Count: 1 2 3", "chosen": "4 5 6 7 8", "rejected": "45, 678"})     # merges across the boundary
    write("pairs", pairs)

    write("margins", [{**row, "margin": [0, 0.5, 1.25][index % 3]} for index, row in enumerate(pairs)])

    shared = []
    for _ in range(3):
        prompt = pair(source)["prompt"]
        for _ in range(3):
            shared.append({**pair(source), "prompt": prompt})
    write("shared", shared)

    write("implicit", [{"chosen": row["prompt"] + row["chosen"], "rejected": row["prompt"] + row["rejected"]} for row in shared[:4]])

    user = lambda text: {"role": "user", "content": text}
    assistant = lambda text: {"role": "assistant", "content": text}
    chat = []
    for index in range(5):
        row = pair(source)
        prompt = [user(f"Tell me about the {NOUNS[index]}. ✍️")]
        if index % 2:
            prompt += [assistant("Gladly."), user("In one line, please.")]
        chat.append({"prompt": prompt, "chosen": [assistant(row["prompt"] + row["chosen"])],
                     "rejected": [assistant(row["prompt"] + row["rejected"])]})
    write("chat", chat)
    write("chat_implicit", [{"chosen": row["prompt"] + row["chosen"], "rejected": row["prompt"] + row["rejected"]} for row in chat])
    write("messages", [{"messages": row["prompt"] + row["chosen"]} for row in chat])
    tools = [{"type": "function", "function": {"name": "weather", "description": "The weather of a place", "parameters": {
        "type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}}}]
    called = []
    for index, place in enumerate(["Zürich", "the island", "Rome"]):
        call = lambda name: {"role": "assistant", "content": "", "tool_calls": [
            {"type": "function", "function": {"name": "weather", "arguments": {"place": name}}}]}
        answer = {"role": "tool", "name": "weather", "content": f"{20 + index} °C"}
        prompt = [{"role": "system", "content": "Be brief."}, user(f"How warm is it in {place}?")]
        if index == 1:
            prompt = prompt[1:] + [call("here"), {**answer, "content": "storm"}, assistant("A storm."), user("And tomorrow?")]
        called.append({"prompt": prompt, "chosen": [call(place), answer, assistant(f"It is {20 + index} °C.")],
                       "rejected": [assistant("I cannot know.")], "tools": tools})
    write("tools", called)
    write("tool_messages", [{"messages": row["prompt"] + row["chosen"], "tools": tools} for row in called])
    write("unpaired", [{"prompt": row["prompt"], "completion": row[key], "label": key == "chosen"}
                       for row in shared[:6] for key in ("chosen", "rejected")])
    write("completions", [{"prompt": row["prompt"], "completion": row["chosen"]} for row in shared])
    documents = random.Random(8)
    write("documents", [{"text": "".join(row["prompt"] + row["chosen"] + " " for row in (pair(documents) for _ in range(documents.randint(1, 5))))}
                        for _ in range(40)])
    write("text", [{"text": row["prompt"] + row["chosen" if index % 2 else "rejected"]} for index, row in enumerate(pairs)])

    ranked = []
    for index, answers in enumerate((3, 4, 2, 5, 3, 3, 4)):
        completions = [f" {source.choice(GOOD + BAD)}{source.choice(['', ' indeed', ', people said'])}." for _ in range(answers)]
        order = source.sample(range(answers), answers)
        row = {"prompt": pair(source)["prompt"], "completions": completions}
        if index == 1:
            row["ranks"] = [2, 1, 2, 3]                                    # a tie
        elif index % 2:
            row["scores"] = [place - 1.25 for place in order]
        else:
            row["ranks"] = [place + 1 for place in order]
        ranked.append({**row, "weight": 0.5} if index == 5 else row)
    write("ranked", ranked)


if __name__ == "__main__":
    main()
