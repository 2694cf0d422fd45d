/* libdpo for Node: the functions of dpo.h that index.js makes its classes of.
 *
 * A function is a row of `entries`: what it takes, what runs, and what it gives back. Rows marked LATER or STOPPABLE
 * run on a thread of Node's pool and give a promise; the others run at once. Callbacks of the library come on that
 * thread: it asks the main thread, and waits for the answer.
 *
 * Node-API is plain C and stays compatible, so one build serves all Node versions that index.js does.
 */
#define _POSIX_C_SOURCE 200809L
#define NAPI_VERSION 8
#include <dpo.h>
#include <node_api.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SLOTS = 6 };

typedef struct call call;
typedef struct question question;

/* What a function takes, a letter each; arguments of one letter go to the slots of its kind in order.
 *
 *   h  handle (or null)       s  text (or null)   t  text that may hold NUL   l  array of texts
 *   i  whole number, or bool  d  number           Z  array of sizes           o  kind of options, and their JSON (or
 * null) I  Int32Array (or null)   D  Float64Array     F  Float32Array (likewise)  f  function (or null) r  function
 * that the trainer keeps (or null)
 */
typedef struct entry {
    const char *name;
    const char *takes;
    int32_t (*run)(call *);
    napi_value (*give)(napi_env, call *);
    int when;          /* NOW, LATER or STOPPABLE */
    const char *names; /* of the members that give_named gives; =: a number, not an array */
} entry;

enum { NOW, LATER, STOPPABLE };

/* A function that a trainer keeps. Node may take it away before the trainer goes, when it ends. */
typedef struct kept {
    napi_threadsafe_function asks;
    int has_trainer;
    int is_there;
} kept;

/* A handle of dpo.h. Its owner in JavaScript is an external value, which releases it when it is collected. */
typedef struct handle {
    void *pointer;
    void (*release)(void *);
    kept *reward;
    kept *reduce;
    int at_work; /* STOPPABLE calls that run: one, or a second one that is being refused */
    int stopped; /* it, or the one that waits for its thread, is to stop */
} handle;

typedef struct texts {
    char **items;
    size_t count;
} texts;

struct call {
    const entry *entry;
    napi_async_work work;
    napi_deferred deferred;
    napi_ref arguments; /* keeps handles alive while the call runs */
    napi_threadsafe_function asks;
    kept *keeps;

    handle *handles[SLOTS];
    void *pointers[SLOTS];
    char *text[SLOTS];
    size_t text_size[SLOTS];
    texts lists[SLOTS];
    int64_t whole[SLOTS];
    double number[SLOTS];
    dpo_options *options[SLOTS];
    int32_t *ids[SLOTS];
    size_t id_count[SLOTS];
    size_t *sizes[SLOTS];
    size_t size_count[SLOTS];
    double *doubles[SLOTS];
    size_t double_count[SLOTS];
    float *floats[SLOTS];
    size_t float_count[SLOTS];

    int32_t status;
    char *error;
    void *made;
    void (*release_made)(void *);
    char *json;
    size_t json_size;
    double *out[SLOTS];
    size_t out_count[SLOTS];
    float *out_floats;
    size_t out_float_count;
    int32_t *out_ids;
    size_t out_id_count;
    uint64_t out_whole;
    dpo_feedback_result result;
    dpo_model_info model_info;
    dpo_dataset_info dataset_info;
};

/* ---------------------------------------------------------------------------------------------- JavaScript's values */

#define BAD_ARGUMENT "ERR_INVALID_ARG_TYPE"

static napi_value undefined(napi_env env) {
    napi_value value;
    napi_get_undefined(env, &value);
    return value;
}

static int is_null(napi_env env, napi_value value) {
    napi_valuetype type = napi_undefined;
    napi_typeof(env, value, &type);
    return type == napi_undefined || type == napi_null;
}

static napi_value make_text(napi_env env, const char *text) {
    napi_value value = NULL;
    napi_create_string_utf8(env, text ? text : "", NAPI_AUTO_LENGTH, &value);
    return value;
}

static napi_value make_number(napi_env env, double number) {
    napi_value value = NULL;
    napi_create_double(env, number, &value);
    return value;
}

static napi_value make_bool(napi_env env, int flag) {
    napi_value value = NULL;
    napi_get_boolean(env, flag != 0, &value);
    return value;
}

static void set(napi_env env, napi_value object, const char *name, napi_value value) {
    napi_set_named_property(env, object, name, value);
}

static napi_value make_array(napi_env env, napi_typedarray_type type, const void *data, size_t count, size_t size) {
    void *bytes = NULL;
    napi_value buffer = NULL, array = NULL;
    napi_create_arraybuffer(env, count * size, &bytes, &buffer);
    if (bytes && count) memcpy(bytes, data, count * size);
    napi_create_typedarray(env, type, count, buffer, 0, &array);
    return array;
}

static napi_value make_doubles(napi_env env, const double *numbers, size_t count) {
    return make_array(env, napi_float64_array, numbers, count, sizeof *numbers);
}

/* An Error with `status` ("DPO_ERROR_FORMAT") as its code, which index.js makes a DpoError of. */
static napi_value make_error(napi_env env, int32_t status, const char *sentence) {
    napi_value error = NULL;
    napi_create_error(env, make_text(env, dpo_status_name(status)), make_text(env, sentence), &error);
    set(env, error, "status", make_number(env, status));
    return error;
}

/* UTF-8 with its NUL. NULL after throwing. */
static char *take_text(napi_env env, napi_value value, size_t *size, int with_nul) {
    size_t length = 0;
    if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) {
        napi_throw_type_error(env, BAD_ARGUMENT, "expected a string");
        return NULL;
    }
    char *text = malloc(length + 1);
    if (!text) {
        napi_throw_error(env, NULL, "out of memory");
        return NULL;
    }
    napi_get_value_string_utf8(env, value, text, length + 1, &length);
    if (!with_nul && strlen(text) != length) {
        napi_throw(env, make_error(env, DPO_ERROR_INVALID_ARGUMENT, "a text holds a NUL character"));
        free(text);
        return NULL;
    }
    if (size) *size = length;
    return text;
}

static int take_texts(napi_env env, napi_value value, texts *list) {
    uint32_t count = 0;
    if (napi_get_array_length(env, value, &count) != napi_ok) {
        napi_throw_type_error(env, BAD_ARGUMENT, "expected an array of strings");
        return 0;
    }
    list->items = calloc((size_t)count + 1, sizeof *list->items);
    if (!list->items) return napi_throw_error(env, NULL, "out of memory"), 0;
    for (; list->count < count; list->count++) {
        napi_value item;
        napi_get_element(env, value, (uint32_t)list->count, &item);
        if (!(list->items[list->count] = take_text(env, item, NULL, 0))) return 0;
    }
    return 1;
}

static int take_sizes(napi_env env, napi_value value, size_t **sizes, size_t *count) {
    uint32_t length = 0;
    if (napi_get_array_length(env, value, &length) != napi_ok) {
        napi_throw_type_error(env, BAD_ARGUMENT, "expected an array of numbers");
        return 0;
    }
    *sizes = calloc((size_t)length + 1, sizeof **sizes);
    if (!*sizes) return napi_throw_error(env, NULL, "out of memory"), 0;
    for (*count = 0; *count < length; ++*count) {
        napi_value item;
        int64_t number = -1;
        napi_get_element(env, value, (uint32_t)*count, &item);
        if (napi_get_value_int64(env, item, &number) != napi_ok || number < 0) {
            napi_throw_type_error(env, BAD_ARGUMENT, "expected whole numbers from 0 on");
            return 0;
        }
        (*sizes)[*count] = (size_t)number;
    }
    return 1;
}

/* A copy of a typed array: the call may run while JavaScript changes it. */
static void *take_array(napi_env env, napi_value value, napi_typedarray_type wanted, size_t size, const char *name,
                        size_t *count) {
    napi_typedarray_type type = napi_int8_array;
    void *data = NULL;
    if (napi_get_typedarray_info(env, value, &type, count, &data, NULL, NULL) != napi_ok || type != wanted) {
        char sentence[64];
        snprintf(sentence, sizeof sentence, "expected %s", name);
        napi_throw_type_error(env, BAD_ARGUMENT, sentence);
        return NULL;
    }
    void *copy = malloc(*count * size + 1);
    if (!copy) {
        napi_throw_error(env, NULL, "out of memory");
        return NULL;
    }
    if (*count) memcpy(copy, data, *count * size);
    return copy;
}

static void drop_kept(kept *dropped) {
    if (!dropped) return;
    dropped->has_trainer = 0;
    if (dropped->is_there) napi_release_threadsafe_function(dropped->asks, napi_tsfn_release);
    else free(dropped);
}

/* When Node has taken the function away. */
static void kept_went(napi_env env, void *data, void *context) {
    (void)env, (void)context;
    kept *gone = data;
    gone->is_there = 0;
    if (!gone->has_trainer) free(gone);
}

static void drop_handle(napi_env env, void *data, void *hint) {
    (void)env, (void)hint;
    handle *owner = data;
    owner->release(owner->pointer);
    drop_kept(owner->reward);
    drop_kept(owner->reduce);
    free(owner);
}

static napi_value make_handle(napi_env env, void *pointer, void (*release)(void *)) {
    handle *owner = calloc(1, sizeof *owner);
    napi_value value = NULL;
    if (!owner || napi_create_external(env, owner, drop_handle, NULL, &value) != napi_ok) {
        free(owner);
        release(pointer);
        napi_throw_error(env, NULL, "out of memory");
        return NULL;
    }
    owner->pointer = pointer;
    owner->release = release;
    return value;
}

/* -------------------------------------------------------------------------------------------------------- questions */

/* What the library's thread asks the main thread. */
struct question {
    question *next;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int answered;
    int stop;
    int put;    /* the function of index.js has it */
    int on_way; /* it is in the queue of the main thread */
    napi_value (*describe)(napi_env, const question *);
    const dpo_event *event;
    const dpo_answers *answers;
    double *rewards;
    float *gradients;
    size_t gradient_count;
    size_t prompt, completion;
    int32_t token;
    const char *text;
    uint64_t done, total, rows;
};

/* Every question that waits, and whether Node ends: nobody answers any more then. */
static pthread_mutex_t waiting_lock = PTHREAD_MUTEX_INITIALIZER;
static question *waiting;
static _Atomic int closing;

static void answer(question *asked, int stop) {
    pthread_mutex_lock(&asked->lock);
    asked->stop = stop;
    asked->answered = 1;
    pthread_cond_signal(&asked->changed);
    pthread_mutex_unlock(&asked->lock);
}

/* On its way to the main thread. 0 where nobody is there to take it. */
static int send(napi_threadsafe_function function, question *asked) {
    pthread_mutex_lock(&asked->lock);
    asked->on_way = 1;
    pthread_mutex_unlock(&asked->lock);
    if (napi_call_threadsafe_function(function, asked, napi_tsfn_blocking) == napi_ok) return 1;
    pthread_mutex_lock(&asked->lock);
    asked->on_way = 0;
    pthread_mutex_unlock(&asked->lock);
    return 0;
}

/* Waits for the answer. A worker thread that is terminated while a promise is to answer never does, and tells nobody:
 * the question is sent again from time to time, and put_question sees whether JavaScript still runs. When the process
 * ends, the main thread takes nothing more out of its queue. */
static void wait_for_answer(napi_threadsafe_function function, question *asked) {
    const long pause = 200 * 1000 * 1000;
    pthread_mutex_lock(&asked->lock);
    while (!asked->answered || (asked->on_way && !closing)) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += (until.tv_nsec + pause) / 1000000000;
        until.tv_nsec = (until.tv_nsec + pause) % 1000000000;
        if (!pthread_cond_timedwait(&asked->changed, &asked->lock, &until) || asked->on_way) continue;
        pthread_mutex_unlock(&asked->lock);
        int sent = send(function, asked);
        pthread_mutex_lock(&asked->lock);
        if (sent || asked->answered) continue;
        asked->stop = asked->answered = 1;
    }
    pthread_mutex_unlock(&asked->lock);
}

/* 0 to go on. */
static int32_t ask(napi_threadsafe_function function, question *asked) {
    pthread_mutex_init(&asked->lock, NULL);
    pthread_cond_init(&asked->changed, NULL);
    pthread_mutex_lock(&waiting_lock);
    asked->next = waiting;
    waiting = asked;
    int refused = closing;
    pthread_mutex_unlock(&waiting_lock);

    if (refused || !send(function, asked)) answer(asked, 1);
    wait_for_answer(function, asked);

    pthread_mutex_lock(&waiting_lock);
    question **place = &waiting;
    while (*place != asked) place = &(*place)->next;
    *place = asked->next;
    pthread_mutex_unlock(&waiting_lock);
    pthread_cond_destroy(&asked->changed);
    pthread_mutex_destroy(&asked->lock);
    return asked->stop;
}

/* On the main thread: the function of index.js gets what is asked, and a token to answer with. It fails where the
 * thread is being ended, and so does looking at the function when the question comes again. */
static void put_question(napi_env env, napi_value function, void *context, void *data) {
    (void)context;
    question *asked = data;
    napi_value result = NULL;
    pthread_mutex_lock(&asked->lock);
    int again = asked->put;
    asked->put = 1;
    if (!env || (again && napi_get_named_property(env, function, "name", &result) != napi_ok)) {
        if (!asked->answered) asked->stop = asked->answered = 1;
        again = 1;
    }
    asked->on_way = !again; /* until the function has returned: `asked` is there for so long */
    pthread_cond_signal(&asked->changed);
    pthread_mutex_unlock(&asked->lock);
    if (again) return;

    napi_value arguments[2] = {asked->describe(env, asked), NULL};
    int failed = napi_create_external(env, asked, NULL, NULL, &arguments[1]) != napi_ok ||
                 napi_call_function(env, undefined(env), function, 2, arguments, &result) != napi_ok;
    pthread_mutex_lock(&asked->lock);
    if (failed && !asked->answered) asked->stop = asked->answered = 1;
    asked->on_way = 0;
    pthread_cond_signal(&asked->changed);
    pthread_mutex_unlock(&asked->lock);
}

static napi_threadsafe_function make_asker(napi_env env, napi_value function, kept *owner) {
    napi_threadsafe_function asker = NULL;
    if (napi_create_threadsafe_function(env, function, NULL, make_text(env, "libdpo"), 0, 1, owner,
                                        owner ? kept_went : NULL, NULL, put_question, &asker) != napi_ok) {
        napi_throw_type_error(env, BAD_ARGUMENT, "expected a function");
        return NULL;
    }
    return asker;
}

/* answer(token, goOn, values) ends the wait of the library's thread. `values`: a Float64Array of the rewards, or a
 * Float32Array of the gradients, that were asked for. */
static napi_value answer_question(napi_env env, napi_callback_info info) {
    napi_value arguments[3];
    size_t count = 3, given = 0;
    void *data = NULL, *values = NULL;
    napi_typedarray_type type = napi_int8_array;
    bool go_on = false;
    napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
    if (napi_get_value_external(env, arguments[0], &data) != napi_ok) return NULL;
    napi_get_value_bool(env, arguments[1], &go_on);
    question *asked = data;
    if (go_on && (asked->rewards || asked->gradients)) {
        napi_get_typedarray_info(env, arguments[2], &type, &given, &values, NULL, NULL);
        if (asked->rewards && type == napi_float64_array && given == asked->answers->count)
            memcpy(asked->rewards, values, given * sizeof(double));
        else if (asked->gradients && type == napi_float32_array && given == asked->gradient_count)
            memcpy(asked->gradients, values, given * sizeof(float));
        else go_on = false;
    }
    answer(asked, !go_on);
    return NULL;
}

/* close(): the process ends; who waits for an answer is told to stop, so that Node need not wait for the run's end. */
static napi_value close_all(napi_env env, napi_callback_info info) {
    (void)env, (void)info;
    pthread_mutex_lock(&waiting_lock);
    closing = 1;
    for (question *asked = waiting; asked; asked = asked->next) answer(asked, 1);
    pthread_mutex_unlock(&waiting_lock);
    return NULL;
}

static napi_value describe_event(napi_env env, const question *asked) {
    static const char *const kinds[] = {"", "step", "evaluation", "checkpoint", "note", "progress"};
    const dpo_event *event = asked->event;
    napi_value object = NULL;
    napi_create_object(env, &object);
    int known = event->kind > 0 && event->kind < (int32_t)(sizeof kinds / sizeof *kinds);
    set(env, object, "kind", make_text(env, known ? kinds[event->kind] : "other"));
    set(env, object, "text", make_text(env, event->text));
    set(env, object, "done", make_number(env, (double)event->done));
    set(env, object, "total", make_number(env, (double)event->total));
    if (event->metrics) {
        set(env, object, "step", make_number(env, (double)event->metrics->step));
        set(env, object, "totalSteps", make_number(env, (double)event->metrics->total_steps));
    }
    if (event->metrics_json) set(env, object, "metrics", make_text(env, event->metrics_json));
    return object;
}

static int32_t on_event(const dpo_event *event, void *user_data) {
    question asked = {.describe = describe_event, .event = event};
    return ask(((call *)user_data)->asks, &asked);
}

static napi_value describe_token(napi_env env, const question *asked) {
    napi_value object = NULL;
    napi_create_object(env, &object);
    set(env, object, "prompt", make_number(env, (double)asked->prompt));
    set(env, object, "completion", make_number(env, (double)asked->completion));
    set(env, object, "token", make_number(env, asked->token));
    set(env, object, "text", make_text(env, asked->text));
    return object;
}

static int32_t on_token(size_t prompt, size_t completion, int32_t token, const char *text, void *user_data) {
    question asked = {
        .describe = describe_token, .prompt = prompt, .completion = completion, .token = token, .text = text};
    return ask(((call *)user_data)->asks, &asked);
}

static napi_value describe_reading(napi_env env, const question *asked) {
    napi_value object = NULL;
    napi_create_object(env, &object);
    set(env, object, "phase", make_text(env, asked->text));
    set(env, object, "done", make_number(env, (double)asked->done));
    set(env, object, "total", make_number(env, (double)asked->total));
    set(env, object, "rows", make_number(env, (double)asked->rows));
    return object;
}

static int32_t on_reading(const char *phase, uint64_t done, uint64_t total, uint64_t rows, void *user_data) {
    question asked = {.describe = describe_reading, .text = phase, .done = done, .total = total, .rows = rows};
    return ask(((call *)user_data)->asks, &asked);
}

static napi_value describe_answers(napi_env env, const question *asked) {
    const dpo_answers *answers = asked->answers;
    napi_value list = NULL;
    napi_create_array_with_length(env, answers->count, &list);
    for (size_t i = 0; i < answers->count; i++) {
        napi_value object = NULL;
        napi_create_object(env, &object);
        set(env, object, "prompt", make_text(env, answers->prompts[i]));
        set(env, object, "completion", make_text(env, answers->completions[i]));
        set(env, object, "promptIsChat", make_bool(env, answers->prompt_is_chat[i]));
        set(env, object, "stopped", make_bool(env, answers->stopped[i]));
        napi_set_element(env, list, (uint32_t)i, object);
    }
    return list;
}

static int32_t on_answers(const dpo_answers *answers, double *rewards, void *user_data) {
    question asked = {.describe = describe_answers, .answers = answers, .rewards = rewards};
    return ask(((kept *)user_data)->asks, &asked);
}

static napi_value describe_gradients(napi_env env, const question *asked) {
    return make_array(env, napi_float32_array, asked->gradients, asked->gradient_count, sizeof(float));
}

static int32_t on_gradients(float *gradients, size_t count, void *user_data) {
    question asked = {.describe = describe_gradients, .gradients = gradients, .gradient_count = count};
    return ask(((kept *)user_data)->asks, &asked);
}

/* ---------------------------------------------------------------------------------------------------------- results */

static napi_value give_nothing(napi_env env, call *c) {
    (void)c;
    return undefined(env);
}

static napi_value give_json(napi_env env, call *c) { return make_text(env, c->json); }

static napi_value give_text(napi_env env, call *c) {
    napi_value value = NULL;
    napi_create_string_utf8(env, c->json, c->json_size, &value);
    return value;
}

static napi_value give_handle(napi_env env, call *c) {
    void *made = c->made;
    c->made = NULL;
    return make_handle(env, made, c->release_made);
}

static napi_value give_whole(napi_env env, call *c) { return make_number(env, (double)c->out_whole); }

static napi_value give_ids(napi_env env, call *c) {
    return make_array(env, napi_int32_array, c->out_ids, c->out_id_count, sizeof *c->out_ids);
}

static napi_value give_doubles(napi_env env, call *c) { return make_doubles(env, c->out[0], c->out_count[0]); }

static napi_value give_number(napi_env env, call *c) { return make_number(env, c->out[0][0]); }

static napi_value give_floats(napi_env env, call *c) {
    return make_array(env, napi_float32_array, c->out_floats, c->out_float_count, sizeof *c->out_floats);
}

static napi_value give_scores(napi_env env, call *c) {
    napi_value object = NULL;
    napi_create_object(env, &object);
    set(env, object, "sumLogps", give_doubles(env, c));
    if (c->out_ids) set(env, object, "tokenCounts", give_ids(env, c));
    if (c->out_floats)
        set(env, object, "tokenLogps",
            make_array(env, napi_float32_array, c->out_floats, c->out_float_count, sizeof *c->out_floats));
    return object;
}

/* An object of the outputs, by the names of the entry. */
static napi_value give_named(napi_env env, call *c) {
    napi_value object = NULL;
    napi_create_object(env, &object);
    const char *next = c->entry->names;
    for (size_t slot = 0; *next; slot++) {
        char name[32] = "";
        int scalar = *next == '=';
        next += scalar;
        size_t length = strcspn(next, " ");
        memcpy(name, next, length < sizeof name ? length : sizeof name - 1);
        set(env, object, name,
            scalar ? make_number(env, c->out[slot][0]) : make_doubles(env, c->out[slot], c->out_count[slot]));
        next += length + strspn(next + length, " ");
    }
    return object;
}

static napi_value give_parameters(napi_env env, call *c) {
    napi_value list = NULL;
    napi_create_array(env, &list);
    for (size_t i = 0; i < (size_t)c->out_whole; i++) {
        const char *name = NULL;
        size_t offset = 0, size = 0, dimensions = 0;
        int64_t lengths[4] = {0};
        if (dpo_trainer_parameter_at(c->pointers[0], i, &name, &offset, &size, lengths, &dimensions)) break;
        napi_value object = NULL, shape = NULL;
        napi_create_object(env, &object);
        napi_create_array(env, &shape);
        for (uint32_t d = 0; d < dimensions; d++) napi_set_element(env, shape, d, make_number(env, (double)lengths[d]));
        set(env, object, "name", make_text(env, name));
        set(env, object, "offset", make_number(env, (double)offset));
        set(env, object, "size", make_number(env, (double)size));
        set(env, object, "shape", shape);
        napi_set_element(env, list, (uint32_t)i, object);
    }
    return list;
}

static napi_value give_model_info(napi_env env, call *c) {
    const dpo_model_info *info = &c->model_info;
    napi_value object = NULL;
    napi_create_object(env, &object);
    set(env, object, "parameters", make_number(env, (double)info->parameters));
    set(env, object, "mappedBytes", make_number(env, (double)info->mapped_bytes));
    set(env, object, "vocabularySize", make_number(env, info->vocabulary_size));
    set(env, object, "hiddenSize", make_number(env, info->hidden_size));
    set(env, object, "layers", make_number(env, info->layers));
    set(env, object, "contextLength", make_number(env, info->context_length));
    set(env, object, "eosToken", make_number(env, info->eos_token));
    set(env, object, "bosToken", make_number(env, info->bos_token));
    set(env, object, "hasChatTemplate", make_bool(env, info->has_chat_template));
    set(env, object, "hasAdapter", make_bool(env, info->has_adapter));
    set(env, object, "isRewardModel", make_bool(env, info->is_reward_model));
    set(env, object, "architecture", make_text(env, info->architecture));
    set(env, object, "format", make_text(env, info->format));
    return object;
}

static napi_value give_dataset_info(napi_env env, call *c) {
    const dpo_dataset_info *info = &c->dataset_info;
    napi_value object = NULL;
    napi_create_object(env, &object);
    set(env, object, "rows", make_number(env, (double)info->rows));
    set(env, object, "droppedRows", make_number(env, (double)info->dropped_rows));
    set(env, object, "truncatedRows", make_number(env, (double)info->truncated_rows));
    set(env, object, "identicalRows", make_number(env, (double)info->identical_rows));
    set(env, object, "duplicateRows", make_number(env, (double)info->duplicate_rows));
    set(env, object, "contradictingRows", make_number(env, (double)info->contradicting_rows));
    set(env, object, "tokens", make_number(env, (double)info->tokens));
    set(env, object, "longestRow", make_number(env, (double)info->longest_row));
    set(env, object, "longerIsChosen", make_number(env, info->longer_is_chosen));
    return object;
}

static napi_value give_feedback_result(napi_env env, call *c) {
    static const char *const outcomes[] = {"nothing new", "waiting", "finished", "stopped"};
    const dpo_feedback_result *result = &c->result;
    napi_value object = NULL;
    napi_create_object(env, &object);
    int known = result->outcome >= 0 && result->outcome < (int32_t)(sizeof outcomes / sizeof *outcomes);
    set(env, object, "outcome", make_text(env, known ? outcomes[result->outcome] : "other"));
    set(env, object, "newRecords", make_number(env, (double)result->new_records));
    set(env, object, "replayed", make_number(env, (double)result->replayed));
    set(env, object, "skipped", make_number(env, (double)result->skipped));
    set(env, object, "steps", make_number(env, (double)result->steps));
    return object;
}

/* A list a prompt of {text, ids, stopped}. */
static napi_value give_completions(napi_env env, call *c) {
    napi_value list = NULL;
    napi_create_array(env, &list);
    const dpo_generation_options *options = dpo_options_struct(c->options[0]);
    for (size_t prompt = 0; prompt < c->lists[0].count; prompt++) {
        napi_value row = NULL;
        napi_create_array(env, &row);
        for (size_t index = 0; index < (size_t)options->num_return_sequences; index++) {
            const char *text = NULL;
            const int32_t *ids = NULL;
            size_t count = 0;
            int32_t stopped = 0;
            if (dpo_completions_get(c->made, prompt, index, &text, &ids, &count, &stopped)) continue;
            napi_value object = NULL;
            napi_create_object(env, &object);
            set(env, object, "text", make_text(env, text));
            set(env, object, "ids", make_array(env, napi_int32_array, ids, count, sizeof *ids));
            set(env, object, "stopped", make_bool(env, stopped));
            napi_set_element(env, row, (uint32_t)index, object);
        }
        napi_set_element(env, list, (uint32_t)prompt, row);
    }
    return list;
}

/* -------------------------------------------------------------------------------------------------------- what runs */

static void release_model(void *pointer) { dpo_model_release(pointer); }
static void release_dataset(void *pointer) { dpo_dataset_release(pointer); }
static void release_trainer(void *pointer) { dpo_trainer_release(pointer); }
static void release_classifier(void *pointer) { dpo_classifier_release(pointer); }
static void release_feedback(void *pointer) { dpo_feedback_release(pointer); }
static void release_communicator(void *pointer) { dpo_communicator_release(pointer); }
static void release_completions(void *pointer) { dpo_completions_release(pointer); }

static void *as_struct(call *c, size_t slot) { return (void *)dpo_options_struct(c->options[slot]); }

/* Room for `count` numbers in each of the outputs from `first` to `last`. */
static int32_t make_room(call *c, size_t first, size_t last, size_t count) {
    for (size_t i = first; i <= last; i++) {
        c->out_count[i] = count;
        if (!(c->out[i] = calloc(count + 1, sizeof(double)))) return DPO_ERROR_MEMORY;
    }
    return DPO_OK;
}

/* A list's length has to be another's: C takes one length for both. */
static int32_t same(call *c, size_t found, size_t expected, const char *name) {
    if (found == expected) return DPO_OK;
    char sentence[128];
    snprintf(sentence, sizeof sentence, "%s has %zu elements, expected %zu", name, found, expected);
    c->error = strdup(sentence);
    return DPO_ERROR_INVALID_ARGUMENT;
}

static int32_t run_loss(call *c) {
    size_t pairs = c->double_count[0];
    int32_t status = same(c, c->double_count[1], pairs, "policyRejected");
    if (!status && c->doubles[2]) status = same(c, c->double_count[2], pairs, "referenceChosen");
    if (!status && c->doubles[3]) status = same(c, c->double_count[3], pairs, "referenceRejected");
    if (!status && c->ids[0]) status = same(c, c->id_count[0], pairs, "chosenTokens");
    if (!status && c->ids[1]) status = same(c, c->id_count[1], pairs, "rejectedTokens");
    if (!status && c->doubles[4]) status = same(c, c->double_count[4], pairs, "weights");
    if (!status) status = make_room(c, 0, 0, 1);
    if (!status) status = make_room(c, 1, 5, pairs);
    if (status) return status;
    return dpo_loss_compute(as_struct(c, 0), pairs, c->doubles[0], c->doubles[1], c->doubles[2], c->doubles[3],
                            c->ids[0], c->ids[1], c->doubles[4], c->out[0], c->out[1], c->out[2], c->out[3], c->out[4],
                            c->out[5]);
}

static size_t sum(const size_t *counts, size_t count) {
    size_t total = 0;
    for (size_t i = 0; i < count; i++) total += counts[i];
    return total;
}

static int32_t run_ranked_loss(call *c) {
    size_t rows = c->size_count[0], total = sum(c->sizes[0], rows);
    int32_t status = same(c, c->double_count[0], total, "ranks");
    if (!status) status = same(c, c->double_count[1], total, "policy");
    if (!status && c->doubles[2]) status = same(c, c->double_count[2], total, "reference");
    if (!status && c->doubles[3]) status = same(c, c->double_count[3], rows, "weights");
    if (!status) status = make_room(c, 0, 0, 1);
    if (!status) status = make_room(c, 1, 1, rows);
    if (!status) status = make_room(c, 2, 3, total);
    if (status) return status;
    return dpo_loss_compute_ranked(c->number[0], rows, c->sizes[0], c->doubles[0], c->doubles[1], c->doubles[2],
                                   c->doubles[3], c->out[0], c->out[1], c->out[2], c->out[3]);
}

static int32_t run_policy_optimum(call *c) {
    size_t count = c->double_count[0];
    int32_t status = same(c, c->double_count[1], count, "rewards");
    if (!status) status = make_room(c, 0, 0, count);
    if (!status) status = make_room(c, 1, 1, 1);
    if (status) return status;
    return dpo_policy_optimum(as_struct(c, 0), count, c->doubles[0], c->doubles[1], c->out[0], c->out[1]);
}

static int32_t run_policy_rewards(call *c) {
    size_t count = c->double_count[0];
    int32_t status = same(c, c->double_count[1], count, "referenceLogps");
    if (!status) status = make_room(c, 0, 0, count);
    return status ? status : dpo_policy_rewards(as_struct(c, 0), count, c->doubles[0], c->doubles[1], c->out[0]);
}

static int32_t run_policy_divergence(call *c) {
    size_t count = c->double_count[0];
    int32_t status = same(c, c->double_count[1], count, "referenceLogps");
    if (!status) status = make_room(c, 0, 0, 1);
    return status ? status : dpo_policy_divergence(as_struct(c, 0), count, c->doubles[0], c->doubles[1], c->out[0]);
}

static int32_t run_bradley_terry(call *c) {
    size_t count = c->double_count[0];
    int32_t status = same(c, c->double_count[1], count, "secondRewards");
    if (!status) status = make_room(c, 0, 0, count);
    return status ? status : dpo_bradley_terry(count, c->doubles[0], c->doubles[1], c->out[0]);
}

static int32_t run_gae(call *c) {
    size_t total = sum(c->sizes[0], c->size_count[0]);
    int32_t status = same(c, c->double_count[0], total, "rewards");
    if (!status) status = same(c, c->double_count[1], total, "values");
    if (!status) status = make_room(c, 0, 1, total);
    if (status) return status;
    return dpo_gae(c->doubles[0], c->doubles[1], c->sizes[0], c->size_count[0], c->number[0], c->number[1], c->out[0],
                   c->out[1]);
}

static int32_t run_ppo_loss(call *c) {
    static const char *const names[] = {"logps", "oldLogps", "advantages", "values", "oldValues", "returns"};
    size_t tokens = c->float_count[0];
    int32_t status = DPO_OK;
    for (size_t i = 1; !status && i < 6; i++)
        if (i < 3 || c->floats[i]) status = same(c, c->float_count[i], tokens, names[i]);
    if (!status) status = make_room(c, 0, 0, 1);
    if (!status) status = make_room(c, 1, 1, tokens);
    if (!status) status = make_room(c, 2, 2, c->floats[3] ? tokens : 0);
    if (status) return status;
    return dpo_ppo_loss(as_struct(c, 0), tokens, c->floats[0], c->floats[1], c->floats[2], c->floats[3], c->floats[4],
                        c->floats[5], c->out[0], c->out[1], c->floats[3] ? c->out[2] : NULL);
}

static int32_t run_inspect(call *c) { return dpo_inspect(c->text[0], &c->json); }

static int32_t run_options_describe(call *c) { return dpo_options_describe(c->options[0], &c->json); }

static int32_t run_model_open(call *c) {
    c->release_made = release_model;
    return (c->whole[1] ? dpo_model_load : dpo_model_open)(c->text[0], c->text[1], (int32_t)c->whole[0],
                                                           (dpo_model **)&c->made);
}

static int32_t run_model_info(call *c) {
    c->model_info.struct_size = sizeof c->model_info;
    return dpo_model_get_info(c->pointers[0], &c->model_info);
}

static int32_t run_model_set_engine(call *c) { return dpo_model_set_engine(c->pointers[0], c->text[0]); }

static int32_t run_model_encode(call *c) {
    size_t room = c->text_size[0] + 8; /* a token has a byte at least; a few special ones come to it */
    for (int again = 0; again < 2; again++, room = c->out_id_count) {
        free(c->out_ids);
        if (!(c->out_ids = malloc((room + 1) * sizeof *c->out_ids))) return DPO_ERROR_MEMORY;
        int32_t status = dpo_model_encode(c->pointers[0], c->text[0], c->text_size[0], c->whole[0] != 0, c->out_ids,
                                          room, &c->out_id_count);
        if (status || c->out_id_count <= room) return status;
    }
    return DPO_ERROR_INTERNAL;
}

static int32_t run_model_decode(call *c) {
    return dpo_model_decode(c->pointers[0], c->ids[0], c->id_count[0], &c->json, &c->json_size);
}

static int32_t run_model_chat(call *c) {
    return dpo_model_apply_chat_template(c->pointers[0], c->text[0], c->whole[0] != 0, &c->json, &c->json_size);
}

#define TEXTS(slot) ((const char *const *)c->lists[slot].items)

static int32_t run_model_score(call *c) {
    size_t count = c->lists[0].count;
    int32_t status = same(c, c->lists[1].count, count, "completions");
    if (!status) status = make_room(c, 0, 0, count);
    if (status) return status;
    c->out_id_count = count;
    if (!(c->out_ids = calloc(count + 1, sizeof *c->out_ids))) return DPO_ERROR_MEMORY;
    return dpo_model_score_texts(c->pointers[0], TEXTS(0), TEXTS(1), count, c->out[0], c->out_ids);
}

/* The lengths have to add up to the ids that there are. */
static int32_t ids_match(call *c, size_t slot, const char *name) {
    size_t sum = 0;
    for (size_t i = 0; i < c->size_count[slot]; i++) {
        if (c->sizes[slot][i] > c->id_count[slot] - sum) return same(c, c->id_count[slot], c->id_count[slot] + 1, name);
        sum += c->sizes[slot][i];
    }
    return same(c, c->id_count[slot], sum, name);
}

static int32_t run_model_score_tokens(call *c) {
    size_t count = c->size_count[1];
    int32_t status = same(c, c->size_count[2], count, "completionPrompts");
    if (!status) status = ids_match(c, 0, "prompts");
    if (!status) status = ids_match(c, 1, "completions");
    if (!status) status = make_room(c, 0, 0, count);
    if (status) return status;
    c->out_float_count = c->id_count[1];
    if (!(c->out_floats = calloc(c->out_float_count + 1, sizeof *c->out_floats))) return DPO_ERROR_MEMORY;
    return dpo_model_score_tokens(c->pointers[0], c->ids[0], c->sizes[0], c->size_count[0], c->ids[1], c->sizes[1],
                                  c->sizes[2], count, c->out_floats, c->out[0]);
}

static int32_t run_model_reward(call *c) {
    size_t count = c->lists[0].count;
    int32_t status = same(c, c->lists[1].count, count, "completions");
    if (!status) status = make_room(c, 0, 0, count);
    return status ? status : dpo_model_reward_texts(c->pointers[0], TEXTS(0), TEXTS(1), count, c->out[0]);
}

static int32_t run_model_reward_tokens(call *c) {
    size_t count = c->size_count[1];
    int32_t status = same(c, c->size_count[2], count, "completionPrompts");
    if (!status) status = ids_match(c, 0, "prompts");
    if (!status) status = ids_match(c, 1, "completions");
    if (!status) status = make_room(c, 0, 0, count);
    if (status) return status;
    return dpo_model_reward_tokens(c->pointers[0], c->ids[0], c->sizes[0], c->size_count[0], c->ids[1], c->sizes[1],
                                   c->sizes[2], count, c->out[0]);
}

static int32_t run_model_generate(call *c) {
    c->release_made = release_completions;
    return dpo_model_generate(c->pointers[0], TEXTS(0), c->lists[0].count, as_struct(c, 0), c->asks ? on_token : NULL,
                              c, (dpo_completions **)&c->made);
}

static int32_t run_model_evaluate(call *c) {
    return dpo_model_evaluate(c->pointers[0], c->pointers[1], c->text[0], as_struct(c, 0),
                              c->whole[0] ? as_struct(c, 1) : NULL, c->pointers[2], c->pointers[3], &c->json);
}

static int32_t run_dataset_open(call *c) {
    c->release_made = release_dataset;
    return dpo_dataset_open(c->pointers[0], TEXTS(0), c->lists[0].count, as_struct(c, 0), c->asks ? on_reading : NULL,
                            c, (dpo_dataset **)&c->made);
}

static int32_t run_dataset_rows(call *c) {
    c->release_made = release_dataset;
    return dpo_dataset_from_jsonl(c->pointers[0], c->text[0], c->text_size[0], as_struct(c, 0),
                                  (dpo_dataset **)&c->made);
}

static int32_t run_dataset_tokens(call *c) {
    c->release_made = release_dataset;
    size_t count = c->size_count[0];
    int32_t status = same(c, c->size_count[1], count, "chosen");
    if (!status) status = same(c, c->size_count[2], count, "rejected");
    if (!status) status = ids_match(c, 0, "prompts");
    if (!status) status = ids_match(c, 1, "chosen");
    if (!status) status = ids_match(c, 2, "rejected");
    if (status) return status;
    return dpo_dataset_from_tokens(c->ids[0], c->sizes[0], c->ids[1], c->sizes[1], c->ids[2], c->sizes[2], count,
                                   as_struct(c, 0), (dpo_dataset **)&c->made);
}

static int32_t run_dataset_info(call *c) {
    c->dataset_info.struct_size = sizeof c->dataset_info;
    return dpo_dataset_get_info(c->pointers[0], &c->dataset_info);
}

static int32_t run_classifier_open(call *c) {
    c->release_made = release_classifier;
    return dpo_classifier_open(c->text[0], (dpo_classifier **)&c->made);
}

static int32_t run_classifier_train(call *c) {
    c->release_made = release_classifier;
    int32_t status = same(c, c->id_count[0], c->lists[0].count, "labels");
    if (status) return status;
    return dpo_classifier_train(TEXTS(0), c->ids[0], c->lists[0].count, c->number[0], (int32_t)c->whole[0],
                                (dpo_classifier **)&c->made);
}

static int32_t run_classifier_save(call *c) { return dpo_classifier_save(c->pointers[0], c->text[0]); }

static int32_t run_classifier_score(call *c) {
    int32_t status = make_room(c, 0, 0, c->lists[0].count);
    return status ? status : dpo_classifier_score(c->pointers[0], TEXTS(0), c->lists[0].count, c->out[0]);
}

static int32_t run_communicator_mpi(call *c) {
    c->release_made = release_communicator;
    return dpo_communicator_open_mpi(c->text[0], c->number[0], (dpo_communicator **)&c->made);
}

static int32_t run_communicator_ranks(call *c) {
    int32_t rank = 0, size = 0;
    int32_t status = dpo_communicator_ranks(c->pointers[0], &rank, &size);
    if (!status) status = make_room(c, 0, 1, 1);
    if (status) return status;
    c->out[0][0] = rank;
    c->out[1][0] = size;
    return DPO_OK;
}

static int32_t run_communicator_abort(call *c) { return dpo_communicator_abort(c->pointers[0], (int32_t)c->whole[0]); }

static int32_t run_trainer_create(call *c) {
    c->release_made = release_trainer;
    void *const *p = c->pointers;
    dpo_trainer **made = (dpo_trainer **)&c->made;
    return p[4] ? dpo_trainer_create_distributed(p[4], p[0], p[1], p[2], p[3], as_struct(c, 0), made)
                : dpo_trainer_create(p[0], p[1], p[2], p[3], as_struct(c, 0), made);
}

static int32_t run_trainer_plan(call *c) { return dpo_trainer_plan(c->pointers[0], &c->json); }

static int32_t run_trainer_metrics(call *c) { return dpo_trainer_last_metrics(c->pointers[0], &c->json); }

/* A step, an evaluation or the end of a step in parts, and all that it measured. */
static int32_t measured(call *c, int32_t (*function)(dpo_trainer *, dpo_metrics *)) {
    int32_t status = function(c->pointers[0], NULL);
    return status ? status : run_trainer_metrics(c);
}

static int32_t evaluate(dpo_trainer *trainer, dpo_metrics *metrics) {
    dpo_metrics own = {.struct_size = sizeof own};
    return dpo_trainer_evaluate(trainer, metrics ? metrics : &own);
}

static int32_t run_trainer_evaluate_data(call *c) {
    dpo_metrics own = {.struct_size = sizeof own};
    int32_t status = dpo_trainer_evaluate_data(c->pointers[0], c->pointers[1], &own);
    return status ? status : run_trainer_metrics(c);
}

static int32_t run_trainer_score_data(call *c) {
    c->dataset_info.struct_size = sizeof c->dataset_info;
    int32_t status = dpo_dataset_get_info(c->pointers[1], &c->dataset_info);
    if (!status) status = make_room(c, 0, 3, (size_t)c->dataset_info.rows);
    return status ? status
                  : dpo_trainer_score_data(c->pointers[0], c->pointers[1], c->out_count[0], c->out[0], c->out[1],
                                           c->out[2], c->out[3]);
}

static int32_t run_trainer_step(call *c) { return measured(c, dpo_trainer_step); }
static int32_t run_trainer_evaluate(call *c) { return measured(c, evaluate); }
static int32_t run_trainer_apply(call *c) { return measured(c, dpo_trainer_apply); }

static int32_t run_trainer_forward(call *c) {
    int32_t status = make_room(c, 0, 3, c->size_count[0]);
    return status ? status
                  : dpo_trainer_forward(c->pointers[0], c->sizes[0], c->size_count[0], c->out[0], c->out[1], c->out[2],
                                        c->out[3]);
}

static int32_t run_trainer_backward(call *c) {
    int32_t status = same(c, c->double_count[1], c->double_count[0], "gradientRejected");
    return status ? status : dpo_trainer_backward(c->pointers[0], c->doubles[0], c->doubles[1], c->double_count[0]);
}

static int32_t run_trainer_token_logps(call *c) {
    int32_t status = dpo_trainer_token_count(c->pointers[0], &c->out_float_count);
    if (status) return status;
    if (!(c->out_floats = calloc(c->out_float_count + 1, sizeof *c->out_floats))) return DPO_ERROR_MEMORY;
    return dpo_trainer_token_logps(c->pointers[0], c->out_floats, c->out_float_count);
}

static int32_t run_trainer_backward_tokens(call *c) {
    return dpo_trainer_backward_tokens(c->pointers[0], c->floats[0], c->float_count[0]);
}

static int32_t run_trainer_parameters(call *c) {
    size_t count = 0;
    int32_t status = dpo_trainer_parameter_count(c->pointers[0], &count);
    c->out_whole = count;
    return status;
}

/* Copies of the values, or with 1 of the gradients: JavaScript must not see memory that a step writes to. */
static int32_t run_trainer_values(call *c) {
    float *arrays[2] = {NULL, NULL};
    int32_t status = dpo_trainer_parameters(c->pointers[0], &arrays[0], &arrays[1], &c->out_float_count);
    if (status) return status;
    if (!(c->out_floats = malloc((c->out_float_count + 1) * sizeof(float)))) return DPO_ERROR_MEMORY;
    memcpy(c->out_floats, arrays[c->whole[0] != 0], c->out_float_count * sizeof(float));
    return DPO_OK;
}

static int32_t run_trainer_set_values(call *c) {
    float *values = NULL, *gradients = NULL;
    size_t count = 0;
    int32_t status = dpo_trainer_parameters(c->pointers[0], &values, &gradients, &count);
    if (!status) status = same(c, c->float_count[0], count, "values");
    if (!status) memcpy(values, c->floats[0], count * sizeof(float));
    return status;
}

static int32_t run_trainer_run(call *c) {
    return dpo_trainer_run(c->pointers[0], c->text[0], c->text[1], c->asks ? on_event : NULL, c);
}

static int32_t run_trainer_save(call *c) { return dpo_trainer_save(c->pointers[0], c->text[0]); }
static int32_t run_trainer_load(call *c) { return dpo_trainer_load(c->pointers[0], c->text[0]); }
static int32_t run_trainer_save_model(call *c) { return dpo_trainer_save_model(c->pointers[0], c->text[0]); }

/* The trainer's handle owns the function until another one comes, or the handle goes. */
static void keep(call *c, kept **place) {
    drop_kept(*place);
    *place = c->keeps;
    c->keeps = NULL;
}

static int32_t run_trainer_set_reward(call *c) {
    int32_t status = dpo_trainer_set_reward(c->pointers[0], on_answers, c->keeps);
    if (!status) keep(c, &c->handles[0]->reward);
    return status;
}

static int32_t run_trainer_set_reduce(call *c) {
    int32_t status = dpo_trainer_set_reduce(c->pointers[0], c->keeps ? on_gradients : NULL, c->keeps);
    if (!status) keep(c, &c->handles[0]->reduce);
    return status;
}

static int32_t run_trainer_set_reward_model(call *c) {
    return dpo_trainer_set_reward_model(c->pointers[0], c->pointers[1]);
}

static int32_t run_trainer_set_reward_classifier(call *c) {
    return dpo_trainer_set_reward_classifier(c->pointers[0], c->pointers[1], c->whole[0] != 0);
}

static int32_t run_tokenizer_train(call *c) {
    return dpo_tokenizer_train(TEXTS(0), c->lists[0].count, as_struct(c, 0), c->text[0]);
}

static int32_t run_model_create(call *c) { return dpo_model_create(as_struct(c, 0), c->text[0]); }

static int32_t run_export(call *c) { return dpo_export(c->text[0], (int32_t)c->whole[0], c->text[1], as_struct(c, 0)); }

static int32_t run_export_check(call *c) {
    return dpo_export_check(c->text[0], c->text[1], c->text[2], c->text[3], as_struct(c, 0), &c->json);
}

static int32_t run_feedback_open(call *c) {
    c->release_made = release_feedback;
    return dpo_feedback_open(c->text[0], (dpo_feedback **)&c->made);
}

static int32_t run_feedback_thumb(call *c) {
    return dpo_feedback_record_thumb(c->pointers[0], c->text[0], c->text[1], c->whole[0] != 0, c->number[0],
                                     &c->out_whole);
}

static int32_t run_feedback_choice(call *c) {
    return dpo_feedback_record_choice(c->pointers[0], c->text[0], c->text[1], c->text[2], c->number[0], &c->out_whole);
}

static int32_t run_feedback_row(call *c) { return dpo_feedback_record_json(c->pointers[0], c->text[0], &c->out_whole); }

static int32_t run_feedback_count(call *c) { return dpo_feedback_count(c->pointers[0], &c->out_whole); }

static int32_t run_feedback_status(call *c) { return dpo_feedback_status(c->pointers[0], c->text[0], &c->json); }

static int32_t run_feedback_train(call *c) {
    c->result.struct_size = sizeof c->result;
    return dpo_feedback_train(c->pointers[0], c->pointers[1], c->text[0], as_struct(c, 0), c->asks ? on_event : NULL, c,
                              &c->result);
}

/* A cancel that comes before the call has its thread, or when it is over, must not reach the library: it would stop the
 * next one. */
static pthread_mutex_t stop_lock = PTHREAD_MUTEX_INITIALIZER;

static int32_t cancel(call *c, void (*function)(void *)) {
    handle *owner = c->handles[0];
    pthread_mutex_lock(&stop_lock);
    owner->stopped = 1;
    if (owner->at_work) function(owner->pointer);
    pthread_mutex_unlock(&stop_lock);
    return DPO_OK;
}

static void cancel_model(void *pointer) { dpo_model_cancel(pointer); }
static void cancel_trainer(void *pointer) { dpo_trainer_cancel(pointer); }
static void cancel_feedback(void *pointer) { dpo_feedback_cancel(pointer); }

static int32_t run_model_cancel(call *c) { return cancel(c, cancel_model); }
static int32_t run_trainer_cancel(call *c) { return cancel(c, cancel_trainer); }
static int32_t run_feedback_cancel(call *c) { return cancel(c, cancel_feedback); }

/* Releasing again does nothing: libdpo knows what it has released. */
static int32_t run_release(call *c) {
    c->handles[0]->release(c->handles[0]->pointer);
    return DPO_OK;
}

static const entry entries[] = {
    {"release", "h", run_release, give_nothing, NOW, ""},
    {"loss", "DDDDIIDo", run_loss, give_named, NOW,
     "=loss losses gradientChosen gradientRejected rewardChosen rewardRejected"},
    {"rankedLoss", "dZDDDD", run_ranked_loss, give_named, NOW, "=loss losses gradients rewards"},
    {"policyOptimum", "DDo", run_policy_optimum, give_named, NOW, "policyLogps =normalizer"},
    {"policyRewards", "DDo", run_policy_rewards, give_doubles, NOW, ""},
    {"policyDivergence", "DDo", run_policy_divergence, give_number, NOW, ""},
    {"bradleyTerry", "DD", run_bradley_terry, give_doubles, NOW, ""},
    {"gae", "DDZdd", run_gae, give_named, NOW, "advantages returns"},
    {"ppoLoss", "FFFFFFo", run_ppo_loss, give_named, NOW, "=loss gradientLogps gradientValues"},
    {"inspect", "s", run_inspect, give_json, LATER, ""},
    {"describeOptions", "o", run_options_describe, give_json, NOW, ""},
    {"modelOpen", "ssii", run_model_open, give_handle, LATER, ""},
    {"modelInfo", "h", run_model_info, give_model_info, NOW, ""},
    {"modelSetEngine", "hs", run_model_set_engine, give_nothing, NOW, ""},
    {"modelCancel", "h", run_model_cancel, give_nothing, NOW, ""},
    {"modelEncode", "hti", run_model_encode, give_ids, NOW, ""},
    {"modelDecode", "hI", run_model_decode, give_text, NOW, ""},
    {"modelApplyChatTemplate", "hsi", run_model_chat, give_text, NOW, ""},
    {"modelScore", "hll", run_model_score, give_scores, STOPPABLE, ""},
    {"modelScoreTokens", "hIZIZZ", run_model_score_tokens, give_scores, STOPPABLE, ""},
    {"modelReward", "hll", run_model_reward, give_doubles, STOPPABLE, ""},
    {"modelRewardTokens", "hIZIZZ", run_model_reward_tokens, give_doubles, STOPPABLE, ""},
    {"modelGenerate", "hlof", run_model_generate, give_completions, STOPPABLE, ""},
    {"modelEvaluate", "hhhhsooi", run_model_evaluate, give_json, STOPPABLE, ""},
    {"datasetOpen", "hlof", run_dataset_open, give_handle, LATER, ""},
    {"datasetFromJsonl", "hto", run_dataset_rows, give_handle, LATER, ""},
    {"datasetFromTokens", "IZIZIZo", run_dataset_tokens, give_handle, LATER, ""},
    {"datasetInfo", "h", run_dataset_info, give_dataset_info, NOW, ""},
    {"classifierOpen", "s", run_classifier_open, give_handle, LATER, ""},
    {"classifierTrain", "lIdi", run_classifier_train, give_handle, LATER, ""},
    {"classifierSave", "hs", run_classifier_save, give_nothing, LATER, ""},
    {"classifierScore", "hl", run_classifier_score, give_doubles, LATER, ""},
    {"communicatorMpi", "sd", run_communicator_mpi, give_handle, LATER, ""},
    {"communicatorRanks", "h", run_communicator_ranks, give_named, NOW, "=rank =size"},
    {"communicatorAbort", "hi", run_communicator_abort, give_nothing, NOW, ""},
    {"trainerCreate", "hhhhho", run_trainer_create, give_handle, LATER, ""},
    {"trainerPlan", "h", run_trainer_plan, give_json, NOW, ""},
    {"trainerLastMetrics", "h", run_trainer_metrics, give_json, NOW, ""},
    {"trainerSetReward", "hr", run_trainer_set_reward, give_nothing, NOW, ""},
    {"trainerSetReduce", "hr", run_trainer_set_reduce, give_nothing, NOW, ""},
    {"trainerSetRewardModel", "hh", run_trainer_set_reward_model, give_nothing, NOW, ""},
    {"trainerSetRewardClassifier", "hhi", run_trainer_set_reward_classifier, give_nothing, NOW, ""},
    {"trainerStep", "h", run_trainer_step, give_json, STOPPABLE, ""},
    {"trainerEvaluate", "h", run_trainer_evaluate, give_json, STOPPABLE, ""},
    {"trainerEvaluateData", "hh", run_trainer_evaluate_data, give_json, STOPPABLE, ""},
    {"trainerScoreData", "hh", run_trainer_score_data, give_named, STOPPABLE,
     "policyChosen policyRejected referenceChosen referenceRejected"},
    {"trainerForward", "hZ", run_trainer_forward, give_named, STOPPABLE,
     "policyChosen policyRejected referenceChosen referenceRejected"},
    {"trainerTokenLogps", "h", run_trainer_token_logps, give_floats, NOW, ""},
    {"trainerBackwardTokens", "hF", run_trainer_backward_tokens, give_nothing, LATER, ""},
    {"trainerParameters", "h", run_trainer_parameters, give_parameters, NOW, ""},
    {"trainerValues", "hi", run_trainer_values, give_floats, NOW, ""},
    {"trainerSetValues", "hF", run_trainer_set_values, give_nothing, NOW, ""},
    {"trainerBackward", "hDD", run_trainer_backward, give_nothing, LATER, ""},
    {"trainerApply", "h", run_trainer_apply, give_json, LATER, ""},
    {"trainerRun", "hssf", run_trainer_run, give_nothing, STOPPABLE, ""},
    {"trainerCancel", "h", run_trainer_cancel, give_nothing, NOW, ""},
    {"trainerSave", "hs", run_trainer_save, give_nothing, LATER, ""},
    {"trainerLoad", "hs", run_trainer_load, give_nothing, LATER, ""},
    {"trainerSaveModel", "hs", run_trainer_save_model, give_nothing, LATER, ""},
    {"trainTokenizer", "lso", run_tokenizer_train, give_nothing, LATER, ""},
    {"createModel", "so", run_model_create, give_nothing, LATER, ""},
    {"exportModel", "ssio", run_export, give_nothing, LATER, ""},
    {"checkExport", "sssso", run_export_check, give_json, LATER, ""},
    {"feedbackOpen", "s", run_feedback_open, give_handle, LATER, ""},
    {"feedbackRecordThumb", "hssid", run_feedback_thumb, give_whole, LATER, ""},
    {"feedbackRecordChoice", "hsssd", run_feedback_choice, give_whole, LATER, ""},
    {"feedbackRecord", "hs", run_feedback_row, give_whole, LATER, ""},
    {"feedbackCount", "h", run_feedback_count, give_whole, LATER, ""},
    {"feedbackStatus", "hs", run_feedback_status, give_json, LATER, ""},
    {"feedbackTrain", "hhsof", run_feedback_train, give_feedback_result, STOPPABLE, ""},
    {"feedbackCancel", "h", run_feedback_cancel, give_nothing, NOW, ""},
};

/* ------------------------------------------------------------------------------------------------------------ calls */

static void drop_call(napi_env env, call *c) {
    if (c->asks) napi_release_threadsafe_function(c->asks, napi_tsfn_release);
    drop_kept(c->keeps);
    if (c->arguments) napi_delete_reference(env, c->arguments);
    if (c->work) napi_delete_async_work(env, c->work);
    if (c->made) c->release_made(c->made);
    dpo_string_free(c->json);
    free(c->error);
    free(c->out_ids);
    free(c->out_floats);
    for (size_t i = 0; i < SLOTS; i++) {
        for (size_t item = 0; c->lists[i].items && item < c->lists[i].count; item++) free(c->lists[i].items[item]);
        free(c->lists[i].items);
        free(c->text[i]);
        free(c->ids[i]);
        free(c->sizes[i]);
        free(c->doubles[i]);
        free(c->floats[i]);
        free(c->out[i]);
        dpo_options_release(c->options[i]);
    }
    free(c);
}

/* Fills the slots; 0 after throwing. */
static int take_arguments(napi_env env, call *c, const napi_value *values) {
    size_t handles = 0, lines = 0, lists = 0, wholes = 0, numbers = 0, options = 0, ids = 0, sizes = 0, doubles = 0,
           floats = 0;
    for (const char *letter = c->entry->takes; *letter; letter++) {
        napi_value value = *values++;
        int empty = is_null(env, value);
        switch (*letter) {
        case 'h': {
            void *data = NULL;
            if (!empty && napi_get_value_external(env, value, &data) != napi_ok)
                return napi_throw_type_error(env, BAD_ARGUMENT, "expected a handle"), 0;
            c->handles[handles] = data;
            c->pointers[handles++] = data ? ((handle *)data)->pointer : NULL;
            break;
        }
        case 's':
        case 't': /* of any characters, NUL among them */
            if (!empty && !(c->text[lines] = take_text(env, value, &c->text_size[lines], *letter == 't'))) return 0;
            lines++;
            break;
        case 'l':
            if (!take_texts(env, value, &c->lists[lists++])) return 0;
            break;
        case 'i': {
            bool flag = false;
            if (napi_get_value_bool(env, value, &flag) == napi_ok) c->whole[wholes++] = flag;
            else if (napi_get_value_int64(env, value, &c->whole[wholes++]) != napi_ok)
                return napi_throw_type_error(env, BAD_ARGUMENT, "expected a number"), 0;
            break;
        }
        case 'd':
            if (napi_get_value_double(env, value, &c->number[numbers++]) != napi_ok)
                return napi_throw_type_error(env, BAD_ARGUMENT, "expected a number"), 0;
            break;
        case 'o': {
            char *kind = take_text(env, value, NULL, 0);
            napi_value json = *values++;
            if (!kind) return 0;
            int32_t status = dpo_options_create(kind, &c->options[options]);
            free(kind);
            if (!status && !is_null(env, json)) {
                char *text = take_text(env, json, NULL, 0);
                if (!text) return 0;
                status = dpo_options_set_json(c->options[options], text);
                free(text);
            }
            if (status) return napi_throw(env, make_error(env, status, dpo_last_error())), 0;
            options++;
            break;
        }
        case 'I':
            if (!empty && !(c->ids[ids] = take_array(env, value, napi_int32_array, sizeof(int32_t), "an Int32Array",
                                                     &c->id_count[ids])))
                return 0;
            ids++;
            break;
        case 'Z':
            if (!take_sizes(env, value, &c->sizes[sizes], &c->size_count[sizes])) return 0;
            sizes++;
            break;
        case 'D':
            if (!empty && !(c->doubles[doubles] = take_array(env, value, napi_float64_array, sizeof(double),
                                                             "a Float64Array", &c->double_count[doubles])))
                return 0;
            doubles++;
            break;
        case 'f':
            if (!empty && !(c->asks = make_asker(env, value, NULL))) return 0;
            break;
        case 'r':
            if (empty) break;
            if (!(c->keeps = calloc(1, sizeof *c->keeps))) return napi_throw_error(env, NULL, "out of memory"), 0;
            if (!(c->keeps->asks = make_asker(env, value, c->keeps))) return 0;
            napi_unref_threadsafe_function(env, c->keeps->asks); /* the program may end without it */
            c->keeps->has_trainer = c->keeps->is_there = 1;
            break;
        case 'F':
            if (!empty && !(c->floats[floats] = take_array(env, value, napi_float32_array, sizeof(float),
                                                           "a Float32Array", &c->float_count[floats])))
                return 0;
            floats++;
            break;
        default: break;
        }
    }
    return 1;
}

/* The sentence is the thread's: it is taken here, on the thread that ran. */
static void run(call *c) {
    c->status = c->entry->run(c);
    if (c->status && !c->error) c->error = strdup(c->status == DPO_ERROR_MEMORY ? "out of memory" : dpo_last_error());
}

/* Whether the call may begin, or whether it has been stopped already. */
static int begin(handle *owner) {
    pthread_mutex_lock(&stop_lock);
    int begins = !owner->stopped;
    owner->at_work += begins;
    pthread_mutex_unlock(&stop_lock);
    return begins;
}

static void run_later(napi_env env, void *data) {
    (void)env;
    call *c = data;
    handle *owner = c->entry->when == STOPPABLE ? c->handles[0] : NULL;
    if (owner && !begin(owner)) {
        c->status = DPO_ERROR_CANCELLED;
        c->error = strdup("stopped before it began");
        return;
    }
    run(c);
    if (!owner) return;
    pthread_mutex_lock(&stop_lock);
    owner->at_work--;
    pthread_mutex_unlock(&stop_lock);
}

static void finish_later(napi_env env, napi_status worked, void *data) {
    call *c = data;
    napi_handle_scope scope;
    napi_open_handle_scope(env, &scope);
    if (c->entry->when == STOPPABLE && c->handles[0]) {
        pthread_mutex_lock(&stop_lock);
        c->handles[0]->stopped = 0;
        pthread_mutex_unlock(&stop_lock);
    }
    if (worked != napi_ok) {
        c->status = DPO_ERROR_CANCELLED;
        c->error = strdup("Node ended before the call began");
    }
    napi_value value = c->status ? make_error(env, c->status, c->error) : c->entry->give(env, c);
    if (c->status) napi_reject_deferred(env, c->deferred, value);
    else napi_resolve_deferred(env, c->deferred, value);
    drop_call(env, c);
    napi_close_handle_scope(env, scope);
}

static napi_value start(napi_env env, napi_callback_info info) {
    enum { MOST = 12 };
    napi_value values[MOST], result = NULL;
    size_t count = MOST;
    void *data = NULL;
    napi_get_cb_info(env, info, &count, values, NULL, &data);
    call *c = calloc(1, sizeof *c);
    if (!c) return napi_throw_error(env, NULL, "out of memory"), NULL;
    c->entry = data;
    if (!take_arguments(env, c, values)) {
        drop_call(env, c);
        return NULL;
    }
    if (c->entry->when == NOW) {
        run(c);
        if (c->status) napi_throw(env, make_error(env, c->status, c->error));
        else result = c->entry->give(env, c);
        drop_call(env, c);
        return result;
    }
    napi_value kept = NULL;
    napi_create_array(env, &kept);
    for (size_t i = 0; i < count; i++) napi_set_element(env, kept, (uint32_t)i, values[i]);
    napi_create_reference(env, kept, 1, &c->arguments);
    napi_create_promise(env, &c->deferred, &result);
    napi_create_async_work(env, NULL, make_text(env, "libdpo"), run_later, finish_later, c, &c->work);
    napi_queue_async_work(env, c->work);
    return result;
}

NAPI_MODULE_INIT() {
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        napi_value function = NULL;
        napi_create_function(env, entries[i].name, NAPI_AUTO_LENGTH, start, (void *)&entries[i], &function);
        set(env, exports, entries[i].name, function);
    }
    napi_value function = NULL;
    napi_create_function(env, "answer", NAPI_AUTO_LENGTH, answer_question, NULL, &function);
    set(env, exports, "answer", function);
    napi_create_function(env, "close", NAPI_AUTO_LENGTH, close_all, NULL, &function);
    set(env, exports, "close", function);
    set(env, exports, "version", make_text(env, dpo_version()));
    return exports;
}
