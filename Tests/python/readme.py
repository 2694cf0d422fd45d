"""The README's quick starts as whole programs, which read model.gguf and pairs.jsonl where they run."""

import pathlib
import re

README = (pathlib.Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def block(kind: str) -> str:
    return re.search(rf"```{kind}\n(.*?)```", README, re.DOTALL).group(1)


def c_program() -> str:
    return (
        "#include <dpo.h>\n#include <stdio.h>\n"
        "static int32_t on_event(const dpo_event *event, void *data) { (void)data; return event->done > 1000; }\n"
        "int main(void) {\n"
        "  dpo_model *model = NULL; dpo_dataset *pairs = NULL; dpo_trainer *trainer = NULL;\n"
        "  dpo_train_options options; dpo_train_options_init(&options, sizeof options);\n"
        f"{block('c')}  return dpo_last_error()[0] != 0;\n}}\n"
    )
