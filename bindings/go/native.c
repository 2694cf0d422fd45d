#include "native.h"
#include <pthread.h>

/* In callbacks.go. */
extern int32_t libdpoGoEvent(const dpo_event *event, uintptr_t closure);
extern int32_t libdpoGoToken(size_t prompt, size_t completion, int32_t token, const char *text, uintptr_t closure);
extern int32_t libdpoGoReward(const dpo_answers *answers, double *rewards, uintptr_t closure);
extern int32_t libdpoGoReduce(float *gradients, size_t count, uintptr_t closure);
extern int32_t libdpoGoReading(char *phase, uint64_t done, uint64_t total, uint64_t rows, uintptr_t closure);
/* In communicator.go. */
extern int32_t libdpoGoAllGather(uintptr_t engine, void *send, void *receive, size_t *sizes);
extern int32_t libdpoGoAllToAll(uintptr_t engine, void *send, size_t *send_sizes, void *receive, size_t *receive_sizes);
extern char *libdpoGoCollectivesError(uintptr_t engine);
extern void libdpoGoAbort(uintptr_t engine, int32_t exit_status);
extern void libdpoGoRelease(uintptr_t engine);

static int32_t on_event(const dpo_event *event, void *closure) { return libdpoGoEvent(event, (uintptr_t)closure); }

static int32_t on_token(size_t prompt, size_t completion, int32_t token, const char *text, void *closure) {
    return libdpoGoToken(prompt, completion, token, text, (uintptr_t)closure);
}

static int32_t reward(const dpo_answers *answers, double *rewards, void *closure) {
    return libdpoGoReward(answers, rewards, (uintptr_t)closure);
}

static int32_t reduce(float *gradients, size_t count, void *closure) {
    return libdpoGoReduce(gradients, count, (uintptr_t)closure);
}

static int32_t reading(const char *phase, uint64_t done, uint64_t total, uint64_t rows, void *closure) {
    return libdpoGoReading((char *)phase, done, total, rows, (uintptr_t)closure);
}

static int32_t all_gather(void *engine, const void *send, void *receive, const size_t *sizes) {
    return libdpoGoAllGather((uintptr_t)engine, (void *)send, receive, (size_t *)sizes);
}

static int32_t all_to_all(void *engine, const void *send, const size_t *send_sizes, void *receive,
                          const size_t *receive_sizes) {
    return libdpoGoAllToAll((uintptr_t)engine, (void *)send, (size_t *)send_sizes, receive, (size_t *)receive_sizes);
}

static const char *collectives_error(void *engine) { return libdpoGoCollectivesError((uintptr_t)engine); }

static void abort_ranks(void *engine, int32_t exit_status) { libdpoGoAbort((uintptr_t)engine, exit_status); }

static void release_engine(void *engine, int32_t healthy) {
    (void)healthy;
    libdpoGoRelease((uintptr_t)engine);
}

uintptr_t libdpo_thread(void) { return (uintptr_t)pthread_self(); }

int32_t libdpo_set_wait(uintptr_t handle, double seconds) { return dpo_handle_set_wait((void *)handle, seconds); }

int32_t libdpo_run(dpo_trainer *trainer, const char *directory, const char *resume, uintptr_t closure) {
    return dpo_trainer_run(trainer, directory, resume, on_event, (void *)closure);
}

int32_t libdpo_feedback_train(dpo_feedback *feedback, dpo_model *model, const char *directory,
                              const dpo_feedback_options *options, uintptr_t closure, dpo_feedback_result *result) {
    return dpo_feedback_train(feedback, model, directory, options, on_event, (void *)closure, result);
}

int32_t libdpo_generate(dpo_model *model, const char *const *prompts, size_t count,
                        const dpo_generation_options *options, uintptr_t closure, dpo_completions **completions) {
    return dpo_model_generate(model, prompts, count, options, on_token, (void *)closure, completions);
}

int32_t libdpo_set_reward(dpo_trainer *trainer, uintptr_t closure) {
    return dpo_trainer_set_reward(trainer, reward, (void *)closure);
}

int32_t libdpo_set_reduce(dpo_trainer *trainer, uintptr_t closure) {
    return dpo_trainer_set_reduce(trainer, reduce, (void *)closure);
}

int32_t libdpo_dataset_open(const dpo_model *model, const char *const *paths, size_t count,
                            const dpo_train_options *options, uintptr_t closure, dpo_dataset **dataset) {
    return dpo_dataset_open(model, paths, count, options, reading, (void *)closure, dataset);
}

int32_t libdpo_communicator(int32_t rank, int32_t size, const char *name, uintptr_t engine,
                            dpo_communicator **communicator) {
    dpo_collectives functions = {
        .struct_size = sizeof functions,
        .version = DPO_COLLECTIVES_VERSION,
        .rank = rank,
        .size = size,
        .name = name,
        .context = (void *)engine,
        .all_gather = all_gather,
        .all_to_all = all_to_all,
        .last_error = collectives_error,
        .abort = abort_ranks,
        .release = release_engine,
    };
    return dpo_communicator_create(&functions, communicator);
}
