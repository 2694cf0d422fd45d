"""Makes golden/chat_rows.json: the token ids that TRL makes of rows with tools and several turns under the chat templates that
models ship (templates/*.jinja), with the tokenizer of the tiny llama-tied, whose bytes can spell all of them.

pairs        DPOTrainer's prompt_ids, chosen_ids, rejected_ids of data/tools.jsonl and data/chat.jsonl
supervised   SFTTrainer's input_ids and assistant_masks of data/tool_messages.jsonl and data/messages.jsonl

    python Tests/Fixtures/scripts/make_chat_rows.py          torch, transformers, trl, datasets
"""
import tempfile
import warnings

from common import DATA, FIXTURES, GOLDEN, MODELS, rows, write_json

warnings.filterwarnings("ignore")
from datasets import Dataset
from make_trl import COMMON
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

CHAT = ["smollm2", "zephyr", "llama3", "llama3_1", "llama3_2", "qwen2_5", "qwen3", "mistral_v1", "mistral_v3", "gemma", "gemma3", "phi3",
        "phi4", "deepseekv3", "deepseek_r1_distill"]
TOOLS = ["llama3_1", "qwen2_5", "qwen3"]    # DeepSeek takes arguments as text, which this data has as objects
TRAINING = {"messages": ["qwen2_5_training", "qwen3_training", "llama3_training", "gemma_training", "deepseekv3_training"],
            "tool_messages": ["qwen2_5_training", "qwen3_training"]}


def tokenised(trainer_type, config_type, template, data, **options):
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "llama-tied")
    tokenizer.chat_template = (FIXTURES / "templates" / f"{template}.jinja").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        trainer = trainer_type(model=str(MODELS / "llama-tied"), args=config_type(output_dir=scratch, max_length=4096, **COMMON, **options),
                               processing_class=tokenizer, train_dataset=Dataset.from_list(rows(DATA / f"{data}.jsonl")))
    keys = ("prompt_ids", "chosen_ids", "rejected_ids", "input_ids", "assistant_masks", "labels")
    return [{key: row[key] for key in keys if key in row} for row in trainer.train_dataset]


def main():
    pairs = {f"{template} {data}": tokenised(DPOTrainer, DPOConfig, template, data)
             for data, templates in (("chat", CHAT), ("tools", TOOLS)) for template in templates}
    supervised = {f"{template} {data}": tokenised(SFTTrainer, SFTConfig, template, data, assistant_only_loss=True)
                  for data, templates in TRAINING.items() for template in templates}
    write_json(GOLDEN / "chat_rows.json", {"pairs": pairs, "supervised": supervised})


if __name__ == "__main__":
    main()
