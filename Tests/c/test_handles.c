/* Handles: misuse of every function that takes one, threads, callbacks, cancelling, fork. Run from the repository root.
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MODEL "Tests/Fixtures/models/llama-tied"
#define PAIRS "Tests/Fixtures/data/pairs.jsonl"
#define ADAPTER "Tests/Fixtures/adapters/llama-tied-random"

enum { INVALID = DPO_ERROR_INVALID_ARGUMENT, STATE = DPO_ERROR_STATE };

static dpo_model *model;
static dpo_dataset *dataset;
static dpo_trainer *trainer;

static dpo_train_options small_run(void) {
    dpo_train_options options;
    CHECK_STATUS(DPO_OK, dpo_train_options_init(&options, sizeof options));
    options.lora_r = 2;
    options.per_device_train_batch_size = 2;
    options.max_length = 256;
    options.learning_rate = 1e-3;
    return options;
}

static void open_all(const dpo_train_options *options) {
    CHECK_STATUS(DPO_OK, dpo_model_open(MODEL, NULL, 2, &model));
    CHECK_STATUS(DPO_OK, dpo_dataset_open_jsonl(model, PAIRS, options, &dataset));
    CHECK_STATUS(DPO_OK, dpo_trainer_create(model, NULL, dataset, NULL, options, &trainer));
}

static void release_all(void) {
    dpo_model_release(model);
    dpo_dataset_release(dataset);
    dpo_trainer_release(trainer);
    model = NULL;
    dataset = NULL;
    trainer = NULL;
}

/* Every function that takes a handle, with one that is `status` of no use. */
static void refuse_everywhere(dpo_model *m, dpo_dataset *d, dpo_trainer *t, dpo_completions *c, int32_t status) {
    const dpo_train_options options = small_run();
    dpo_model_info model_info = {0};
    dpo_dataset_info dataset_info = {0};
    dpo_metrics metrics = {0};
    model_info.struct_size = sizeof model_info;
    dataset_info.struct_size = sizeof dataset_info;
    metrics.struct_size = sizeof metrics;
    int32_t id = 1;
    char *text = NULL;
    const char *texts[] = {"x"};
    size_t size = 1, zero = 0;
    float number = 0;
    float *numbers = NULL;
    double sum = 0;
    dpo_dataset *new_dataset = NULL;
    dpo_trainer *new_trainer = NULL;
    dpo_completions *new_completions = NULL;

    CHECK_STATUS(status, dpo_model_get_info(m, &model_info));
    CHECK_STATUS(status, dpo_model_encode(m, "x", 1, 1, &id, 1, &size));
    CHECK_STATUS(status, dpo_model_decode(m, &id, 1, &text, NULL));
    CHECK_STATUS(status, dpo_model_apply_chat_template(m, "[]", 1, &text, NULL));
    size = 1;
    CHECK_STATUS(status, dpo_model_score_tokens(m, &id, &size, 1, &id, &size, &zero, 1, &number, &sum));
    CHECK_STATUS(status, dpo_model_score_texts(m, texts, texts, 1, &sum, NULL));
    CHECK_STATUS(status, dpo_model_reward_tokens(m, &id, &size, 1, &id, &size, &zero, 1, &sum));
    CHECK_STATUS(status, dpo_model_reward_texts(m, texts, texts, 1, &sum));
    CHECK_STATUS(status, dpo_model_generate(m, texts, 1, NULL, NULL, NULL, &new_completions));
    CHECK_STATUS(status, dpo_model_evaluate(m, NULL, PAIRS, &options, NULL, NULL, NULL, &text));
    CHECK_STATUS(status, dpo_dataset_open_jsonl(m, PAIRS, &options, &new_dataset));
    CHECK_STATUS(status, dpo_dataset_from_jsonl(m, "{}", 2, &options, &new_dataset));
    CHECK_STATUS(status, dpo_dataset_from_pairs(m, texts, texts, texts, 1, &options, &new_dataset));
    CHECK_STATUS(status, dpo_dataset_get_info(d, &dataset_info));
    CHECK_STATUS(status, dpo_trainer_create(m, NULL, d, NULL, &options, &new_trainer));
    CHECK_STATUS(status, dpo_trainer_plan(t, &text));
    CHECK_STATUS(status, dpo_trainer_last_metrics(t, &text));
    CHECK_STATUS(status, dpo_trainer_step(t, &metrics));
    CHECK_STATUS(status, dpo_trainer_forward(t, &zero, 1, NULL, NULL, NULL, NULL));
    CHECK_STATUS(status, dpo_trainer_token_count(t, &size));
    CHECK_STATUS(status, dpo_trainer_token_logps(t, &number, 1));
    CHECK_STATUS(status, dpo_trainer_backward(t, &sum, &sum, 1));
    CHECK_STATUS(status, dpo_trainer_backward_tokens(t, &number, 1));
    CHECK_STATUS(status, dpo_trainer_apply(t, &metrics));
    CHECK_STATUS(status, dpo_trainer_parameters(t, &numbers, NULL, NULL));
    CHECK_STATUS(status, dpo_trainer_parameter_count(t, &size));
    CHECK_STATUS(status, dpo_trainer_parameter_at(t, 0, NULL, NULL, NULL, NULL, NULL));
    CHECK_STATUS(status, dpo_trainer_parameter_find(t, "x", &size));
    CHECK_STATUS(status, dpo_trainer_set_reduce(t, NULL, NULL));
    CHECK_STATUS(status, dpo_trainer_set_reward(t, NULL, NULL));
    CHECK_STATUS(status, dpo_trainer_set_reward_model(t, m));
    CHECK_STATUS(status, dpo_trainer_set_reward_classifier(t, (dpo_classifier *)c, 0));
    CHECK_STATUS(status, dpo_trainer_run(t, "/nonexistent/run", NULL, NULL, NULL));
    CHECK_STATUS(status, dpo_trainer_evaluate(t, &metrics));
    CHECK_STATUS(status, dpo_trainer_evaluate_data(t, d, &metrics));
    CHECK_STATUS(status, dpo_trainer_score_data(t, d, 1, &sum, NULL, NULL, NULL));
    CHECK_STATUS(status, dpo_trainer_save(t, "/nonexistent/file"));
    CHECK_STATUS(status, dpo_trainer_load(t, "/nonexistent/file"));
    CHECK_STATUS(status, dpo_trainer_save_model(t, "/nonexistent/file"));
    CHECK_STATUS(status, dpo_completions_get(c, 0, 0, NULL, NULL, NULL, NULL));
    dpo_trainer_cancel(t);
    CHECK(!text && !new_dataset && !new_trainer && !new_completions && !numbers);
}

static void null_foreign_released_and_other_handles(void) {
    const dpo_train_options options = small_run();
    refuse_everywhere(NULL, NULL, NULL, NULL, INVALID);
    int here[4] = {0};
    refuse_everywhere((dpo_model *)here, (dpo_dataset *)here, (dpo_trainer *)here, (dpo_completions *)here, INVALID);

    open_all(&options);
    refuse_everywhere((dpo_model *)trainer, (dpo_dataset *)model, (dpo_trainer *)dataset, (dpo_completions *)model,
                      INVALID);
    CHECK_REFUSED(INVALID, "another kind", dpo_trainer_step((dpo_trainer *)dataset, NULL));
    const char *prompt[] = {"The film was"};
    dpo_generation_options generation;
    dpo_completions *completions = NULL;
    dpo_generation_options_init(&generation, sizeof generation);
    generation.max_new_tokens = 2;
    CHECK_STATUS(DPO_OK, dpo_model_generate(model, prompt, 1, &generation, NULL, NULL, &completions));
    dpo_model *old_model = model;
    dpo_dataset *old_dataset = dataset;
    dpo_trainer *old_trainer = trainer;
    release_all();
    dpo_completions_release(completions);
    refuse_everywhere(old_model, old_dataset, old_trainer, completions, STATE);
    CHECK_REFUSED(STATE, "released", dpo_trainer_step(old_trainer, NULL));
    /* A second release, and the release of what is no handle, do nothing. */
    dpo_model_release(old_model);
    dpo_dataset_release(old_dataset);
    dpo_trainer_release(old_trainer);
    dpo_completions_release(completions);
    dpo_model_release((dpo_model *)here);
    dpo_model_release(NULL);
    dpo_dataset_release(NULL);
    dpo_trainer_release(NULL);
    dpo_completions_release(NULL);
    dpo_trainer_cancel(NULL);
    dpo_model_cancel(NULL);
    /* New handles are other handles. */
    open_all(&options);
    CHECK(model != old_model && dataset != old_dataset && trainer != old_trainer);
    refuse_everywhere(old_model, old_dataset, old_trainer, completions, STATE);
    release_all();
}

static void any_order_of_release(void) {
    const dpo_train_options options = small_run();
    dpo_metrics metrics;
    metrics.struct_size = sizeof metrics;
    open_all(&options);
    dpo_model_release(model);
    dpo_dataset_release(dataset);
    CHECK_STATUS(DPO_OK, dpo_trainer_step(trainer, &metrics));
    CHECK(metrics.step == 1 && near_to(metrics.loss, log(2.0), 1e-6));
    dpo_trainer_release(trainer);
}

static void null_arguments(void) {
    const dpo_train_options options = small_run();
    dpo_model_info info;
    dpo_metrics metrics;
    size_t index = 0;
    double number = 0;
    char *text = NULL;
    open_all(&options);
    CHECK_REFUSED(INVALID, "path is NULL", dpo_model_open(NULL, NULL, 0, &model));
    CHECK_REFUSED(INVALID, "model is NULL", dpo_model_open(MODEL, NULL, 0, NULL));
    CHECK_REFUSED(INVALID, "threads", dpo_model_open(MODEL, NULL, -1, &model));
    CHECK_REFUSED(INVALID, "NULL", dpo_model_get_info(model, NULL));
    info.struct_size = 0;
    CHECK_REFUSED(INVALID, "struct_size", dpo_model_get_info(model, &info));
    info.struct_size = (size_t)-1;
    CHECK_REFUSED(INVALID, "struct_size", dpo_model_get_info(model, &info));
    metrics.struct_size = 16;
    CHECK_REFUSED(INVALID, "struct_size", dpo_trainer_step(trainer, &metrics));
    CHECK_REFUSED(INVALID, "NULL", dpo_model_encode(model, NULL, 3, 1, NULL, 0, &index));
    CHECK_REFUSED(INVALID, "UTF-8", dpo_model_encode(model, "\xFF\xFE", 2, 1, NULL, 0, &index));
    CHECK_REFUSED(INVALID, "count is NULL", dpo_model_encode(model, "x", 1, 1, NULL, 0, NULL));
    CHECK_REFUSED(INVALID, "elements", dpo_model_decode(model, NULL, (size_t)-1, &text, NULL));
    CHECK_REFUSED(INVALID, "NULL", dpo_model_score_texts(model, NULL, NULL, 2, &number, NULL));
    const char *holes[] = {"x", NULL};
    CHECK_REFUSED(INVALID, "prompts[1] is NULL", dpo_model_score_texts(model, holes, holes, 2, &number, NULL));
    CHECK_REFUSED(INVALID, "NULL", dpo_trainer_forward(trainer, NULL, 2, NULL, NULL, NULL, NULL));
    CHECK_REFUSED(INVALID, "row", dpo_trainer_forward(trainer, &(size_t){9999}, 1, NULL, NULL, NULL, NULL));
    CHECK_REFUSED(INVALID, "row", dpo_trainer_forward(trainer, &(size_t){(size_t)-1}, 1, NULL, NULL, NULL, NULL));
    CHECK_REFUSED(INVALID, "at least one row", dpo_trainer_forward(trainer, NULL, 0, NULL, NULL, NULL, NULL));
    CHECK_REFUSED(INVALID, "output_dir is NULL", dpo_trainer_run(trainer, NULL, NULL, NULL, NULL));
    CHECK_REFUSED(INVALID, "parameters", dpo_trainer_parameter_at(trainer, (size_t)-1, NULL, NULL, NULL, NULL, NULL));
    CHECK_REFUSED(INVALID, "nothing.weight", dpo_trainer_parameter_find(trainer, "nothing.weight", &index));
    CHECK_REFUSED(INVALID, "path is NULL", dpo_trainer_save(trainer, NULL));
    CHECK_REFUSED(INVALID, "input is NULL", dpo_export(NULL, DPO_EXPORT_GGUF, "x", NULL));
    CHECK_REFUSED(INVALID, "format 77", dpo_export(MODEL, 77, "x", NULL));
    CHECK_REFUSED(INVALID, "json is NULL", dpo_inspect(MODEL, NULL));
    CHECK_REFUSED(DPO_ERROR_IO, "nowhere", dpo_model_open("/nowhere/model.gguf", NULL, 0, &(dpo_model *){NULL}));
    CHECK_REFUSED(INVALID, "itself", dpo_trainer_create(model, model, dataset, NULL, &options, &(dpo_trainer *){NULL}));
    release_all();
}

/* Scores of the whole data begin with those of its first two rows; before the first step the policy is the reference.
 */
static void scores_of_data(const double *chosen, const double *rejected) {
    dpo_dataset_info info;
    info.struct_size = sizeof info;
    CHECK_STATUS(DPO_OK, dpo_dataset_get_info(dataset, &info));
    double *columns = calloc(4 * info.rows, sizeof *columns);
    double *at[4];
    for (int side = 0; side < 4; side++) at[side] = columns + side * info.rows;
    CHECK_REFUSED(INVALID, "rows", dpo_trainer_score_data(trainer, dataset, info.rows + 1, at[0], at[1], at[2], at[3]));
    CHECK_STATUS(DPO_OK, dpo_trainer_score_data(trainer, dataset, info.rows, at[0], at[1], at[2], at[3]));
    for (int row = 0; row < 2; row++) {
        CHECK(fabs(at[0][row] - chosen[row]) < 1e-4 && fabs(at[1][row] - rejected[row]) < 1e-4);
        CHECK(fabs(at[0][row] - at[2][row]) < 1e-4 && fabs(at[1][row] - at[3][row]) < 1e-4);
    }
    dpo_metrics metrics;
    metrics.struct_size = sizeof metrics;
    CHECK_STATUS(DPO_OK, dpo_trainer_evaluate_data(trainer, dataset, &metrics));
    CHECK(fabs(metrics.loss - log(2)) < 1e-6);
    free(columns);
}

static void order_of_calls(void) {
    const dpo_train_options options = small_run();
    size_t rows[] = {0, 1}, count = 0;
    double chosen[2], rejected[2], gradient[2] = {-0.1, -0.1};
    open_all(&options);
    CHECK_REFUSED(STATE, "forward", dpo_trainer_backward(trainer, gradient, gradient, 2));
    CHECK_REFUSED(STATE, "forward", dpo_trainer_token_count(trainer, &count));
    CHECK_REFUSED(STATE, "gradients", dpo_trainer_apply(trainer, NULL));
    CHECK_REFUSED(STATE, "evaluation",
                  dpo_trainer_evaluate(trainer, &(dpo_metrics){.struct_size = sizeof(dpo_metrics)}));
    CHECK_STATUS(DPO_OK, dpo_trainer_forward(trainer, rows, 2, chosen, rejected, NULL, NULL));
    scores_of_data(chosen, rejected);
    CHECK_STATUS(DPO_OK, dpo_trainer_forward(trainer, rows, 2, chosen, rejected, NULL, NULL));
    CHECK_STATUS(DPO_OK, dpo_trainer_token_count(trainer, &count));
    CHECK(count > 4);
    CHECK_REFUSED(INVALID, "gradients", dpo_trainer_backward(trainer, gradient, gradient, 1));
    CHECK_REFUSED(INVALID, "tokens", dpo_trainer_backward_tokens(trainer, (float[]){1}, 1));
    CHECK_REFUSED(INVALID, "tokens", dpo_trainer_token_logps(trainer, (float[]){1}, 1));
    gradient[0] = NAN;
    CHECK_STATUS(DPO_ERROR_NON_FINITE, dpo_trainer_backward(trainer, gradient, gradient, 2));
    gradient[0] = -0.1;
    CHECK_STATUS(DPO_OK, dpo_trainer_backward(trainer, gradient, gradient, 2));
    CHECK_REFUSED(STATE, "forward", dpo_trainer_backward(trainer, gradient, gradient, 2));
    CHECK_REFUSED(STATE, "accumulated", dpo_trainer_step(trainer, NULL));
    CHECK_STATUS(DPO_OK, dpo_trainer_apply(trainer, NULL));
    CHECK_STATUS(DPO_OK, dpo_trainer_step(trainer, NULL));
    release_all();
}

/* ------------------------------------------------------------------------------------------- threads, callbacks */

static int events;

static int32_t reenter(const dpo_event *event, void *user_data) {
    (void)user_data;
    if (event->kind != DPO_EVENT_STEP) return 0;
    CHECK(event->struct_size == sizeof *event && event->metrics &&
          event->metrics->struct_size == sizeof *event->metrics);
    CHECK_REFUSED(STATE, "in use", dpo_trainer_step(trainer, NULL));
    return ++events == 2;
}

static char directory[] = "/tmp/dpo-handles-XXXXXX";

static void callbacks_and_cancel(void) {
    dpo_train_options options = small_run();
    options.max_steps = 6;
    options.overwrite_output_dir = 1;
    open_all(&options);
    CHECK_REFUSED(DPO_ERROR_CANCELLED, "", dpo_trainer_run(trainer, directory, NULL, reenter, NULL));
    CHECK(events == 2);
    /* A cancel between calls stops the next one, once. */
    dpo_trainer_cancel(trainer);
    CHECK_STATUS(DPO_ERROR_CANCELLED, dpo_trainer_step(trainer, NULL));
    CHECK_STATUS(DPO_OK, dpo_trainer_step(trainer, NULL));
    CHECK_STATUS(DPO_OK, dpo_trainer_run(trainer, directory, "last", NULL, NULL));
    CHECK_REFUSED(STATE, "steps", dpo_trainer_step(trainer, NULL));
    release_all();
}

static jmp_buf left;

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#else
#define __lsan_disable()
#define __lsan_enable()
#endif

static int32_t leave(const dpo_event *event, void *user_data) {
    (void)user_data;
    if (event->kind != DPO_EVENT_STEP) return 0;
    longjmp(left, 1);
}

static int32_t release_itself(const dpo_event *event, void *user_data) {
    (void)user_data;
    if (event->kind != DPO_EVENT_STEP || !trainer) return 0;
    dpo_trainer_release(trainer);
    trainer = NULL;
    return 0;
}

static void a_callback_that_is_left_or_releases_its_handle(void) {
    dpo_train_options options = small_run();
    options.max_steps = 3;
    options.overwrite_output_dir = 1;
    __lsan_disable(); /* what the frames that are left held is lost */
    open_all(&options);
    if (setjmp(left) == 0) {
        dpo_trainer_run(trainer, directory, NULL, leave, NULL);
        CHECK(!"the callback came back");
    }
    __lsan_enable();
    CHECK_REFUSED(STATE, "longjmp", dpo_trainer_step(trainer, NULL));
    dpo_trainer_release(trainer);
    CHECK_REFUSED(STATE, "released", dpo_trainer_step(trainer, NULL));
    /* Everything else goes on. */
    CHECK_STATUS(DPO_OK, dpo_trainer_create(model, NULL, dataset, NULL, &options, &trainer));
    CHECK_STATUS(DPO_OK, dpo_trainer_step(trainer, NULL));
    char other[64];
    snprintf(other, sizeof other, "%s-other", directory);
    CHECK_STATUS(DPO_OK, dpo_trainer_run(trainer, other, NULL, release_itself, NULL));
    CHECK(trainer == NULL);
    release_all();
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", other);
    CHECK(system(command) == 0);
}

static void on_alarm(int number) {
    (void)number;
    dpo_trainer_cancel(trainer);
}

static void cancel_from_a_signal_handler(void) {
    dpo_train_options options = small_run();
    options.max_steps = 100000;
    options.autosave_steps = 0;
    options.save_steps = 0;
    options.overwrite_output_dir = 1;
    open_all(&options);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, NULL);
    alarm(1);
    CHECK_STATUS(DPO_ERROR_CANCELLED, dpo_trainer_run(trainer, directory, NULL, NULL, NULL));
    release_all();
}

static int32_t waiting_step(const dpo_event *event, void *user_data) {
    int *steps = user_data;
    return event->kind == DPO_EVENT_STEP && ++*steps >= 400;
}

static void *run_in_thread(void *status) {
    int steps = 0;
    *(int32_t *)status = dpo_trainer_run(trainer, directory, NULL, waiting_step, &steps);
    return NULL;
}

static void a_second_thread_is_refused_and_release_waits(void) {
    dpo_train_options options = small_run();
    options.max_steps = 100000;
    options.autosave_steps = 0;
    options.save_steps = 0;
    options.overwrite_output_dir = 1;
    open_all(&options);
    int32_t status = DPO_OK;
    pthread_t thread;
    pthread_create(&thread, NULL, run_in_thread, &status);
    int refused = 0, allowed = 0;
    for (int attempt = 0; attempt < 2000 && !refused; attempt++) {
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
        if (dpo_trainer_parameter_count(trainer, &(size_t){0}) == STATE) refused++;
    }
    CHECK(refused);
    CHECK_REFUSED(STATE, "in use", dpo_trainer_parameter_count(trainer, &(size_t){0}));
    /* Other handles work meanwhile: the model that is being trained scores. */
    const char *prompt[] = {"The film was"}, *completion[] = {" good."};
    double sum = 0;
    if (dpo_model_score_texts(model, prompt, completion, 1, &sum, NULL) == DPO_OK) allowed++;
    CHECK(allowed && sum < 0);
    dpo_trainer *released = trainer;
    dpo_trainer_cancel(trainer);
    dpo_trainer_release(trainer); /* during its run */
    CHECK_REFUSED(STATE, "released", dpo_trainer_parameter_count(released, &(size_t){0}));
    pthread_join(thread, NULL);
    CHECK(status == DPO_ERROR_CANCELLED);
    trainer = NULL;
    release_all();
}

static void *fail_in_thread(void *text) {
    dpo_model_release(NULL);
    CHECK(dpo_last_error()[0] == 0);
    CHECK_REFUSED(INVALID, "model is NULL", dpo_model_get_info(NULL, NULL));
    strcpy(text, dpo_last_error());
    return NULL;
}

static void errors_belong_to_their_thread(void) {
    char text[256] = "";
    CHECK_REFUSED(INVALID, "trainer is NULL", dpo_trainer_step(NULL, NULL));
    pthread_t thread;
    pthread_create(&thread, NULL, fail_in_thread, text);
    pthread_join(thread, NULL);
    CHECK(strstr(text, "model is NULL") && strstr(dpo_last_error(), "trainer is NULL"));
}

static int32_t stop_at_the_second(size_t prompt, size_t completion, int32_t token, const char *text, void *calls) {
    (void)prompt, (void)completion, (void)token, (void)text;
    return ++*(int *)calls == 2;
}

static void a_token_callback_that_stops_is_not_called_again(void) {
    const dpo_train_options options = small_run();
    open_all(&options);
    dpo_generation_options generation;
    dpo_completions *completions = NULL;
    int calls = 0;
    const char *prompt[] = {"The film was"};
    CHECK_STATUS(DPO_OK, dpo_generation_options_init(&generation, sizeof generation));
    generation.num_return_sequences = 8;
    generation.max_new_tokens = 4;
    CHECK_REFUSED(DPO_ERROR_CANCELLED, "callback",
                  dpo_model_generate(model, prompt, 1, &generation, stop_at_the_second, &calls, &completions));
    CHECK(calls == 2 && !completions);
    release_all();
}

static void *fail_on_the_model(void *unused) {
    (void)unused;
    CHECK_STATUS(INVALID, dpo_model_encode(model, "x", 1, 1, NULL, 0, NULL));
    return NULL;
}

static void errors_belong_to_their_handle_too(void) {
    const dpo_train_options options = small_run();
    char *text = NULL;
    open_all(&options);
    CHECK_STATUS(DPO_OK, dpo_handle_last_error(model, &text));
    CHECK(text[0] == 0);
    dpo_string_free(text);
    pthread_t thread;
    pthread_create(&thread, NULL, fail_on_the_model, NULL);
    pthread_join(thread, NULL);
    CHECK_STATUS(DPO_OK, dpo_handle_last_error(model, &text));
    CHECK(strstr(text, "count is NULL"));
    dpo_string_free(text);
    CHECK_STATUS(INVALID, dpo_trainer_evaluate_data(trainer, NULL, NULL));
    CHECK_STATUS(DPO_OK, dpo_handle_last_error(trainer, &text));
    CHECK(strstr(text, "dataset is NULL"));
    dpo_string_free(text);
    CHECK_STATUS(INVALID, dpo_trainer_score_data(trainer, dataset, 1, NULL, NULL, NULL, NULL));
    CHECK_STATUS(DPO_OK, dpo_handle_last_error(trainer, &text));
    CHECK(strstr(text, "count is 1"));
    dpo_string_free(text);
    CHECK_STATUS(DPO_OK, dpo_handle_last_error(dataset, &text));
    CHECK(text[0] == 0);
    dpo_string_free(text);
    text = NULL;
    CHECK_REFUSED(INVALID, "text is NULL", dpo_handle_last_error(model, NULL));
    CHECK_REFUSED(INVALID, "handle is NULL", dpo_handle_last_error(NULL, &text));
    CHECK_REFUSED(INVALID, "not a handle", dpo_handle_last_error(&options, &text));
    dpo_model *old = model;
    release_all();
    CHECK_REFUSED(STATE, "released", dpo_handle_last_error(old, &text));
    CHECK_REFUSED(STATE, "released", dpo_handle_set_wait(old, 1));
    CHECK(text == NULL);
    /* A new handle, perhaps in the old one's place, has no error. */
    for (int i = 0; i < 2000; i++) {
        dpo_options *fresh = NULL;
        dpo_options_create("ppo", &fresh);
        dpo_options_set(fresh, "vf_coef", "x");
        dpo_options_release(fresh);
    }
    for (int i = 0; i < 2000; i++) {
        dpo_options *fresh = NULL;
        dpo_options_create("ppo", &fresh);
        if (dpo_handle_last_error(fresh, &text) != DPO_OK || text[0] != 0) CHECK(!"an error of another handle");
        dpo_string_free(text);
        dpo_options_release(fresh);
    }
}

enum { WAITERS = 8, CALLS = 40 };

static void *score_often(void *refused) {
    const char *prompt[] = {"The film was"}, *completion[] = {" good."};
    double first = 0, sum = 0;
    for (int i = 0; i < CALLS; i++) {
        int32_t status = dpo_model_score_texts(model, prompt, completion, 1, &sum, NULL);
        if (status != DPO_OK) ++*(int *)refused;
        if (!first) first = sum;
        if (sum != first) ++*(int *)refused;
    }
    return NULL;
}

static void *run_until_cancelled(void *status) {
    *(int32_t *)status = dpo_trainer_run(trainer, directory, NULL, NULL, NULL);
    return NULL;
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int32_t a_callback_never_waits(const dpo_event *event, void *user_data) {
    int *steps = user_data;
    if (event->kind != DPO_EVENT_STEP) return 0;
    double start = seconds_now();
    CHECK_REFUSED(STATE, "in use", dpo_trainer_step(trainer, NULL));
    CHECK(seconds_now() - start < 5);
    return ++*steps == 2;
}

static void calls_wait_for_each_other(void) {
    dpo_train_options options = small_run();
    options.max_steps = 100000;
    options.autosave_steps = 0;
    options.save_steps = 0;
    options.overwrite_output_dir = 1;
    open_all(&options);
    CHECK_REFUSED(INVALID, "seconds", dpo_handle_set_wait(model, -1));
    CHECK_REFUSED(INVALID, "seconds", dpo_handle_set_wait(model, NAN));
    CHECK_STATUS(DPO_OK, dpo_handle_set_wait(model, INFINITY));
    pthread_t threads[WAITERS];
    int refused[WAITERS] = {0};
    for (int i = 0; i < WAITERS; i++) pthread_create(&threads[i], NULL, score_often, &refused[i]);
    for (int i = 0; i < WAITERS; i++) {
        pthread_join(threads[i], NULL);
        CHECK(refused[i] == 0);
    }
    /* A run is longer than the wait. */
    CHECK_STATUS(DPO_OK, dpo_handle_set_wait(trainer, 0.2));
    int32_t status = DPO_OK;
    pthread_create(threads, NULL, run_until_cancelled, &status);
    double waited = 0;
    for (int attempt = 0; attempt < 2000 && waited < 0.2; attempt++) {
        double start = seconds_now();
        if (dpo_trainer_parameter_count(trainer, &(size_t){0}) == STATE) waited = seconds_now() - start;
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    CHECK(waited >= 0.2 && waited < 10);
    /* A wait that has no end ends with the run, or with the handle. */
    CHECK_STATUS(DPO_OK, dpo_handle_set_wait(trainer, INFINITY));
    dpo_trainer_cancel(trainer);
    CHECK_STATUS(DPO_OK, dpo_trainer_parameter_count(trainer, &(size_t){0}));
    pthread_join(threads[0], NULL);
    CHECK(status == DPO_ERROR_CANCELLED);
    int steps = 0;
    CHECK_STATUS(DPO_ERROR_CANCELLED, dpo_trainer_run(trainer, directory, NULL, a_callback_never_waits, &steps));
    CHECK(steps == 2);
    release_all();
}

static void a_child_opens_its_own_handles(void) {
    const dpo_train_options options = small_run();
    open_all(&options);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        dpo_model_info info;
        info.struct_size = sizeof info;
        int good = dpo_model_get_info(model, &info) == STATE && strstr(dpo_last_error(), "fork") != NULL;
        good = good && dpo_trainer_step(trainer, NULL) == STATE;
        dpo_trainer_release(trainer); /* harmless */
        dpo_model *own = NULL;
        good = good && dpo_model_open(MODEL, NULL, 2, &own) == DPO_OK;
        const char *prompt[] = {"The film was"}, *completion[] = {" good."};
        double sum = 0;
        good = good && dpo_model_score_texts(own, prompt, completion, 1, &sum, NULL) == DPO_OK && sum < 0;
        _exit(good ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_STATUS(DPO_OK, dpo_trainer_step(trainer, NULL));
    release_all();
}

/* More handles than one block of the table has, each released handle still told apart. */
static void many_handles(void) {
    enum { MANY = 3000 };
    static dpo_dataset *handles[MANY];
    const int32_t ids[] = {1, 2, 3, 4, 5, 6};
    const size_t one = 1, two = 2;
    dpo_dataset_info info;
    info.struct_size = sizeof info;
    int good = 1;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++)
            good &= dpo_dataset_from_tokens(ids, &two, ids + 2, &two, ids + 4, &one, 1, NULL, &handles[i]) == DPO_OK;
        for (int i = 0; i < MANY; i++) good &= dpo_dataset_get_info(handles[i], &info) == DPO_OK && info.rows == 1;
        for (int i = 0; i < MANY; i++) dpo_dataset_release(handles[i]);
        for (int i = 0; i < MANY; i++) good &= dpo_dataset_get_info(handles[i], &info) == STATE;
    }
    CHECK(good);
}

/* Tokenizers and models from nothing: settings that make no sense are refused, and what is written opens. */
static void new_models_are_written(void) {
    char directory[] = "/tmp/dpo-test-XXXXXX", tokenizer[64], path[64];
    CHECK(mkdtemp(directory) != NULL);
    snprintf(tokenizer, sizeof tokenizer, "%s/tokenizer", directory);
    snprintf(path, sizeof path, "%s/model.h5", directory);
    const char *paths[] = {"Tests/Fixtures/data/documents.jsonl"}, *special[] = {"<a>", "<a>"};
    dpo_tokenizer_options options;
    CHECK_REFUSED(INVALID, "struct_size", dpo_tokenizer_options_init(&options, 3));
    CHECK_REFUSED(INVALID, "NULL", dpo_tokenizer_options_init(NULL, sizeof options));
    CHECK_STATUS(DPO_OK, dpo_tokenizer_options_init(&options, sizeof options));
    CHECK_REFUSED(INVALID, "output_dir is NULL", dpo_tokenizer_train(paths, 1, &options, NULL));
    CHECK_REFUSED(INVALID, "paths is NULL", dpo_tokenizer_train(NULL, 1, &options, tokenizer));
    CHECK_REFUSED(INVALID, "at least one file", dpo_tokenizer_train(paths, 0, &options, tokenizer));
    options.pre_tokenizer = "other";
    CHECK_REFUSED(INVALID, "pre_tokenizer is other", dpo_tokenizer_train(paths, 1, &options, tokenizer));
    options.pre_tokenizer = "smollm";
    options.special_tokens = special;
    options.special_token_count = 2;
    CHECK_REFUSED(INVALID, "special tokens", dpo_tokenizer_train(paths, 1, &options, tokenizer));
    options.special_token_count = 1;
    options.vocabulary_size = 1;
    CHECK_REFUSED(INVALID, "vocab_size", dpo_tokenizer_train(paths, 1, &options, tokenizer));
    options.vocabulary_size = 300;
    options.chat_template = "{% for %}";
    CHECK_REFUSED(DPO_ERROR_FORMAT, "template", dpo_tokenizer_train(paths, 1, &options, tokenizer));
    options.chat_template = "chatml";
    CHECK_STATUS(DPO_OK, dpo_tokenizer_train(paths, 1, &options, tokenizer));

    dpo_model_shape shape;
    CHECK_REFUSED(INVALID, "struct_size", dpo_model_shape_init(&shape, 3));
    CHECK_REFUSED(INVALID, "NULL", dpo_model_shape_init(NULL, sizeof shape));
    CHECK_STATUS(DPO_OK, dpo_model_shape_init(&shape, sizeof shape));
    CHECK_REFUSED(INVALID, "vocabulary", dpo_model_create(&shape, path));
    CHECK_REFUSED(INVALID, "vocabulary", dpo_model_create(NULL, path));
    shape.tokenizer = tokenizer;
    CHECK_REFUSED(INVALID, "output is NULL", dpo_model_create(&shape, NULL));
    shape.hidden_size = INT32_MIN;
    CHECK_REFUSED(INVALID, "hidden size", dpo_model_create(&shape, path));
    shape.hidden_size = 32;
    shape.heads = 3;
    CHECK_REFUSED(INVALID, "3 heads", dpo_model_create(&shape, path));
    shape.heads = 2;
    CHECK_STATUS(DPO_OK, dpo_model_create(&shape, path));
    CHECK_REFUSED(INVALID, "exists already", dpo_model_create(&shape, path));

    dpo_model *made = NULL;
    dpo_model_info info = {.struct_size = sizeof info};
    CHECK_STATUS(DPO_OK, dpo_model_open(path, NULL, 1, &made));
    CHECK_STATUS(DPO_OK, dpo_model_get_info(made, &info));
    CHECK(info.vocabulary_size == 300 && info.hidden_size == 32 && info.has_chat_template == 1);
    dpo_model_release(made);
    unlink(path);
    const char *names[] = {"tokenizer.json", "tokenizer_config.json"};
    for (size_t i = 0; i < 2; i++) {
        char file[96];
        snprintf(file, sizeof file, "%s/%s", tokenizer, names[i]);
        unlink(file);
    }
    rmdir(tokenizer);
    rmdir(directory);
}

static void classifiers_learn_and_are_handles(void) {
    const char *texts[] = {"good and warm", "bad and dull", "good film", "dull film"};
    const int32_t labels[] = {1, 0, 1, 0}, wrong[] = {1, 0, 2, 0};
    double log_odds[4] = {0};
    dpo_classifier *classifier = NULL;
    CHECK_REFUSED(INVALID, "labels", dpo_classifier_train(texts, wrong, 4, 3, 2, &classifier));
    CHECK_REFUSED(INVALID, "folds", dpo_classifier_train(texts, labels, 4, 3, 3, &classifier));
    CHECK_REFUSED(INVALID, "cost", dpo_classifier_train(texts, labels, 4, NAN, 0, &classifier));
    CHECK_REFUSED(INVALID, "NULL", dpo_classifier_train(NULL, labels, 4, 3, 2, &classifier));
    CHECK(classifier == NULL);
    CHECK_STATUS(DPO_OK, dpo_classifier_train(texts, labels, 4, 3, 0, &classifier));
    CHECK_STATUS(DPO_OK, dpo_classifier_score(classifier, texts, 4, log_odds));
    CHECK(log_odds[0] > 0 && log_odds[1] < 0 && log_odds[2] > 0 && log_odds[3] < 0);
    CHECK_REFUSED(INVALID, "log_odds", dpo_classifier_score(classifier, texts, 4, NULL));
    CHECK_REFUSED(INVALID, "another kind", dpo_model_get_info((dpo_model *)classifier, NULL));
    CHECK_STATUS(DPO_ERROR_IO, dpo_classifier_save(classifier, "/nonexistent/file"));
    CHECK_STATUS(DPO_ERROR_IO, dpo_classifier_open("/nonexistent/file", &classifier));
    dpo_classifier_release(classifier);
    CHECK_STATUS(STATE, dpo_classifier_score(classifier, texts, 4, log_odds));
    CHECK_STATUS(INVALID, dpo_classifier_score(NULL, texts, 4, log_odds));
    dpo_classifier_release(classifier);
    dpo_classifier_release(NULL);
}

static void evaluation_and_the_check_of_an_export(void) {
    const dpo_train_options options = small_run();
    dpo_generation_options samples;
    dpo_generation_options_init(&samples, sizeof samples);
    samples.max_new_tokens = 2;
    dpo_model *tuned = NULL, *reference = NULL;
    char *json = NULL;
    CHECK_STATUS(DPO_OK, dpo_model_open(MODEL, ADAPTER, 2, &tuned));
    CHECK_STATUS(DPO_OK, dpo_model_open(MODEL, NULL, 2, &reference));
    CHECK_STATUS(DPO_OK, dpo_model_evaluate(tuned, reference, PAIRS, &options, &samples, NULL, NULL, &json));
    CHECK(json && strstr(json, "\"rewards/accuracies\": ") && strstr(json, "\"standard_errors\": {") &&
          strstr(json, "\"samples\": {") && strstr(json, "\"kl\": {\"value\": ") && strstr(json, "\"win_rate\": null"));
    dpo_string_free(json);
    json = NULL;
    CHECK_REFUSED(INVALID, "json is NULL", dpo_model_evaluate(tuned, NULL, PAIRS, &options, NULL, NULL, NULL, NULL));
    CHECK_REFUSED(INVALID, "data is NULL", dpo_model_evaluate(tuned, NULL, NULL, &options, NULL, NULL, NULL, &json));
    CHECK_REFUSED(INVALID, "needs samples",
                  dpo_model_evaluate(tuned, NULL, PAIRS, &options, NULL, NULL, reference, &json));
    CHECK_REFUSED(DPO_ERROR_UNSUPPORTED, "reward model",
                  dpo_model_evaluate(tuned, NULL, PAIRS, &options, &samples, NULL, reference, &json));
    CHECK_REFUSED(STATE, "reference is in use",
                  dpo_model_evaluate(tuned, tuned, PAIRS, &options, NULL, NULL, NULL, &json));
    CHECK_STATUS(DPO_ERROR_IO, dpo_model_evaluate(tuned, NULL, "/nonexistent/file", &options, NULL, NULL, NULL, &json));
    dpo_model_release(tuned);
    dpo_model_release(reference);

    char output[96];
    snprintf(output, sizeof output, "%s/adapter.gguf", directory);
    dpo_export_options export_options;
    dpo_export_options_init(&export_options, sizeof export_options);
    export_options.adapter = ADAPTER;
    export_options.dtype = "f16";
    CHECK_STATUS(DPO_OK, dpo_export(MODEL, DPO_EXPORT_GGUF_LORA, output, &export_options));
    CHECK_STATUS(DPO_OK, dpo_export_check(MODEL, output, PAIRS, NULL, &export_options, &json));
    CHECK(json && strstr(json, "\"survives\": true") && strstr(json, "\"trained\": {\"rewards/accuracies\": "));
    dpo_string_free(json);
    json = NULL;
    CHECK_REFUSED(INVALID, "output is NULL", dpo_export_check(MODEL, NULL, PAIRS, NULL, &export_options, &json));
    CHECK_REFUSED(INVALID, "reference model", dpo_export_check(MODEL, output, PAIRS, NULL, NULL, &json));
    CHECK_STATUS(DPO_ERROR_IO, dpo_export_check(MODEL, "/nonexistent/file", PAIRS, NULL, &export_options, &json));
    CHECK_REFUSED(INVALID, "json is NULL", dpo_export_check(MODEL, output, PAIRS, NULL, &export_options, NULL));
    CHECK(json == NULL);
}

/* --------------------------------------------------------------------------------------------------- feedback */

static dpo_feedback *feedback;
enum { RECORDERS = 4, RECORDS = 25 };

/* Some records, on the one handle that all threads use. */
static void *record_in_thread(void *failures) {
    for (int i = 0; i < RECORDS; i++) {
        uint64_t id = 0;
        char answer[32];
        snprintf(answer, sizeof answer, " answer %d", i);
        if (dpo_feedback_record_thumb(feedback, "The film was", answer, i % 2, 1, &id) != DPO_OK || id == 0)
            ++*(int *)failures;
    }
    return NULL;
}

static dpo_feedback_options short_training(dpo_train_options *training) {
    dpo_feedback_options options;
    CHECK_STATUS(DPO_OK, dpo_feedback_options_init(&options, sizeof options));
    CHECK(options.min_records == 8 && options.max_seconds == 0 && options.replay == 0 && !options.training);
    CHECK_STATUS(DPO_OK, dpo_feedback_training_init(training, sizeof *training));
    CHECK(training->lora_r == 16 && !strcmp(training->lora_target_modules, "all-linear"));
    training->lora_r = 2;
    training->threads = 1;
    options.training = training;
    return options;
}

static int32_t stop_at_the_second_step(const dpo_event *event, void *user_data) {
    int *steps = user_data;
    if (event->kind == DPO_EVENT_STEP) CHECK(event->metrics && event->metrics_json);
    if (event->kind == DPO_EVENT_CHECKPOINT) CHECK(strstr(event->text, "/adapter.") != NULL);
    /* The host may record from here, as from anywhere. */
    if (event->kind == DPO_EVENT_STEP && *steps == 1)
        CHECK_STATUS(DPO_OK, dpo_feedback_record_choice(feedback, "The film was", " good.", " bad.", 0.5, NULL));
    return event->kind == DPO_EVENT_STEP && ++*steps == 2;
}

static int32_t cancel_at_the_first_step(const dpo_event *event, void *user_data) {
    int *steps = user_data;
    if (event->kind == DPO_EVENT_STEP && ++*steps == 1) dpo_feedback_cancel(feedback);
    return 0;
}

static void feedback_is_recorded_and_trained_on(void) {
    char path[64], output[64];
    snprintf(path, sizeof path, "%s/feedback.jsonl", directory);
    snprintf(output, sizeof output, "%s/feedback", directory);
    uint64_t count = 7, id = 0;
    char *text = NULL;
    CHECK_REFUSED(INVALID, "path is NULL", dpo_feedback_open(NULL, &feedback));
    CHECK_REFUSED(INVALID, "feedback is NULL", dpo_feedback_open(path, NULL));
    CHECK_STATUS(DPO_ERROR_IO, dpo_feedback_open("/nonexistent/feedback.jsonl", &feedback));
    CHECK_STATUS(DPO_OK, dpo_feedback_open(path, &feedback));
    CHECK_STATUS(DPO_OK, dpo_feedback_count(feedback, &count));
    CHECK(count == 0);
    CHECK_REFUSED(INVALID, "prompt is NULL", dpo_feedback_record_thumb(feedback, NULL, "x", 1, 1, NULL));
    CHECK_REFUSED(INVALID, "answer is NULL", dpo_feedback_record_thumb(feedback, "x", NULL, 1, 1, NULL));
    CHECK_REFUSED(INVALID, "up is 2", dpo_feedback_record_thumb(feedback, "x", "y", 2, 1, NULL));
    CHECK_REFUSED(INVALID, "weight", dpo_feedback_record_thumb(feedback, "x", "y", 1, NAN, NULL));
    CHECK_REFUSED(INVALID, "UTF-8", dpo_feedback_record_thumb(feedback, "\xFF", "y", 1, 1, NULL));
    CHECK_REFUSED(INVALID, "equals", dpo_feedback_record_choice(feedback, "x", "y", "y", 1, NULL));
    CHECK_REFUSED(INVALID, "object", dpo_feedback_record_json(feedback, "[]", NULL));
    CHECK_REFUSED(INVALID, "label",
                  dpo_feedback_record_json(feedback, "{\"prompt\": \"x\", \"completion\": \"y\"}", NULL));
    CHECK_REFUSED(DPO_ERROR_FORMAT, "JSON", dpo_feedback_record_json(feedback, "{", NULL));
    CHECK_REFUSED(INVALID, "count is NULL", dpo_feedback_count(feedback, NULL));
    CHECK_REFUSED(INVALID, "json is NULL", dpo_feedback_status(feedback, NULL, NULL));

    pthread_t threads[RECORDERS];
    int failures[RECORDERS] = {0};
    for (int i = 0; i < RECORDERS; i++) pthread_create(&threads[i], NULL, record_in_thread, &failures[i]);
    for (int i = 0; i < RECORDERS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < RECORDERS; i++) CHECK(failures[i] == 0);
    CHECK_STATUS(DPO_OK, dpo_feedback_count(feedback, &count));
    CHECK(count == RECORDERS * RECORDS);
    const char *row =
        "{\"prompt\": [{\"role\": \"user\", \"content\": \"Hello\"}], \"completion\": \"Hi\", \"label\": true}";
    CHECK_STATUS(DPO_OK, dpo_feedback_record_json(feedback, row, &id));
    CHECK(id == count + 1);

    dpo_train_options training;
    dpo_feedback_options options = short_training(&training);
    dpo_feedback_result result;
    memset(&result, 0, sizeof result);
    CHECK_STATUS(DPO_OK, dpo_model_open(MODEL, NULL, 1, &model));
    CHECK_REFUSED(INVALID, "struct_size", dpo_feedback_train(feedback, model, output, &options, NULL, NULL, &result));
    result.struct_size = sizeof result;
    CHECK_REFUSED(INVALID, "output_dir is NULL", dpo_feedback_train(feedback, model, NULL, &options, NULL, NULL, NULL));
    CHECK_REFUSED(INVALID, "model is NULL", dpo_feedback_train(feedback, NULL, output, &options, NULL, NULL, NULL));
    options.min_records = 1000;
    CHECK_STATUS(DPO_OK, dpo_feedback_train(feedback, model, output, &options, NULL, NULL, &result));
    CHECK(result.outcome == DPO_FEEDBACK_WAITING && result.new_records > 8 && result.steps == 0);
    options.min_records = 1;
    int steps = 0;
    CHECK_STATUS(DPO_ERROR_CANCELLED,
                 dpo_feedback_train(feedback, model, output, &options, stop_at_the_second_step, &steps, &result));
    steps = 0;
    CHECK_STATUS(DPO_ERROR_CANCELLED,
                 dpo_feedback_train(feedback, model, output, &options, cancel_at_the_first_step, &steps, &result));
    CHECK(steps == 1);
    /* A cancel between calls stops the next one, once. */
    dpo_feedback_cancel(feedback);
    CHECK_STATUS(DPO_ERROR_CANCELLED, dpo_feedback_train(feedback, model, output, &options, NULL, NULL, &result));
    CHECK_STATUS(DPO_OK, dpo_feedback_train(feedback, model, output, &options, NULL, NULL, &result));
    CHECK(result.outcome == DPO_FEEDBACK_FINISHED && result.steps > 0);
    /* The choice that came meanwhile. */
    CHECK_STATUS(DPO_OK, dpo_feedback_train(feedback, model, output, &options, NULL, NULL, &result));
    CHECK(result.outcome == DPO_FEEDBACK_FINISHED && result.new_records == 1);
    CHECK_STATUS(DPO_OK, dpo_feedback_train(feedback, model, output, NULL, NULL, NULL, &result));
    CHECK(result.outcome == DPO_FEEDBACK_NOTHING_NEW);
    CHECK_STATUS(DPO_OK, dpo_feedback_status(feedback, output, &text));
    CHECK(strstr(text, "\"new\": 0") && strstr(text, "adapter.gguf"));
    dpo_string_free(text);

    dpo_feedback *old = feedback;
    dpo_feedback *others[] = {old, NULL, (dpo_feedback *)model};
    const int32_t status[] = {STATE, INVALID, INVALID};
    dpo_feedback_release(feedback);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(status[i], dpo_feedback_record_thumb(others[i], "x", "y", 1, 1, NULL));
        CHECK_STATUS(status[i], dpo_feedback_record_choice(others[i], "x", "y", "z", 1, NULL));
        CHECK_STATUS(status[i], dpo_feedback_record_json(others[i], "{}", NULL));
        CHECK_STATUS(status[i], dpo_feedback_count(others[i], &count));
        CHECK_STATUS(status[i], dpo_feedback_status(others[i], NULL, &text));
        CHECK_STATUS(status[i], dpo_feedback_train(others[i], model, output, NULL, NULL, NULL, NULL));
        dpo_feedback_cancel(others[i]);
    }
    dpo_feedback_release(old);
    dpo_feedback_release(NULL);
    dpo_model_release(model);
    model = NULL;
}

/* Rewards of the policy's own answers: the share of their even tokens, or whatever `user_data` says. */
static int32_t reward_even(const dpo_answers *answers, double *rewards, void *user_data) {
    const int *mode = user_data;
    CHECK(answers->struct_size >= sizeof *answers && answers->count > 0);
    for (size_t i = 0; i < answers->count; i++) {
        size_t even = 0;
        CHECK(answers->prompts[i] && answers->completions[i] && answers->prompt_is_chat[i] == 0);
        CHECK(answers->prompt_lengths[i] > 0 && answers->completion_lengths[i] > 0 && answers->prompt_ids[i][0] >= 0);
        CHECK(answers->rows[i] >= 1 && answers->is_evaluation == 0);
        CHECK(answers->columns[i][0] == '{' && strstr(answers->columns[i], "\"chosen\":"));
        CHECK(!strstr(answers->columns[i], "\"prompt\":"));
        for (size_t t = 0; t < answers->completion_lengths[i]; t++) even += answers->completion_ids[i][t] % 2 == 0;
        rewards[i] = *mode == 1 ? NAN : (double)even / (double)answers->completion_lengths[i];
    }
    return *mode == 2;
}

static void rewards_come_from_the_host(void) {
    dpo_train_options options = small_run();
    options.method = "ppo";
    options.max_completion_length = 6;
    options.max_steps = 3;
    open_all(&options);
    dpo_metrics metrics;
    metrics.struct_size = sizeof metrics;
    CHECK_REFUSED(STATE, "needs a reward", dpo_trainer_step(trainer, &metrics));
    int mode = 0;
    CHECK_STATUS(DPO_OK, dpo_trainer_set_reward(trainer, reward_even, &mode));
    mode = 1;
    CHECK_REFUSED(DPO_ERROR_FORMAT, "finite", dpo_trainer_step(trainer, &metrics));
    mode = 2;
    CHECK_REFUSED(DPO_ERROR_CANCELLED, "callback", dpo_trainer_step(trainer, &metrics));
    mode = 0;
    CHECK_STATUS(DPO_OK, dpo_trainer_step(trainer, &metrics));
    CHECK(metrics.step == 1 && isfinite(metrics.loss));
    char *json = NULL;
    CHECK_STATUS(DPO_OK, dpo_trainer_last_metrics(trainer, &json));
    CHECK(json && strstr(json, "objective/scores") && strstr(json, "val/explained_variance"));
    dpo_string_free(json);
    CHECK_REFUSED(DPO_ERROR_UNSUPPORTED, "draws",
                  dpo_trainer_forward(trainer, &(size_t){0}, 1, NULL, NULL, NULL, NULL));

    CHECK_REFUSED(INVALID, "reward_model is NULL", dpo_trainer_set_reward_model(trainer, NULL));
    CHECK_REFUSED(DPO_ERROR_UNSUPPORTED, "reward model", dpo_trainer_set_reward_model(trainer, model));
    dpo_model *other = NULL;
    CHECK_STATUS(DPO_OK, dpo_model_open("Tests/Fixtures/models/qwen2",
                                        "Tests/Fixtures/adapters/qwen2-lora-reward-final", 2, &other));
    CHECK_REFUSED(DPO_ERROR_MISMATCH, "tokenizer", dpo_trainer_set_reward_model(trainer, other));
    dpo_model_release(other);
    CHECK_STATUS(DPO_OK, dpo_model_open(MODEL, "Tests/Fixtures/adapters/llama-tied-lora-reward-chat-final", 2, &other));
    CHECK_STATUS(DPO_OK, dpo_trainer_set_reward_model(trainer, other));
    dpo_model_release(other);
    CHECK_STATUS(DPO_OK, dpo_trainer_step(trainer, &metrics));

    const char *texts[] = {"good", "fine", "bad", "poor"};
    const int32_t labels[] = {1, 1, 0, 0};
    dpo_classifier *classifier = NULL;
    CHECK_STATUS(DPO_OK, dpo_classifier_train(texts, labels, 4, 3, 0, &classifier));
    CHECK_REFUSED(INVALID, "classifier is NULL", dpo_trainer_set_reward_classifier(trainer, NULL, 0));
    CHECK_STATUS(DPO_OK, dpo_trainer_set_reward_classifier(trainer, classifier, 1));
    dpo_classifier_release(classifier);
    CHECK_STATUS(DPO_OK, dpo_trainer_step(trainer, &metrics));
    release_all();

    options = small_run();
    open_all(&options);
    CHECK_REFUSED(INVALID, "without a reward", dpo_trainer_set_reward(trainer, reward_even, &mode));
    release_all();
}

int main(void) {
    classifiers_learn_and_are_handles();
    new_models_are_written();
    CHECK(mkdtemp(directory) != NULL);
    feedback_is_recorded_and_trained_on();
    null_foreign_released_and_other_handles();
    evaluation_and_the_check_of_an_export();
    any_order_of_release();
    null_arguments();
    order_of_calls();
    callbacks_and_cancel();
    a_callback_that_is_left_or_releases_its_handle();
    rewards_come_from_the_host();
    cancel_from_a_signal_handler();
    a_second_thread_is_refused_and_release_waits();
    errors_belong_to_their_thread();
    errors_belong_to_their_handle_too();
    a_token_callback_that_stops_is_not_called_again();
    calls_wait_for_each_other();
    a_child_opens_its_own_handles();
    many_handles();
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return check_summary() | (system(command) != 0);
}
