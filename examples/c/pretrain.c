/* A small language model from nothing but text: tokenizer, fresh weights, pretraining, and a sample of what it learned.
 *
 *   cc -std=c99 pretrain.c $(pkg-config --cflags --libs dpo) -o pretrain && ./pretrain texts 100 model
 *
 * texts is a directory of .txt or .jsonl files, 100 the number of steps; model/ gets everything that is made.
 */
#include <dpo.h>
#include <stdio.h>
#include <stdlib.h>

static int failed(const char *what) {
    fprintf(stderr, "%s: %s\n", what, dpo_last_error());
    return 1;
}

static int32_t on_event(const dpo_event *event, void *user_data) {
    (void)user_data;
    if (event->kind == DPO_EVENT_STEP && event->metrics->step % 10 == 0)
        printf("step %d: loss %.3f\n", (int)event->metrics->step, event->metrics->loss);
    if (event->kind == DPO_EVENT_EVALUATION) printf("evaluation: %s\n", event->metrics_json);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: %s TEXTS STEPS OUTPUT\n", argv[0]);
        return 2;
    }
    const char *texts = argv[1];
    char tokenizer[512], fresh[512], run[512], trained[512];
    snprintf(tokenizer, sizeof tokenizer, "%s/tokenizer", argv[3]);
    snprintf(fresh, sizeof fresh, "%s/fresh.h5", argv[3]);
    snprintf(run, sizeof run, "%s/run", argv[3]);
    snprintf(trained, sizeof trained, "%s/run/final.h5", argv[3]);

    dpo_tokenizer_options words;
    dpo_tokenizer_options_init(&words, sizeof words);
    words.vocabulary_size = 2048;
    if (dpo_tokenizer_train(&texts, 1, &words, tokenizer)) return failed("tokenizer");

    dpo_model_shape shape;
    dpo_model_shape_init(&shape, sizeof shape);
    shape.tokenizer = tokenizer;
    shape.hidden_size = 128;
    shape.context_length = 256;
    if (dpo_model_create(&shape, fresh)) return failed("model");

    dpo_train_options options;
    dpo_train_options_init(&options, sizeof options);
    options.method = "pretrain";
    options.max_length = 128;
    options.max_steps = atoi(argv[2]);
    options.learning_rate = 3e-3;
    dpo_model *model = NULL;
    dpo_dataset *corpus = NULL;
    dpo_trainer *trainer = NULL;
    if (dpo_model_open(fresh, NULL, 0, &model)) return failed("open");
    if (dpo_dataset_open_jsonl(model, texts, &options, &corpus)) return failed("corpus");
    if (dpo_trainer_create(model, NULL, corpus, corpus, &options, &trainer)) return failed("trainer");
    if (dpo_trainer_run(trainer, run, NULL, on_event, NULL)) return failed("training");
    dpo_trainer_release(trainer);
    dpo_dataset_release(corpus);
    dpo_model_release(model);

    const char *prompt = "The", *text = NULL;
    dpo_completions *completions = NULL;
    if (dpo_model_open(trained, NULL, 0, &model)) return failed("open");
    if (dpo_model_generate(model, &prompt, 1, NULL, NULL, NULL, &completions)) return failed("generate");
    if (dpo_completions_get(completions, 0, 0, &text, NULL, NULL, NULL)) return failed("completion");
    printf("%s%s\n", prompt, text);
    dpo_completions_release(completions);
    dpo_model_release(model);
    return 0;
}
