#include "native.h"
#include <pthread.h>

/* In callbacks.go. */
extern int32_t libdpoGoEvent(const dpo_event *event, uintptr_t closure);
extern int32_t libdpoGoToken(size_t prompt, size_t completion, int32_t token, const char *text, uintptr_t closure);
extern int32_t libdpoGoReward(const dpo_answers *answers, double *rewards, uintptr_t closure);
extern int32_t libdpoGoReduce(float *gradients, size_t count, uintptr_t closure);

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
