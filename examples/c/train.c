/* A whole training with progress, Ctrl-C, resume, and the adapter at the end.
 *
 *   cc -std=c99 train.c $(pkg-config --cflags --libs dpo) -o train && ./train model.gguf pairs.jsonl run
 *
 * Press Ctrl-C and start it again: it goes on where it stopped, and ends in the same bits as if it never had.
 */
#define _POSIX_C_SOURCE 200809L
#include <dpo.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static dpo_trainer *volatile running;

static void interrupted(int signal_number) {
    (void)signal_number;
    dpo_trainer_cancel(running); /* safe in a signal handler, NULL too */
}

static int32_t progress(const dpo_event *event, void *user_data) {
    (void)user_data;
    switch (event->kind) {
    case DPO_EVENT_STEP:
        printf("step %d of %d: loss %.4f, margin %+.4f, accuracy %.0f%%, %.2f s\n", (int)event->metrics->step,
               (int)event->metrics->total_steps, event->metrics->loss, event->metrics->rewards_margins,
               100 * event->metrics->rewards_accuracies, event->metrics->seconds);
        break;
    case DPO_EVENT_CHECKPOINT: printf("saved %s\n", event->text); break;
    case DPO_EVENT_NOTE: printf("%s\n", event->text); break;
    default: break;
    }
    fflush(stdout);
    return 0; /* anything else stops the run cleanly */
}

static int32_t run(const char *model_path, const char *data_path, const char *directory) {
    dpo_train_options options;
    dpo_train_options_init(&options, sizeof options);
    options.lora_r = 8;
    options.lora_target_modules = "all-linear";
    options.learning_rate = 2e-4;
    options.per_device_train_batch_size = 4;
    options.num_train_epochs = 2;

    dpo_model *model = NULL;
    dpo_dataset *pairs = NULL;
    dpo_trainer *trainer = NULL;
    int32_t status = dpo_model_open(model_path, NULL, 0, &model);
    if (!status) status = dpo_dataset_open_jsonl(model, data_path, &options, &pairs);
    if (!status) status = dpo_trainer_create(model, NULL, pairs, NULL, &options, &trainer);

    /* The trainer keeps alive what it needs of them. */
    dpo_dataset_release(pairs);
    dpo_model_release(model);

    if (!status) {
        running = trainer;
        /* "last" goes on from the last checkpoint in the directory, or starts where there is none. */
        status = dpo_trainer_run(trainer, directory, "last", progress, NULL);
        running = NULL;
    }
    dpo_trainer_release(trainer);
    return status;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: %s MODEL PAIRS.jsonl OUTPUT-DIRECTORY\n", argv[0]);
        return 2;
    }
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = interrupted;
    sigaction(SIGINT, &action, NULL);

    int32_t status = run(argv[1], argv[2], argv[3]);
    if (status == DPO_ERROR_CANCELLED) {
        printf("Stopped. Start again with the same arguments to go on.\n");
        return 130;
    }
    if (status) {
        fprintf(stderr, "%s: %s\n", dpo_status_name(status), dpo_last_error());
        return 1;
    }

    /* The adapter in PEFT's form, beside final.h5. */
    char adapter[4096], output[4096];
    snprintf(adapter, sizeof adapter, "%s/final.h5", argv[3]);
    snprintf(output, sizeof output, "%s/adapter", argv[3]);
    dpo_export_options options;
    dpo_export_options_init(&options, sizeof options);
    options.overwrite = 1;
    status = dpo_export(adapter, DPO_EXPORT_PEFT, output, &options);
    if (status) {
        fprintf(stderr, "%s: %s\n", dpo_status_name(status), dpo_last_error());
        return 1;
    }
    printf("Adapter in %s (PEFT) and %s (HDF5).\n", output, adapter);
    return 0;
}
