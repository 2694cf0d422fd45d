/* A policy that learns to be brief: PPO with a reward that this program computes.
 *
 *     cc -std=c99 ppo.c $(pkg-config --cflags --libs dpo) -o ppo
 *     ./ppo model.gguf prompts.jsonl       rows {"prompt": …}
 */
#include <dpo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 1 for an answer that ends by itself, less a hundredth for each of its bytes. */
static int32_t brief(const dpo_answers *answers, double *rewards, void *user_data) {
    (void)user_data;
    for (size_t i = 0; i < answers->count; i++)
        rewards[i] = (answers->stopped[i] ? 1.0 : 0.0) - 0.01 * (double)strlen(answers->completions[i]);
    return 0;
}

static void check(int32_t status) {
    if (status == DPO_OK) return;
    fprintf(stderr, "%s\n", dpo_last_error());
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: ppo MODEL PROMPTS\n");
        return 2;
    }
    dpo_train_options options;
    check(dpo_train_options_init(&options, sizeof options));
    options.method = "ppo";
    options.lora_r = 8;
    options.lora_target_modules = "all-linear";
    options.learning_rate = 3e-3;
    options.max_completion_length = 16;
    options.max_steps = 40;

    dpo_model *model = NULL;
    dpo_dataset *prompts = NULL;
    dpo_trainer *trainer = NULL;
    check(dpo_model_open(argv[1], NULL, 0, &model));
    check(dpo_dataset_open_jsonl(model, argv[2], &options, &prompts));
    check(dpo_trainer_create(model, NULL, prompts, NULL, &options, &trainer));
    check(dpo_trainer_set_reward(trainer, brief, NULL));

    dpo_metrics metrics;
    metrics.struct_size = sizeof metrics;
    do {
        check(dpo_trainer_step(trainer, &metrics));
        char *json = NULL;
        check(dpo_trainer_last_metrics(trainer, &json));
        const char *score = strstr(json, "\"objective/scores\":"), *kl = strstr(json, "\"objective/kl\":");
        printf("step %lld: score %.3f, KL %.3f\n", (long long)metrics.step, score ? atof(strchr(score, ':') + 1) : 0,
               kl ? atof(strchr(kl, ':') + 1) : 0);
        dpo_string_free(json);
    } while (metrics.step < metrics.total_steps);

    dpo_trainer_release(trainer);
    dpo_dataset_release(prompts);
    dpo_model_release(model);
    return 0;
}
