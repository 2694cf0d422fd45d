/* A program that learns from its user: answers, thumbs, training in the background, the new adapter in use.
 *
 *   cc -std=c99 feedback.c $(pkg-config --cflags --libs dpo) -lpthread -o feedback && ./feedback model.gguf
 * feedback.jsonl adapters
 *
 * Each line you type is a prompt. Answer "+" or "-" to what the model says, or type the next prompt; "train" learns in
 * the background while you go on, "stop" stops that, "quit" ends. Start it again and it goes on where it stopped.
 */
#define _POSIX_C_SOURCE 200809L
#include <dpo.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *model_path, *directory;
static dpo_feedback *feedback;

/* Set by the trainer's thread when a new adapter stands in the directory. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int adapter_is_new;

static void complain(const char *what) { fprintf(stderr, "%s: %s\n", what, dpo_last_error()); }

/* ------------------------------------------------------------------------------------------- in the background */

static int32_t on_event(const dpo_event *event, void *user_data) {
    (void)user_data;
    if (event->kind == DPO_EVENT_CHECKPOINT) {
        pthread_mutex_lock(&lock);
        adapter_is_new = 1;
        pthread_mutex_unlock(&lock);
    }
    return 0; /* anything else stops the training */
}

static void *train(void *unused) {
    static const char *const outcomes[] = {"nothing new", "waiting for more records", "finished", "out of time"};
    dpo_feedback_options options;
    dpo_feedback_options_init(&options, sizeof options);
    options.max_seconds = 300; /* no longer at a time */
    options.min_records = 2;
    dpo_feedback_result result = {0};
    result.struct_size = sizeof result;
    /* The trainer has a model of its own, so that the one that answers stays free. The file's pages are shared. */
    dpo_model *base = NULL;
    int32_t status = dpo_model_open(model_path, NULL, 1, &base);
    if (!status) status = dpo_feedback_train(feedback, base, directory, &options, on_event, NULL, &result);
    dpo_model_release(base);
    if (status == DPO_ERROR_CANCELLED) printf("[training stopped; \"train\" goes on]\n");
    else if (status) complain("training");
    else
        printf("[training: %s, %d steps on %d records]\n", outcomes[result.outcome], (int)result.steps,
               (int)result.new_records);
    fflush(stdout);
    return unused;
}

/* ------------------------------------------------------------------------------------------ in the foreground */

/* The model with the newest adapter. An open one keeps the adapter that it has, however often the file is replaced. */
static dpo_model *load(void) {
    char adapter[4096];
    snprintf(adapter, sizeof adapter, "%s/adapter.h5", directory);
    FILE *there = fopen(adapter, "rb");
    if (there) fclose(there);
    dpo_model *model = NULL;
    if (dpo_model_open(model_path, there ? adapter : NULL, 0, &model)) complain("loading");
    else if (there) printf("[adapter loaded]\n");
    return model;
}

static char *answer_to(dpo_model *model, const char *prompt) {
    dpo_generation_options options;
    dpo_generation_options_init(&options, sizeof options);
    options.max_new_tokens = 40;
    options.temperature = 0;
    dpo_completions *completions = NULL;
    const char *text = NULL;
    char *copy = NULL;
    if (dpo_model_generate(model, &prompt, 1, &options, NULL, NULL, &completions)) complain("generating");
    else if (!dpo_completions_get(completions, 0, 0, &text, NULL, NULL, NULL)) copy = strdup(text);
    dpo_completions_release(completions);
    return copy;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: %s MODEL FEEDBACK.jsonl ADAPTER-DIRECTORY\n", argv[0]);
        return 2;
    }
    model_path = argv[1];
    directory = argv[3];
    if (dpo_feedback_open(argv[2], &feedback)) {
        complain("feedback");
        return 1;
    }
    dpo_model *model = load();
    char line[4096], prompt[4096] = "";
    char *answer = NULL;
    pthread_t trainer;
    int is_training = 0;
    while (model && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (!strcmp(line, "quit")) break;
        if ((!strcmp(line, "+") || !strcmp(line, "-")) && answer) {
            uint64_t id = 0;
            if (dpo_feedback_record_thumb(feedback, prompt, answer, line[0] == '+', 1.0, &id)) complain("recording");
            else printf("[record %d]\n", (int)id);
        } else if (!strcmp(line, "train") || !strcmp(line, "stop") || !strcmp(line, "wait")) {
            if (is_training && !strcmp(line, "stop")) dpo_feedback_cancel(feedback);
            if (is_training) pthread_join(trainer, NULL); /* after a stop: one micro-batch */
            is_training = !strcmp(line, "train") && pthread_create(&trainer, NULL, train, NULL) == 0;
        } else {
            pthread_mutex_lock(&lock);
            int reload = adapter_is_new;
            adapter_is_new = 0;
            pthread_mutex_unlock(&lock);
            if (reload) {
                dpo_model_release(model);
                model = load();
            }
            strcpy(prompt, line);
            free(answer);
            answer = model ? answer_to(model, prompt) : NULL;
            printf("%s\n", answer ? answer : "");
        }
        fflush(stdout);
    }
    if (is_training) {
        dpo_feedback_cancel(feedback);
        pthread_join(trainer, NULL);
    }
    free(answer);
    dpo_model_release(model);
    dpo_feedback_release(feedback);
    return 0;
}
