/* Every section of dpo.h from threads with the smallest stack that the header names. Each part runs in a process of its
 * own, so that one whose stack overflows is told apart. Run from the repository root. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODEL "Tests/Fixtures/models/llama-tied"
#define CHAT_MODEL "Tests/Fixtures/models/mistral"
#define PAIRS "Tests/Fixtures/data/pairs.jsonl"
#define ADAPTER "Tests/Fixtures/adapters/llama-tied-random"

enum { STACK = 128 << 10 };

static char directory[] = "/tmp/dpo-stack-XXXXXX";

/* A path in the directory of this run. */
static const char *place(const char *name) {
    static char paths[8][96];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static dpo_train_options small_run(void) {
    dpo_train_options options;
    CHECK_STATUS(DPO_OK, dpo_train_options_init(&options, sizeof options));
    options.lora_r = 2;
    options.per_device_train_batch_size = 2;
    options.max_length = 256;
    options.max_steps = 2;
    options.overwrite_output_dir = 1;
    return options;
}

static void versions_and_errors(void) {
    CHECK(dpo_version() && dpo_abi_version() == DPO_ABI_VERSION && dpo_status_name(DPO_ERROR_IO));
    CHECK(strstr(dpo_train_options_describe(), "learning_rate") != NULL);
    CHECK_REFUSED(DPO_ERROR_INVALID_ARGUMENT, "model is NULL", dpo_model_get_info(NULL, NULL));
}

static void losses(void) {
    const double chosen[] = {-1, -2}, rejected[] = {-2, -3}, reference[] = {-0.7, -0.7}, rewards[] = {1, 2};
    const double ranks[] = {1, 2};
    const size_t counts[] = {2};
    const float logps[] = {-1, -2}, advantages[] = {1, -1};
    double loss = 0, values[2], returns[2], more[2];
    const double half[] = {-0.69314718055994531, -0.69314718055994531};
    (void)reference;
    CHECK_STATUS(DPO_OK, dpo_loss_compute(NULL, 2, chosen, rejected, chosen, rejected, NULL, NULL, NULL, &loss, values,
                                          returns, more, NULL, NULL));
    CHECK(near_to(loss, log(2), 1e-12));
    CHECK_STATUS(DPO_OK,
                 dpo_loss_compute_ranked(0.1, 1, counts, ranks, chosen, rejected, NULL, &loss, NULL, values, NULL));
    CHECK_STATUS(DPO_OK, dpo_policy_optimum(NULL, 2, half, rewards, values, &loss));
    CHECK_STATUS(DPO_OK, dpo_policy_rewards(NULL, 2, half, half, values));
    CHECK_STATUS(DPO_OK, dpo_policy_divergence(NULL, 2, half, half, &loss));
    CHECK_STATUS(DPO_OK, dpo_bradley_terry(2, chosen, rejected, values));
    CHECK_STATUS(DPO_OK, dpo_gae(rewards, chosen, counts, 1, 1, 0.95, values, returns));
    CHECK_STATUS(DPO_OK, dpo_ppo_loss(NULL, 2, logps, logps, advantages, NULL, NULL, NULL, &loss, values, NULL));
}

static void models_text_and_scores(void) {
    const char *files[] = {MODEL, "Tests/Fixtures/gguf/llama-tied-mixed.gguf", "Tests/Fixtures/gguf/qwen2-bf16.gguf"};
    const char *prompts[] = {"The film was"}, *completions[] = {" good."};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        dpo_model *model = NULL;
        dpo_model_info info = {.struct_size = sizeof info};
        int32_t ids[64], tokens = 0;
        size_t count = 0, zero = 0;
        char *text = NULL;
        double sum = 0;
        CHECK_STATUS(DPO_OK,
                     i ? dpo_model_load(files[i], NULL, 2, &model) : dpo_model_open(files[i], ADAPTER, 2, &model));
        CHECK_STATUS(DPO_OK, dpo_model_get_info(model, &info));
        CHECK_STATUS(DPO_OK, dpo_model_encode(model, "The film was good.", 18, 1, ids, 64, &count));
        CHECK_STATUS(DPO_OK, dpo_model_decode(model, ids, count, &text, NULL));
        dpo_string_free(text);
        CHECK_STATUS(DPO_OK, dpo_model_score_tokens(model, ids, &count, 1, ids, &count, &zero, 1, NULL, &sum));
        CHECK_STATUS(DPO_OK, dpo_model_score_texts(model, prompts, completions, 1, &sum, &tokens));
        CHECK(sum < 0 && tokens > 0);
        CHECK_STATUS(DPO_OK, dpo_inspect(files[i], &text));
        dpo_string_free(text);
        dpo_model_release(model);
    }
    dpo_model *reward = NULL;
    double number = NAN;
    CHECK_STATUS(DPO_OK,
                 dpo_model_open(MODEL, "Tests/Fixtures/adapters/llama-tied-lora-reward-chat-final", 1, &reward));
    CHECK_STATUS(DPO_OK, dpo_model_reward_texts(reward, prompts, completions, 1, &number));
    CHECK(isfinite(number));
    dpo_model_release(reward);
}

/* A message whose content is `depth` brackets around nothing. */
static char *nested_messages(int depth) {
    static char text[80000];
    int size = sprintf(text, "[{\"role\": \"user\", \"content\": ");
    for (int i = 0; i < depth; i++) text[size++] = '[';
    for (int i = 0; i < depth; i++) text[size++] = ']';
    strcpy(text + size, "}]");
    return text;
}

/* A model with this chat template, in the directory `name`. */
static dpo_model *model_with_template(const char *name, const char *chat_template) {
    const char *paths[] = {"Tests/Fixtures/data/documents.jsonl"};
    dpo_tokenizer_options options;
    dpo_model_shape shape;
    dpo_model *model = NULL;
    char tokenizer[96];
    snprintf(tokenizer, sizeof tokenizer, "%s-tokenizer", place(name));
    CHECK_STATUS(DPO_OK, dpo_tokenizer_options_init(&options, sizeof options));
    options.vocabulary_size = 300;
    options.chat_template = chat_template;
    CHECK_STATUS(DPO_OK, dpo_tokenizer_train(paths, 1, &options, tokenizer));
    CHECK_STATUS(DPO_OK, dpo_model_shape_init(&shape, sizeof shape));
    shape.tokenizer = tokenizer;
    shape.hidden_size = 32;
    shape.heads = 2;
    CHECK_STATUS(DPO_OK, dpo_model_create(&shape, place(name)));
    CHECK_STATUS(DPO_OK, dpo_model_open(place(name), NULL, 1, &model));
    return model;
}

static void deep_messages(void) {
    dpo_model *model = model_with_template("echo", "{{ messages | tojson }}");
    char *text = NULL;
    CHECK_STATUS(DPO_OK, dpo_model_apply_chat_template(model, nested_messages(190), 0, &text, NULL));
    CHECK(text && strstr(text, "[[[[[[[["));
    dpo_string_free(text);
    text = NULL;
    const int depths[] = {1000, 2000, 30000};
    for (int i = 0; i < 3; i++)
        CHECK_REFUSED(DPO_ERROR_FORMAT, "200 levels",
                      dpo_model_apply_chat_template(model, nested_messages(depths[i]), 0, &text, NULL));
    CHECK(text == NULL);
    dpo_model_release(model);
}

static void deep_templates(void) {
    char nested[2000] =
        "{% macro f(n) %}{% if n > 0 %}[{{ f(n - 1) }}]{% endif %}{% endmacro %}{{ f(35) }}{{ f(36 * 1) }}",
         *text = NULL;
    size_t size = strlen(nested);
    size += (size_t)sprintf(nested + size, "{{ ");
    for (int i = 0; i < 27; i++) nested[size++] = '(';
    nested[size++] = '1';
    for (int i = 0; i < 27; i++) nested[size++] = ')';
    for (int i = 0; i < 100; i++) size += (size_t)sprintf(nested + size, " + 1");
    strcpy(nested + size, " }}");
    dpo_model *model = model_with_template("nested", nested);
    CHECK_STATUS(DPO_OK, dpo_model_apply_chat_template(model, "[]", 0, &text, NULL));
    CHECK(text && strstr(text, "]101"));
    dpo_string_free(text);
    text = NULL;
    dpo_model_release(model);

    model = model_with_template(
        "endless", "{% macro f(n) %}{{ [[[[n]]]] | map('upper') | list }}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}");
    CHECK_REFUSED(DPO_ERROR_FORMAT, "recurses deeper", dpo_model_apply_chat_template(model, "[]", 0, &text, NULL));
    CHECK(text == NULL);
    dpo_model_release(model);
}

/* Callbacks come on the thread that made the call, whichever does the work. */
static pthread_t caller;
static int calls;

static int32_t on_token(size_t prompt, size_t completion, int32_t token, const char *text, void *user_data) {
    (void)prompt, (void)completion, (void)token;
    CHECK(pthread_equal(caller, pthread_self()) && text && user_data == &calls);
    calls++;
    return 0;
}

static int32_t on_event(const dpo_event *event, void *user_data) {
    CHECK(pthread_equal(caller, pthread_self()) && event->text);
    /* Other handles may be used from here, and this one is refused. */
    if (event->kind == DPO_EVENT_STEP) CHECK_STATUS(DPO_ERROR_STATE, dpo_trainer_step(user_data, NULL));
    calls++;
    return 0;
}

static int32_t on_answers(const dpo_answers *answers, double *rewards, void *user_data) {
    (void)user_data;
    CHECK(pthread_equal(caller, pthread_self()));
    for (size_t i = 0; i < answers->count; i++) rewards[i] = (double)answers->completion_lengths[i];
    calls++;
    return 0;
}

static int32_t on_gradients(float *gradients, size_t count, void *user_data) {
    (void)user_data;
    CHECK(pthread_equal(caller, pthread_self()) && gradients && count > 0);
    calls++;
    return 0;
}

static void generation(void) {
    dpo_model *model = NULL;
    dpo_completions *completions = NULL;
    dpo_generation_options options;
    const char *prompts[] = {"The film was", "The"}, *text = NULL;
    caller = pthread_self();
    calls = 0;
    CHECK_STATUS(DPO_OK, dpo_generation_options_init(&options, sizeof options));
    options.max_new_tokens = 8;
    options.num_return_sequences = 2;
    CHECK_STATUS(DPO_OK, dpo_model_open(MODEL, NULL, 2, &model));
    CHECK_STATUS(DPO_OK, dpo_model_generate(model, prompts, 2, &options, on_token, &calls, &completions));
    CHECK_STATUS(DPO_OK, dpo_completions_get(completions, 1, 1, &text, NULL, NULL, NULL));
    CHECK(text && calls >= 4);
    dpo_completions_release(completions);
    dpo_model_release(model);
}

static void steps_and_a_run(void) {
    dpo_train_options options = small_run();
    dpo_model *model = NULL;
    dpo_dataset *dataset = NULL;
    dpo_trainer *trainer = NULL;
    dpo_metrics metrics = {.struct_size = sizeof metrics};
    dpo_dataset_info info = {.struct_size = sizeof info};
    const size_t rows[] = {0, 1};
    const double gradient[] = {-0.1, 0.1};
    double chosen[2], rejected[2];
    char *json = NULL;
    caller = pthread_self();
    CHECK_STATUS(DPO_OK, dpo_model_open(MODEL, NULL, 2, &model));
    CHECK_STATUS(DPO_OK, dpo_dataset_open_jsonl(model, PAIRS, &options, &dataset));
    CHECK_STATUS(DPO_OK, dpo_dataset_get_info(dataset, &info));
    for (int method = 0; method < 2; method++) { /* an adapter, then every weight */
        options.lora_r = method ? 0 : 2;
        CHECK_STATUS(DPO_OK, dpo_trainer_create(model, NULL, dataset, dataset, &options, &trainer));
        CHECK_STATUS(DPO_OK, dpo_trainer_plan(trainer, &json));
        dpo_string_free(json);
        calls = 0;
        CHECK_STATUS(DPO_OK, dpo_trainer_set_reduce(trainer, on_gradients, NULL));
        CHECK_STATUS(DPO_OK, dpo_trainer_step(trainer, &metrics));
        CHECK(metrics.step == 1 && isfinite(metrics.loss) && calls == 1);
        CHECK_STATUS(DPO_OK, dpo_trainer_forward(trainer, rows, 2, chosen, rejected, NULL, NULL));
        CHECK_STATUS(DPO_OK, dpo_trainer_backward(trainer, gradient, gradient, 2));
        CHECK_STATUS(DPO_OK, dpo_trainer_apply(trainer, &metrics));
        CHECK_STATUS(DPO_OK, dpo_trainer_evaluate(trainer, &metrics));
        CHECK_STATUS(DPO_OK, dpo_trainer_save(trainer, place("checkpoint.h5")));
        CHECK_STATUS(DPO_OK, dpo_trainer_load(trainer, place("checkpoint.h5")));
        CHECK_STATUS(DPO_OK, dpo_trainer_save_model(trainer, place("model.h5")));
        dpo_trainer_release(trainer);
        CHECK_STATUS(DPO_OK, dpo_trainer_create(model, NULL, dataset, dataset, &options, &trainer));
        calls = 0;
        CHECK_STATUS(DPO_OK, dpo_trainer_run(trainer, place("run"), NULL, on_event, trainer));
        CHECK(calls > 2);
        dpo_trainer_release(trainer);
    }
    dpo_dataset_release(dataset);
    options = small_run();
    options.method = "ppo";
    options.max_completion_length = 6;
    CHECK_STATUS(DPO_OK, dpo_dataset_open_jsonl(model, PAIRS, &options, &dataset));
    CHECK_STATUS(DPO_OK, dpo_trainer_create(model, NULL, dataset, NULL, &options, &trainer));
    CHECK_STATUS(DPO_OK, dpo_trainer_set_reward(trainer, on_answers, NULL));
    calls = 0;
    CHECK_STATUS(DPO_OK, dpo_trainer_step(trainer, &metrics));
    CHECK(calls == 1);
    CHECK_STATUS(DPO_OK, dpo_trainer_last_metrics(trainer, &json));
    dpo_string_free(json);
    dpo_trainer_release(trainer);
    dpo_dataset_release(dataset);
    dpo_model_release(model);
}

static void feedback(void) {
    dpo_model *model = NULL;
    dpo_feedback *feedback = NULL;
    dpo_feedback_options options;
    dpo_train_options training;
    dpo_feedback_result result = {.struct_size = sizeof result};
    static char row[80400]; /* not on this stack */
    char *json = NULL;
    CHECK_STATUS(DPO_OK, dpo_model_open(MODEL, NULL, 1, &model));
    CHECK_STATUS(DPO_OK, dpo_feedback_open(place("feedback.jsonl"), &feedback));
    for (int i = 0; i < 4; i++)
        CHECK_STATUS(DPO_OK,
                     dpo_feedback_record_thumb(feedback, "The film was", i % 2 ? " good." : " bad.", i % 2, 1, NULL));
    snprintf(row, sizeof row, "{\"prompt\": \"x\", \"completion\": \"y\", \"label\": true, \"more\": %s}",
             nested_messages(1000));
    CHECK_REFUSED(DPO_ERROR_FORMAT, "200 levels", dpo_feedback_record_json(feedback, row, NULL));
    CHECK_STATUS(DPO_OK, dpo_feedback_options_init(&options, sizeof options));
    CHECK_STATUS(DPO_OK, dpo_feedback_training_init(&training, sizeof training));
    training.lora_r = 2;
    options.training = &training;
    options.min_records = 1;
    CHECK_STATUS(DPO_OK, dpo_feedback_train(feedback, model, place("feedback"), &options, NULL, NULL, &result));
    CHECK(result.outcome == DPO_FEEDBACK_FINISHED);
    CHECK_STATUS(DPO_OK, dpo_feedback_status(feedback, place("feedback"), &json));
    dpo_string_free(json);
    dpo_feedback_release(feedback);
    dpo_model_release(model);
}

static void classifier_and_evaluation(void) {
    const char *texts[] = {"good and warm", "bad and dull", "good film", "dull film"};
    const int32_t labels[] = {1, 0, 1, 0};
    double log_odds[4] = {0};
    dpo_classifier *classifier = NULL;
    dpo_model *model = NULL;
    dpo_generation_options samples;
    char *json = NULL;
    CHECK_STATUS(DPO_OK, dpo_classifier_train(texts, labels, 4, 3, 2, &classifier));
    CHECK_STATUS(DPO_OK, dpo_classifier_score(classifier, texts, 4, log_odds));
    CHECK_STATUS(DPO_OK, dpo_classifier_save(classifier, place("classifier.h5")));
    dpo_classifier_release(classifier);
    CHECK_STATUS(DPO_OK, dpo_classifier_open(place("classifier.h5"), &classifier));
    CHECK_STATUS(DPO_OK, dpo_model_open(MODEL, ADAPTER, 2, &model));
    CHECK_STATUS(DPO_OK, dpo_generation_options_init(&samples, sizeof samples));
    samples.max_new_tokens = 2;
    CHECK_STATUS(DPO_OK, dpo_model_evaluate(model, NULL, PAIRS, NULL, &samples, classifier, NULL, &json));
    CHECK(json && strstr(json, "win_rate"));
    dpo_string_free(json);
    dpo_model_release(model);
    dpo_classifier_release(classifier);
}

static void exports(void) {
    const struct {
        int32_t format, merge;
        const char *output;
    } cases[] = {{DPO_EXPORT_HDF5, 1, "export.h5"},
                 {DPO_EXPORT_SAFETENSORS, 1, "export"},
                 {DPO_EXPORT_GGUF, 1, "export.gguf"},
                 {DPO_EXPORT_PEFT, 0, "export-adapter"},
                 {DPO_EXPORT_GGUF_LORA, 0, "export-adapter.gguf"}};
    dpo_export_options options;
    char *json = NULL;
    CHECK_STATUS(DPO_OK, dpo_export_options_init(&options, sizeof options));
    options.adapter = ADAPTER;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        options.merge = cases[i].merge;
        CHECK_STATUS(DPO_OK, dpo_export(MODEL, cases[i].format, place(cases[i].output), &options));
    }
    CHECK_STATUS(DPO_OK, dpo_export_check(MODEL, place("export-adapter.gguf"), PAIRS, NULL, &options, &json));
    dpo_string_free(json);
}

static void *in_thread(void *part) {
    (*(void (**)(void))part)();
    return NULL;
}

/* Runs a part on a thread with the small stack, in a child, and adds up what it counted. */
static void run_part(const char *name, void (*part)(void)) {
    int counts[2] = {0, 0}, ends[2], status = 0;
    fflush(stdout);
    if (pipe(ends) != 0) return;
    pid_t child = fork();
    if (child == 0) {
        pthread_attr_t attributes;
        pthread_t thread;
        checks_passed = checks_failed = 0;
        CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, STACK) == 0);
        CHECK(pthread_create(&thread, &attributes, in_thread, &part) == 0 && pthread_join(thread, NULL) == 0);
        counts[0] = checks_passed;
        counts[1] = checks_failed;
        fflush(stdout);
        _exit(write(ends[1], counts, sizeof counts) != (ssize_t)sizeof counts);
    }
    close(ends[1]);
    CHECK(child > 0 && read(ends[0], counts, sizeof counts) == (ssize_t)sizeof counts);
    close(ends[0]);
    CHECK(waitpid(child, &status, 0) == child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) printf("%s: ended with status %d\n", name, status);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    checks_passed += counts[0];
    checks_failed += counts[1];
}

#define RUN(part) run_part(#part, part)

int main(void) {
    char command[64];
    CHECK(mkdtemp(directory) != NULL);
    RUN(versions_and_errors);
    RUN(losses);
    RUN(models_text_and_scores);
    RUN(deep_messages);
    RUN(deep_templates);
    RUN(generation);
    RUN(steps_and_a_run);
    RUN(feedback);
    RUN(classifier_and_evaluation);
    RUN(exports);
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return check_summary() | (system(command) != 0);
}
