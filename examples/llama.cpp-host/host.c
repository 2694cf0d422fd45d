/* A chat on llama.cpp that learns from its user in the same process, with libdpo.
 *
 *     ./host model.gguf feedback.jsonl adapters
 *
 * llama.cpp answers. After an answer: "+" or "-" (a thumb), "= TEXT" (TEXT would have been the better answer), "? TEXT"
 * (how probable is TEXT as the answer?). "new" begins a new conversation, "quit" ends. While nothing is typed, libdpo
 * trains an adapter on what was judged, in a thread of low priority. When it is there, llama.cpp goes on with it.
 */
#define _XOPEN_SOURCE 700
#include <dpo.h>
#include <llama.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { CONTEXT = 2048, ANSWER = 128, MIN_RECORDS = 4, IDLE_MS = 2000, TICK_MS = 100 };

static const char *directory; /* of the adapter */

/* A line about what goes on. The prompt sign stands on the screen already: go over it. */
#define SAY(...) (printf("\r["), printf(__VA_ARGS__), printf("]\n"))

/* ------------------------------------------------------------------------------------------------ llama.cpp answers */

static struct llama_model *llama;
static const struct llama_vocab *vocab;
static struct llama_context *context;
static struct llama_adapter_lora *adapter;
static struct llama_sampler *greedy;

static void only_errors(enum ggml_log_level level, const char *text, void *unused) {
    (void)unused;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static bool start_llama(const char *model_path) {
    llama_log_set(only_errors, NULL);
    ggml_backend_load_all();
    llama = llama_model_load_from_file(model_path, llama_model_default_params());
    if (!llama) return false;
    vocab = llama_model_get_vocab(llama);
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = CONTEXT;
    params.n_threads = params.n_threads_batch = (int32_t)sysconf(_SC_NPROCESSORS_ONLN);
    context = llama_init_from_model(llama, params);
    greedy = llama_sampler_init_greedy();
    return context && greedy;
}

/* The adapter's file was replaced at once, and the context has the old one until the new one is loaded. */
static void use_adapter(void) {
    char path[4096];
    float scale = 1;
    snprintf(path, sizeof path, "%s/adapter.gguf", directory);
    if (access(path, R_OK)) return; /* nothing is learned yet */
    struct llama_adapter_lora *fresh = llama_adapter_lora_init(llama, path);
    if (!fresh || llama_set_adapters_lora(context, &fresh, 1, &scale)) SAY("llama.cpp cannot load %s", path);
    else {
        if (adapter) llama_adapter_lora_free(adapter);
        adapter = fresh;
        SAY("new adapter in use");
    }
}

/* Free *tokens. The chat template has written special tokens and BOS already, so llama.cpp adds none. */
static int tokenize(const char *text, bool is_prompt, llama_token **tokens) {
    int32_t size = (int32_t)strlen(text), count = -llama_tokenize(vocab, text, size, NULL, 0, false, is_prompt);
    *tokens = malloc(((size_t)count + 1) * sizeof **tokens);
    return *tokens ? llama_tokenize(vocab, text, size, *tokens, count, false, is_prompt) : -1;
}

/* Reads the prompt anew, because what the context remembers of earlier texts was computed with an earlier adapter. */
static bool read_prompt(const char *text, int room) {
    llama_token *tokens = NULL;
    int count = tokenize(text, true, &tokens);
    llama_memory_clear(llama_get_memory(context), true);
    if (count + room > CONTEXT) SAY("the conversation is too long: a new one begins"), count = 0;
    bool is_read = count > 0 && llama_decode(context, llama_batch_get_one(tokens, count)) == 0;
    free(tokens);
    return is_read;
}

/* Shows the answer while it is drawn. Free it; NULL: none. */
static char *answer_to(const char *text) {
    char *drawn = NULL;
    size_t size = 0;
    if (!read_prompt(text, ANSWER)) return NULL;
    FILE *answer = open_memstream(&drawn, &size);
    for (int i = 0; answer && i < ANSWER; i++) {
        char piece[1024];
        llama_token token = llama_sampler_sample(greedy, context, -1);
        if (llama_vocab_is_eog(vocab, token)) break;
        int length = llama_token_to_piece(vocab, token, piece, sizeof piece, 0, false);
        for (int j = 0; j < length; j++) putc(piece[j], answer), putchar(piece[j]);
        fflush(stdout);
        if (llama_decode(context, llama_batch_get_one(&token, 1))) break;
    }
    if (answer) fclose(answer);
    printf("\n");
    return drawn;
}

/* ------------------------------------------------------------------------------------------------- libdpo learns */

static dpo_feedback *feedback;
static dpo_model *base; /* of the same file, without an adapter */
static pthread_t learner;
static bool is_learning;
static atomic_bool is_over, adapter_is_new, is_new = true; /* perhaps there is something to learn */

/* What the thread leaves for the main one to tell. */
static int32_t status;
static dpo_feedback_result result;
static char error[512];

static int32_t on_event(const dpo_event *event, void *unused) {
    (void)unused;
    const char *name = event->kind == DPO_EVENT_CHECKPOINT ? strrchr(event->text, '/') : NULL;
    if (name && !strcmp(name, "/adapter.gguf")) atomic_store(&adapter_is_new, true);
    return 0; /* anything else would stop the training */
}

static void *learn(void *unused) {
    setpriority(PRIO_PROCESS, 0, 19); /* on Linux, of this thread and of those that it starts */
    dpo_feedback_options options;
    dpo_feedback_options_init(&options, sizeof options);
    options.max_seconds = 600;
    options.min_records = MIN_RECORDS;
    result = (dpo_feedback_result){.struct_size = sizeof result};
    atomic_store(&is_new, false); /* before, because what is recorded meanwhile is for the next time */
    status = dpo_feedback_train(feedback, base, directory, &options, on_event, NULL, &result);
    if (status == DPO_ERROR_CANCELLED || result.outcome == DPO_FEEDBACK_STOPPED) atomic_store(&is_new, true);
    snprintf(error, sizeof error, "%s", dpo_last_error()); /* this thread's */
    atomic_store(&is_over, true);
    return unused;
}

/* Between answers: takes what the thread has left, and says so. */
static bool look_after_learning(void) {
    bool is_done = is_learning && atomic_exchange(&is_over, false);
    if (is_done) {
        pthread_join(learner, NULL);
        is_learning = false;
        if (status == DPO_ERROR_CANCELLED) SAY("learning interrupted; it goes on when you pause");
        else if (status) SAY("learning: %s", error);
        else if (result.steps) SAY("learned %d records in %d steps", (int)result.new_records, (int)result.steps);
        else if (result.new_records) SAY("learning waits: %d of %d new records", (int)result.new_records, MIN_RECORDS);
    }
    if (!atomic_exchange(&adapter_is_new, false)) return is_done;
    use_adapter();
    return true;
}

/* ------------------------------------------------------------------------------------------------------ the chat */

static char *messages; /* up to the last question, as JSON */
static char *answer;   /* what the model said to it */

/* %s stands for JSON as it is, %q for a text that becomes a string. Free it; NULL: no memory. */
static char *json(const char *format, ...) {
    char *made = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&made, &size);
    va_list texts;
    va_start(texts, format);
    for (const char *c = format; to && *c; c++) {
        const char *text = *c == '%' ? va_arg(texts, const char *) : NULL;
        if (!text) putc(*c, to);
        else if (*++c == 's') fputs(text, to);
        else {
            putc('"', to);
            for (; *text; text++)
                if (strchr("\"\\", *text) || (unsigned char)*text < 0x20) fprintf(to, "\\u%04x", *text);
                else putc(*text, to);
            putc('"', to);
        }
    }
    va_end(texts);
    if (to) fclose(to);
    return made;
}

static void forget(void) {
    free(messages);
    free(answer);
    messages = answer = NULL;
}

/* The prompt as the model reads it: libdpo applies its template, here and in training. Free with dpo_string_free. */
static char *prompt_text(void) {
    char *text = NULL;
    if (!messages || dpo_model_apply_chat_template(base, messages, 1, &text, NULL)) SAY("%s", dpo_last_error());
    return text;
}

static void ask(const char *question) {
    if (answer) messages[strlen(messages) - 1] = 0; /* the bracket */
    char *asked = answer ? json("%s,{\"role\":\"assistant\",\"content\":%q},{\"role\":\"user\",\"content\":%q}]",
                                messages, answer, question)
                         : json("[{\"role\":\"user\",\"content\":%q}]", question);
    forget();
    messages = asked;
    char *prompt = prompt_text();
    if (prompt) answer = answer_to(prompt);
    if (!answer) forget();
    dpo_string_free(prompt);
}

static void judge(const char *line) {
    char *row = *line == '=' ? json("{\"prompt\":%s,\"chosen\":%q,\"rejected\":%q}", messages, line + 2, answer)
                             : json("{\"prompt\":%s,\"completion\":%q,\"label\":%s}", messages, answer,
                                    *line == '+' ? "true" : "false");
    uint64_t id = 0;
    if (!row || dpo_feedback_record_json(feedback, row, &id)) SAY("%s", row ? dpo_last_error() : "no memory");
    else SAY("record %d", (int)id);
    free(row);
    atomic_store(&is_new, true);
}

/* Of a text as the answer to the last question, as llama.cpp computes it now. */
static void show_log_probability(const char *text) {
    int vocabulary = llama_vocab_n_tokens(vocab);
    llama_token *tokens = NULL;
    char *prompt = prompt_text();
    int count = tokenize(text, false, &tokens), is_well = prompt && count > 0 && read_prompt(prompt, count);
    double sum = 0;
    for (int i = 0; is_well && i < count; i++) {
        const float *logits = llama_get_logits_ith(context, -1);
        double largest = -INFINITY, total = 0;
        for (int j = 0; j < vocabulary; j++) largest = fmax(largest, logits[j]);
        for (int j = 0; j < vocabulary; j++) total += exp(logits[j] - largest);
        sum += logits[tokens[i]] - largest - log(total);
        is_well = llama_decode(context, llama_batch_get_one(&tokens[i], 1)) == 0;
    }
    if (is_well) printf("log p = %.4f over %d tokens\n", sum, count);
    free(tokens);
    dpo_string_free(prompt);
}

static void chat(void) {
    char *line = NULL;
    size_t room = 0;
    int idle = 0;
    printf("> ");
    for (;;) {
        fflush(stdout);
        struct pollfd input = {0, POLLIN, 0};
        if (poll(&input, 1, TICK_MS) == 0) {
            if (look_after_learning()) printf("> ");
            if ((idle += TICK_MS) >= IDLE_MS && !is_learning && atomic_load(&is_new))
                is_learning = pthread_create(&learner, NULL, learn, NULL) == 0;
            continue;
        }
        idle = 0;
        if (is_learning && !atomic_load(&is_over)) dpo_feedback_cancel(feedback); /* the answer does not wait for it */
        ssize_t length = getline(&line, &room, stdin);
        if (length < 0) break;
        line[strcspn(line, "\n")] = 0;
        bool has_text = line[0] && line[1] == ' ' && line[2];
        if (!strcmp(line, "quit")) break;
        if (!strcmp(line, "new")) forget();
        else if (answer && (!strcmp(line, "+") || !strcmp(line, "-") || (*line == '=' && has_text))) judge(line);
        else if (answer && *line == '?' && has_text) show_log_probability(line + 2);
        else if (*line) ask(line);
        look_after_learning();
        printf("> ");
    }
    free(line);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: %s MODEL.gguf FEEDBACK.jsonl ADAPTER-DIRECTORY\n", argv[0]);
        return 2;
    }
    directory = argv[3];
    setvbuf(stdin, NULL, _IONBF, 0); /* so that poll knows of every line that waits */
    if (dpo_feedback_open(argv[2], &feedback) || dpo_model_open(argv[1], NULL, 0, &base) || !start_llama(argv[1])) {
        fprintf(stderr, "%s\n", *dpo_last_error() ? dpo_last_error() : "llama.cpp cannot load the model");
        return 1;
    }
    use_adapter(); /* of an earlier time */
    chat();
    if (is_learning) dpo_feedback_cancel(feedback), pthread_join(learner, NULL);
    forget();
    llama_sampler_free(greedy);
    llama_free(context);
    llama_model_free(llama); /* its adapter, too */
    dpo_model_release(base);
    dpo_feedback_release(feedback);
    return 0;
}
