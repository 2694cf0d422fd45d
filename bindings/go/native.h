/* C's side of the callbacks: Go's functions get their closure as a number (cgo.Handle), which C hands on. */
#ifndef LIBDPO_GO_NATIVE_H
#define LIBDPO_GO_NATIVE_H

#include <dpo.h>

uintptr_t libdpo_thread(void);
int32_t libdpo_set_wait(uintptr_t handle, double seconds);
int32_t libdpo_run(dpo_trainer *trainer, const char *directory, const char *resume, uintptr_t closure);
int32_t libdpo_feedback_train(dpo_feedback *feedback, dpo_model *model, const char *directory,
                              const dpo_feedback_options *options, uintptr_t closure, dpo_feedback_result *result);
int32_t libdpo_generate(dpo_model *model, const char *const *prompts, size_t count,
                        const dpo_generation_options *options, uintptr_t closure, dpo_completions **completions);
int32_t libdpo_set_reward(dpo_trainer *trainer, uintptr_t closure);
int32_t libdpo_set_reduce(dpo_trainer *trainer, uintptr_t closure);
int32_t libdpo_dataset_open(const dpo_model *model, const char *const *paths, size_t count,
                            const dpo_train_options *options, uintptr_t closure, dpo_dataset **dataset);
int32_t libdpo_communicator(int32_t rank, int32_t size, const char *name, uintptr_t engine,
                            dpo_communicator **communicator);

#endif
