/* Lets a text classifier judge a model's own answers: the best and the worst of four make a preference pair.
 *
 *     cc -std=c99 label.c $(pkg-config --cflags --libs dpo) -o label
 *     ./label model.gguf "The film was"
 */
#include <dpo.h>
#include <stdio.h>
#include <stdlib.h>

enum { ANSWERS = 4, TEXTS = 8 };

/* In a real program these are thousands. */
static const char *const texts[TEXTS] = {
    "a warm and moving film", "splendid from start to end", "I loved every minute", "a clever, joyful story",
    "a dull and loud film",   "dreadful from start to end", "I hated every minute", "a false, tired story",
};
static const int32_t labels[TEXTS] = {1, 1, 1, 1, 0, 0, 0, 0};

static void check(int32_t status) {
    if (status == DPO_OK) return;
    fprintf(stderr, "%s\n", dpo_last_error());
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: label MODEL PROMPT\n");
        return 2;
    }
    dpo_classifier *judge = NULL;
    check(dpo_classifier_train(texts, labels, TEXTS, 3, 2, &judge));

    dpo_model *model = NULL;
    dpo_completions *completions = NULL;
    dpo_generation_options options;
    check(dpo_model_open(argv[1], NULL, 0, &model));
    check(dpo_generation_options_init(&options, sizeof options));
    options.num_return_sequences = ANSWERS;
    options.max_new_tokens = 24;
    const char *const prompts[] = {argv[2]};
    check(dpo_model_generate(model, prompts, 1, &options, NULL, NULL, &completions));

    const char *answers[ANSWERS];
    double log_odds[ANSWERS];
    int best = 0, worst = 0;
    for (int i = 0; i < ANSWERS; i++)
        check(dpo_completions_get(completions, 0, (size_t)i, &answers[i], NULL, NULL, NULL));
    check(dpo_classifier_score(judge, answers, ANSWERS, log_odds));
    for (int i = 1; i < ANSWERS; i++) {
        if (log_odds[i] > log_odds[best]) best = i;
        if (log_odds[i] < log_odds[worst]) worst = i;
    }
    printf("chosen (%.2f):%s\nrejected (%.2f):%s\n", log_odds[best], answers[best], log_odds[worst], answers[worst]);

    dpo_completions_release(completions);
    dpo_model_release(model);
    dpo_classifier_release(judge);
    return 0;
}
