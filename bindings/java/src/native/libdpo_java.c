/* The native methods of libdpo.Native: dpo.h with Java's arrays. A failed call throws DpoException.
 *
 * Callbacks come on the thread that called. What the host's function throws is kept by the Java object (Callback), so
 * that no exception is pending while C goes on. */
#define _POSIX_C_SOURCE 200809L
#include <dpo.h>
#include <jni.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NATIVE(type, name) JNIEXPORT type JNICALL Java_libdpo_Native_##name
#define ARGUMENTS JNIEnv *env, jclass class

static jclass native_class, bytes_class, objects_class;
static jfieldID pointer_field;
static jmethodID make_failure, make_completion, make_model_info, make_dataset_info, make_parameter;
static jmethodID call_event, call_token, call_answers, call_gradients, call_reading;
static jmethodID call_all_gather, call_all_to_all, call_abort;
static JavaVM *virtual_machine;

JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM *machine, void *reserved) {
    (void)reserved;
    JNIEnv *env = NULL;
    if ((*machine)->GetEnv(machine, (void **)&env, JNI_VERSION_10) != JNI_OK) return JNI_ERR;
    jclass native = (*env)->FindClass(env, "libdpo/Native"), bytes = (*env)->FindClass(env, "[B");
    jclass objects = (*env)->FindClass(env, "[Ljava/lang/Object;"), handle = (*env)->FindClass(env, "libdpo/Handle");
    jclass callback = (*env)->FindClass(env, "libdpo/Callback"), engine = (*env)->FindClass(env, "libdpo/Engine");
    if (!native || !bytes || !objects || !handle || !callback || !engine) return JNI_ERR;
    virtual_machine = machine;
    native_class = (*env)->NewGlobalRef(env, native);
    bytes_class = (*env)->NewGlobalRef(env, bytes);
    objects_class = (*env)->NewGlobalRef(env, objects);
    pointer_field = (*env)->GetFieldID(env, handle, "pointer", "J");
    make_failure = (*env)->GetStaticMethodID(env, native, "failure", "(I[B[B)Llibdpo/DpoException;");
    make_completion = (*env)->GetStaticMethodID(env, native, "completion", "([B[IZ)Llibdpo/Completion;");
    make_model_info = (*env)->GetStaticMethodID(env, native, "modelInfo", "([J[B[B)Llibdpo/ModelInfo;");
    make_dataset_info = (*env)->GetStaticMethodID(env, native, "datasetInfo", "([JD)Llibdpo/DatasetInfo;");
    make_parameter = (*env)->GetStaticMethodID(env, native, "parameter", "([BJJ[J)Llibdpo/Parameter;");
    call_event = (*env)->GetMethodID(env, callback, "event", "(I[BJJ[D[B)Z");
    call_token = (*env)->GetMethodID(env, callback, "token", "(JJI[B)Z");
    call_answers = (*env)->GetMethodID(env, callback, "answers", "([[B[[B[I[I[D)Z");
    call_gradients = (*env)->GetMethodID(env, callback, "gradients", "([F)Z");
    call_reading = (*env)->GetMethodID(env, callback, "reading", "([BJJJ)Z");
    call_all_gather = (*env)->GetMethodID(env, engine, "allGather", "(Ljava/nio/ByteBuffer;Ljava/nio/ByteBuffer;[I)[B");
    call_all_to_all =
        (*env)->GetMethodID(env, engine, "allToAll", "(Ljava/nio/ByteBuffer;[ILjava/nio/ByteBuffer;[I)[B");
    call_abort = (*env)->GetMethodID(env, engine, "abort", "(I)V");
    return (*env)->ExceptionCheck(env) ? JNI_ERR : JNI_VERSION_10;
}

/* --------------------------------------------------------------------------------------------------------- one call */

/* What a call takes from Java, and gives back when it ends. */
typedef struct call {
    JNIEnv *env;
    int32_t status; /* what went wrong before the call, and its sentence */
    char *sentence;
    void **kept;
    size_t kept_count;
    dpo_options *options[2];
} call;

static void fail(call *c, int32_t status, const char *sentence) {
    if (c->status) return;
    c->status = status;
    c->sentence = strdup(sentence);
}

static void *keep(call *c, size_t size) {
    void **grown = realloc(c->kept, (c->kept_count + 1) * sizeof *grown);
    void *memory = grown ? calloc(1, size + 1) : NULL;
    if (grown) c->kept = grown;
    if (memory) c->kept[c->kept_count++] = memory;
    else fail(c, DPO_ERROR_MEMORY, "out of memory");
    return memory;
}

static jbyteArray new_bytes(JNIEnv *env, const char *text, size_t size) {
    if (!text) return NULL;
    jbyteArray bytes = (*env)->NewByteArray(env, (jsize)size);
    if (bytes) (*env)->SetByteArrayRegion(env, bytes, 0, (jsize)size, (const jbyte *)text);
    return bytes;
}

static jbyteArray new_text(JNIEnv *env, const char *text) { return new_bytes(env, text, text ? strlen(text) : 0); }

/* Frees what the call took; throws unless all went well. */
static void end(call *c, int32_t status) {
    if (c->status || status) {
        const char *sentence = c->status ? c->sentence : dpo_last_error();
        JNIEnv *env = c->env;
        if (c->status) status = c->status;
        if (!(*env)->ExceptionCheck(env)) {
            jbyteArray name = new_text(env, dpo_status_name(status)), text = new_text(env, sentence ? sentence : "");
            jobject error = (*env)->CallStaticObjectMethod(env, native_class, make_failure, status, name, text);
            if (!(*env)->ExceptionCheck(env)) (*env)->Throw(env, error);
        }
    }
    for (size_t i = 0; i < c->kept_count; i++) free(c->kept[i]);
    free(c->kept);
    free(c->sentence);
    dpo_options_release(c->options[0]);
    dpo_options_release(c->options[1]);
}

static void *handle(call *c, jobject object) {
    return object ? (void *)(intptr_t)(*c->env)->GetLongField(c->env, object, pointer_field) : NULL;
}

static size_t length(call *c, jarray array) { return array ? (size_t)(*c->env)->GetArrayLength(c->env, array) : 0; }

/* A copy that ends in NUL; NULL for null. */
static char *text(call *c, jbyteArray bytes) {
    size_t size = length(c, bytes);
    char *copy = bytes ? keep(c, size) : NULL;
    if (copy) (*c->env)->GetByteArrayRegion(c->env, bytes, 0, (jsize)size, (jbyte *)copy);
    return copy;
}

static const char *const *texts(call *c, jobjectArray array) {
    size_t count = length(c, array);
    char **list = keep(c, count * sizeof *list);
    for (size_t i = 0; list && i < count; i++) {
        jbyteArray item = (*c->env)->GetObjectArrayElement(c->env, array, (jsize)i);
        list[i] = text(c, item);
        (*c->env)->DeleteLocalRef(c->env, item);
    }
    return (const char *const *)list;
}

static int32_t *ints(call *c, jintArray array) {
    int32_t *copy = array ? keep(c, length(c, array) * sizeof *copy) : NULL;
    if (copy) (*c->env)->GetIntArrayRegion(c->env, array, 0, (jsize)length(c, array), (jint *)copy);
    return copy;
}

static size_t *sizes(call *c, jintArray array) {
    size_t count = length(c, array), *out = keep(c, count * sizeof *out);
    const int32_t *numbers = ints(c, array);
    for (size_t i = 0; out && numbers && i < count; i++) {
        if (numbers[i] < 0) fail(c, DPO_ERROR_INVALID_ARGUMENT, "an index is less than 0");
        out[i] = (size_t)(uint32_t)numbers[i];
    }
    return out;
}

static double *doubles(call *c, jdoubleArray array) {
    double *copy = array ? keep(c, length(c, array) * sizeof *copy) : NULL;
    if (copy) (*c->env)->GetDoubleArrayRegion(c->env, array, 0, (jsize)length(c, array), copy);
    return copy;
}

static float *floats(call *c, jfloatArray array) {
    float *copy = array ? keep(c, length(c, array) * sizeof *copy) : NULL;
    if (copy) (*c->env)->GetFloatArrayRegion(c->env, array, 0, (jsize)length(c, array), copy);
    return copy;
}

static size_t sum(const size_t *counts, size_t count) {
    size_t total = 0;
    for (size_t i = 0; counts && i < count; i++) total += counts[i];
    return total;
}

/* C takes one length for arrays that belong together. */
static void same(call *c, jarray array, size_t expected, const char *sentence) {
    if (array && length(c, array) != expected) fail(c, DPO_ERROR_INVALID_ARGUMENT, sentence);
}

/* Lists of token ids, one after the other. */
static int32_t *lists(call *c, jobjectArray array, size_t **lengths) {
    JNIEnv *env = c->env;
    size_t count = length(c, array), total = 0;
    *lengths = keep(c, count * sizeof **lengths);
    for (size_t i = 0; *lengths && i < count; i++) {
        jintArray list = (*env)->GetObjectArrayElement(env, array, (jsize)i);
        total += (*lengths)[i] = length(c, list);
        (*env)->DeleteLocalRef(env, list);
    }
    int32_t *ids = keep(c, total * sizeof *ids), *next = ids;
    for (size_t i = 0; ids && *lengths && i < count; i++) {
        jintArray list = (*env)->GetObjectArrayElement(env, array, (jsize)i);
        if (list) (*env)->GetIntArrayRegion(env, list, 0, (jsize)(*lengths)[i], (jint *)next);
        next += (*lengths)[i];
        (*env)->DeleteLocalRef(env, list);
    }
    return ids;
}

/* {kind, JSON or null} as the struct that C takes: one that every function refuses if they cannot be used. */
static const void *options(call *c, int slot, jobjectArray given) {
    jbyteArray kind = (*c->env)->GetObjectArrayElement(c->env, given, 0);
    jbyteArray json = (*c->env)->GetObjectArrayElement(c->env, given, 1);
    int32_t status = dpo_options_create(text(c, kind), &c->options[slot]);
    if (!status && json) status = dpo_options_set_json(c->options[slot], text(c, json));
    if (status) fail(c, status, dpo_last_error());
    return dpo_options_struct(status ? NULL : c->options[slot]);
}

static void give_doubles(call *c, jdoubleArray array, const double *numbers) {
    if (array && numbers) (*c->env)->SetDoubleArrayRegion(c->env, array, 0, (jsize)length(c, array), numbers);
}

/* Text of C as Java's bytes, freed. */
static jbyteArray take_text(call *c, int32_t status, char *given, size_t size) {
    jbyteArray bytes = !status && given ? new_bytes(c->env, given, size) : NULL;
    dpo_string_free(given);
    end(c, status);
    return bytes;
}

static jbyteArray take_json(call *c, int32_t status, char *json) {
    return take_text(c, status, json, json && !status ? strlen(json) : 0);
}

static jlong take_handle(call *c, int32_t status, void *made) {
    end(c, status);
    return status ? 0 : (jlong)(intptr_t)made;
}

/* -------------------------------------------------------------------------------------------------------- callbacks */

enum { METRICS = 18 };

static void flatten(const dpo_metrics *m, double *out) {
    const double numbers[METRICS] = {
        (double)m->step,
        (double)m->total_steps,
        m->epoch,
        m->loss,
        m->grad_norm,
        m->learning_rate,
        m->rewards_chosen,
        m->rewards_rejected,
        m->rewards_accuracies,
        m->rewards_margins,
        m->logps_chosen,
        m->logps_rejected,
        m->logits_chosen,
        m->logits_rejected,
        m->entropy,
        m->mean_token_accuracy,
        m->num_tokens,
        m->seconds,
    };
    memcpy(out, numbers, sizeof numbers);
}

typedef struct listener {
    JNIEnv *env;
    jobject callback;
} listener;

/* What the trainer's call on this thread asks: rewards and reductions are set before the calls that need them. */
typedef struct listeners {
    JNIEnv *env;
    jobject reward, reduce;
} listeners;

static _Thread_local listeners own_listeners;

/* 0 to go on. Callback catches what the host throws; what comes here is the machine's own, such as a lack of memory. */
static int32_t go_on(JNIEnv *env, jboolean answer) {
    if ((*env)->ExceptionCheck(env)) {
        (*env)->ExceptionClear(env);
        return 1;
    }
    return answer ? 0 : 1;
}

static int32_t on_event(const dpo_event *event, void *user_data) {
    listener *own = user_data;
    JNIEnv *env = own->env;
    if ((*env)->PushLocalFrame(env, 8)) return go_on(env, JNI_FALSE);
    jdoubleArray metrics = NULL;
    if (event->metrics && (metrics = (*env)->NewDoubleArray(env, METRICS))) {
        double numbers[METRICS];
        flatten(event->metrics, numbers);
        (*env)->SetDoubleArrayRegion(env, metrics, 0, METRICS, numbers);
    }
    jbyteArray sentence = new_text(env, event->text), json = new_text(env, event->metrics_json);
    jboolean answer = JNI_FALSE;
    if (!(*env)->ExceptionCheck(env))
        answer = (*env)->CallBooleanMethod(env, own->callback, call_event, event->kind, sentence, (jlong)event->done,
                                           (jlong)event->total, metrics, json);
    int32_t stop = go_on(env, answer);
    (*env)->PopLocalFrame(env, NULL);
    return stop;
}

static int32_t on_token(size_t prompt, size_t completion, int32_t token, const char *piece, void *user_data) {
    listener *own = user_data;
    JNIEnv *env = own->env;
    if ((*env)->PushLocalFrame(env, 4)) return go_on(env, JNI_FALSE);
    jbyteArray bytes = new_text(env, piece);
    jboolean answer = JNI_FALSE;
    if (!(*env)->ExceptionCheck(env))
        answer =
            (*env)->CallBooleanMethod(env, own->callback, call_token, (jlong)prompt, (jlong)completion, token, bytes);
    int32_t stop = go_on(env, answer);
    (*env)->PopLocalFrame(env, NULL);
    return stop;
}

static int32_t on_reading(const char *phase, uint64_t done, uint64_t total, uint64_t rows, void *user_data) {
    listener *own = user_data;
    JNIEnv *env = own->env;
    if ((*env)->PushLocalFrame(env, 4)) return go_on(env, JNI_FALSE);
    jbyteArray bytes = new_text(env, phase);
    jboolean answer = JNI_FALSE;
    if (!(*env)->ExceptionCheck(env))
        answer =
            (*env)->CallBooleanMethod(env, own->callback, call_reading, bytes, (jlong)done, (jlong)total, (jlong)rows);
    int32_t stop = go_on(env, answer);
    (*env)->PopLocalFrame(env, NULL);
    return stop;
}

static jobjectArray new_texts(JNIEnv *env, const char *const *list, size_t count) {
    jobjectArray array = (*env)->NewObjectArray(env, (jsize)count, bytes_class, NULL);
    for (size_t i = 0; array && i < count; i++) {
        jbyteArray item = new_text(env, list[i]);
        (*env)->SetObjectArrayElement(env, array, (jsize)i, item);
        (*env)->DeleteLocalRef(env, item);
    }
    return array;
}

static int32_t on_answers(const dpo_answers *answers, double *rewards, void *user_data) {
    (void)user_data;
    JNIEnv *env = own_listeners.env;
    jsize count = (jsize)answers->count;
    if (!own_listeners.reward || (*env)->PushLocalFrame(env, 8)) return 1;
    jobjectArray prompts = new_texts(env, answers->prompts, answers->count);
    jobjectArray completions = new_texts(env, answers->completions, answers->count);
    jintArray chat = (*env)->NewIntArray(env, count), stopped = (*env)->NewIntArray(env, count);
    jdoubleArray out = (*env)->NewDoubleArray(env, count);
    jboolean answer = JNI_FALSE;
    if (!(*env)->ExceptionCheck(env)) {
        (*env)->SetIntArrayRegion(env, chat, 0, count, (const jint *)answers->prompt_is_chat);
        (*env)->SetIntArrayRegion(env, stopped, 0, count, (const jint *)answers->stopped);
        answer = (*env)->CallBooleanMethod(env, own_listeners.reward, call_answers, prompts, completions, chat, stopped,
                                           out);
    }
    int32_t stop = go_on(env, answer);
    if (!stop) (*env)->GetDoubleArrayRegion(env, out, 0, count, rewards);
    (*env)->PopLocalFrame(env, NULL);
    return stop;
}

static int32_t on_gradients(float *gradients, size_t count, void *user_data) {
    (void)user_data;
    JNIEnv *env = own_listeners.env;
    if (!own_listeners.reduce || (*env)->PushLocalFrame(env, 4)) return 1;
    jfloatArray array = (*env)->NewFloatArray(env, (jsize)count);
    jboolean answer = JNI_FALSE;
    if (array) {
        (*env)->SetFloatArrayRegion(env, array, 0, (jsize)count, gradients);
        answer = (*env)->CallBooleanMethod(env, own_listeners.reduce, call_gradients, array);
    }
    int32_t stop = go_on(env, answer);
    if (!stop) (*env)->GetFloatArrayRegion(env, array, 0, (jsize)count, gradients);
    (*env)->PopLocalFrame(env, NULL);
    return stop;
}

/* ------------------------------------------------------------------------------------------------------ collectives */

/* A host's engine, which the library calls from threads of its own: each call attaches its thread to the machine. */
typedef struct engine {
    jobject object; /* a libdpo.Engine */
    int32_t rank, size;
    char failure[512];
} engine;

/* NULL where the machine takes no more threads, or has ended. */
static JNIEnv *attach(int *attached) {
    JNIEnv *env = NULL;
    *attached = 0;
    if ((*virtual_machine)->GetEnv(virtual_machine, (void **)&env, JNI_VERSION_10) == JNI_OK) return env;
    if ((*virtual_machine)->AttachCurrentThreadAsDaemon(virtual_machine, (void **)&env, NULL) != JNI_OK) return NULL;
    *attached = 1;
    return env;
}

static void detach(int attached) {
    if (attached) (*virtual_machine)->DetachCurrentThread(virtual_machine);
}

static size_t total_of(const size_t *sizes, int32_t count) { return sum(sizes, (size_t)count); }

static jobject new_buffer(JNIEnv *env, const void *memory, size_t size) {
    static char nothing[1];
    return (*env)->NewDirectByteBuffer(env, size ? (void *)memory : nothing, (jlong)size);
}

/* A call moves at most 1 GiB, so that sizes are Java's. */
static jintArray new_sizes(JNIEnv *env, const size_t *sizes, int32_t count) {
    jintArray array = (*env)->NewIntArray(env, count);
    for (int32_t i = 0; array && i < count; i++) {
        jint size = (jint)sizes[i];
        (*env)->SetIntArrayRegion(env, array, i, 1, &size);
    }
    return array;
}

static void fail_engine(engine *own, const char *sentence) {
    snprintf(own->failure, sizeof own->failure, "%s", sentence);
}

/* `receive_sizes` is NULL for an all_gather. */
static int32_t collect(engine *own, const void *send, size_t sent, const size_t *send_sizes, void *receive,
                       const size_t *receive_sizes) {
    int attached;
    JNIEnv *env = attach(&attached);
    fail_engine(own, "a thread cannot be attached to the Java machine");
    if (!env) return 1;
    int32_t status = 1;
    if (!(*env)->PushLocalFrame(env, 8)) {
        fail_engine(own, "out of memory");
        jobject out = new_buffer(env, send, sent);
        jobject in = new_buffer(env, receive, total_of(receive_sizes ? receive_sizes : send_sizes, own->size));
        jintArray sizes = new_sizes(env, send_sizes, own->size);
        jintArray others = receive_sizes ? new_sizes(env, receive_sizes, own->size) : NULL;
        jbyteArray failure = NULL;
        if (!(*env)->ExceptionCheck(env)) {
            failure = receive_sizes
                          ? (*env)->CallObjectMethod(env, own->object, call_all_to_all, out, sizes, in, others)
                          : (*env)->CallObjectMethod(env, own->object, call_all_gather, out, in, sizes);
            status = failure || (*env)->ExceptionCheck(env);
        }
        (*env)->ExceptionClear(env);
        if (failure) {
            jsize size = (*env)->GetArrayLength(env, failure), most = (jsize)sizeof own->failure - 1;
            memset(own->failure, 0, sizeof own->failure);
            (*env)->GetByteArrayRegion(env, failure, 0, size < most ? size : most, (jbyte *)own->failure);
        }
        (*env)->PopLocalFrame(env, NULL);
    }
    detach(attached);
    return status;
}

static int32_t all_gather(void *context, const void *send, void *receive, const size_t *sizes) {
    engine *own = context;
    return collect(own, send, sizes[own->rank], sizes, receive, NULL);
}

static int32_t all_to_all(void *context, const void *send, const size_t *send_sizes, void *receive,
                          const size_t *receive_sizes) {
    engine *own = context;
    return collect(own, send, total_of(send_sizes, own->size), send_sizes, receive, receive_sizes);
}

static const char *engine_error(void *context) { return ((engine *)context)->failure; }

static void abort_ranks(void *context, int32_t exit_status) {
    int attached;
    JNIEnv *env = attach(&attached);
    if (!env) return;
    (*env)->CallVoidMethod(env, ((engine *)context)->object, call_abort, exit_status);
    (*env)->ExceptionClear(env);
    detach(attached);
}

static void release_engine(void *context, int32_t healthy) {
    (void)healthy;
    int attached;
    JNIEnv *env = attach(&attached);
    if (env) (*env)->DeleteGlobalRef(env, ((engine *)context)->object);
    if (env) detach(attached);
    free(context);
}

/* -------------------------------------------------------------------------------------------------------- functions */

#define BEGIN                                                                                                          \
    (void)class;                                                                                                       \
    call c = {.env = env}

NATIVE(jbyteArray, version)(ARGUMENTS) {
    (void)class;
    return new_text(env, dpo_version());
}

NATIVE(void, release)(ARGUMENTS, jint kind, jlong pointer) {
    (void)env, (void)class;
    void *released = (void *)(intptr_t)pointer;
    switch (kind) {
    case 1: dpo_model_release(released); break;
    case 2: dpo_dataset_release(released); break;
    case 3: dpo_trainer_release(released); break;
    case 5: dpo_classifier_release(released); break;
    case 6: dpo_feedback_release(released); break;
    case 8: dpo_communicator_release(released); break;
    default: break;
    }
}

NATIVE(void, setWait)(ARGUMENTS, jobject object, jdouble seconds) {
    BEGIN;
    end(&c, dpo_handle_set_wait(handle(&c, object), seconds));
}

NATIVE(void, cancel)(ARGUMENTS, jint kind, jobject object) {
    BEGIN;
    void *pointer = handle(&c, object);
    if (kind == 1) dpo_model_cancel(pointer);
    else if (kind == 3) dpo_trainer_cancel(pointer);
    else dpo_feedback_cancel(pointer);
}

NATIVE(jdouble, loss)(ARGUMENTS, jdoubleArray policy_chosen, jdoubleArray policy_rejected,
                      jdoubleArray reference_chosen, jdoubleArray reference_rejected, jintArray chosen_tokens,
                      jintArray rejected_tokens, jdoubleArray weights, jobjectArray given, jobjectArray out) {
    BEGIN;
    size_t pairs = length(&c, policy_chosen);
    same(&c, policy_rejected, pairs, "policyRejected has not as many elements as policyChosen");
    same(&c, reference_chosen, pairs, "referenceChosen has not as many elements as policyChosen");
    same(&c, reference_rejected, pairs, "referenceRejected has not as many elements as policyChosen");
    same(&c, chosen_tokens, pairs, "chosenTokens has not as many elements as policyChosen");
    same(&c, rejected_tokens, pairs, "rejectedTokens has not as many elements as policyChosen");
    same(&c, weights, pairs, "weights has not as many elements as policyChosen");
    double loss = 0, *results[5];
    for (int i = 0; i < 5; i++) results[i] = keep(&c, pairs * sizeof(double));
    const dpo_loss_options *values = options(&c, 0, given);
    int32_t status = c.status;
    if (!status)
        status = dpo_loss_compute(values, pairs, doubles(&c, policy_chosen), doubles(&c, policy_rejected),
                                  doubles(&c, reference_chosen), doubles(&c, reference_rejected),
                                  ints(&c, chosen_tokens), ints(&c, rejected_tokens), doubles(&c, weights), &loss,
                                  results[0], results[1], results[2], results[3], results[4]);
    for (int i = 0; !status && i < 5; i++) {
        jdoubleArray array = (*env)->GetObjectArrayElement(env, out, i);
        give_doubles(&c, array, results[i]);
        (*env)->DeleteLocalRef(env, array);
    }
    end(&c, status);
    return loss;
}

NATIVE(jdouble, rankedLoss)(ARGUMENTS, jdouble beta, jintArray counts, jdoubleArray ranks, jdoubleArray policy,
                            jdoubleArray reference, jdoubleArray weights, jdoubleArray losses, jdoubleArray gradients,
                            jdoubleArray rewards) {
    BEGIN;
    size_t rows = length(&c, counts), *list = sizes(&c, counts), total = sum(list, rows);
    same(&c, ranks, total, "ranks has not as many elements as counts adds up to");
    same(&c, policy, total, "policy has not as many elements as counts adds up to");
    same(&c, reference, total, "reference has not as many elements as counts adds up to");
    same(&c, weights, rows, "weights has not as many elements as counts");
    double loss = 0, *out[] = {keep(&c, rows * sizeof(double)), keep(&c, total * sizeof(double)),
                               keep(&c, total * sizeof(double))};
    int32_t status = c.status;
    if (!status)
        status = dpo_loss_compute_ranked(beta, rows, list, doubles(&c, ranks), doubles(&c, policy),
                                         doubles(&c, reference), doubles(&c, weights), &loss, out[0], out[1], out[2]);
    if (!status) {
        give_doubles(&c, losses, out[0]);
        give_doubles(&c, gradients, out[1]);
        give_doubles(&c, rewards, out[2]);
    }
    end(&c, status);
    return loss;
}

NATIVE(jdouble, policyOptimum)(ARGUMENTS, jobjectArray given, jdoubleArray reference, jdoubleArray rewards,
                               jdoubleArray policy) {
    BEGIN;
    size_t count = length(&c, reference);
    same(&c, rewards, count, "rewards has not as many elements as referenceLogps");
    double normalizer = 0, *out = keep(&c, count * sizeof *out);
    const dpo_loss_options *values = options(&c, 0, given);
    int32_t status = c.status;
    if (!status)
        status = dpo_policy_optimum(values, count, doubles(&c, reference), doubles(&c, rewards), out, &normalizer);
    if (!status) give_doubles(&c, policy, out);
    end(&c, status);
    return normalizer;
}

NATIVE(void, policyRewards)(ARGUMENTS, jobjectArray given, jdoubleArray policy, jdoubleArray reference,
                            jdoubleArray rewards) {
    BEGIN;
    size_t count = length(&c, policy);
    same(&c, reference, count, "referenceLogps has not as many elements as policyLogps");
    double *out = keep(&c, count * sizeof *out);
    const dpo_loss_options *values = options(&c, 0, given);
    int32_t status = c.status;
    if (!status) status = dpo_policy_rewards(values, count, doubles(&c, policy), doubles(&c, reference), out);
    if (!status) give_doubles(&c, rewards, out);
    end(&c, status);
}

NATIVE(jdouble, policyDivergence)(ARGUMENTS, jobjectArray given, jdoubleArray policy, jdoubleArray reference) {
    BEGIN;
    size_t count = length(&c, policy);
    same(&c, reference, count, "referenceLogps has not as many elements as policyLogps");
    double divergence = 0;
    const dpo_loss_options *values = options(&c, 0, given);
    int32_t status = c.status;
    if (!status)
        status = dpo_policy_divergence(values, count, doubles(&c, policy), doubles(&c, reference), &divergence);
    end(&c, status);
    return divergence;
}

NATIVE(void, bradleyTerry)(ARGUMENTS, jdoubleArray first, jdoubleArray second, jdoubleArray probabilities) {
    BEGIN;
    size_t count = length(&c, first);
    same(&c, second, count, "secondRewards has not as many elements as firstRewards");
    double *out = keep(&c, count * sizeof *out);
    int32_t status = c.status;
    if (!status) status = dpo_bradley_terry(count, doubles(&c, first), doubles(&c, second), out);
    if (!status) give_doubles(&c, probabilities, out);
    end(&c, status);
}

NATIVE(void, gae)(ARGUMENTS, jdoubleArray rewards, jdoubleArray values, jintArray counts, jdouble gamma, jdouble lam,
                  jdoubleArray advantages, jdoubleArray returns) {
    BEGIN;
    size_t completions = length(&c, counts), *list = sizes(&c, counts), total = sum(list, completions);
    same(&c, rewards, total, "rewards has not as many elements as counts adds up to");
    same(&c, values, total, "values has not as many elements as counts adds up to");
    double *out[] = {keep(&c, total * sizeof(double)), keep(&c, total * sizeof(double))};
    int32_t status = c.status;
    if (!status)
        status = dpo_gae(doubles(&c, rewards), doubles(&c, values), list, completions, gamma, lam, out[0], out[1]);
    if (!status) {
        give_doubles(&c, advantages, out[0]);
        give_doubles(&c, returns, out[1]);
    }
    end(&c, status);
}

NATIVE(jdouble, ppoLoss)(ARGUMENTS, jobjectArray given, jfloatArray logps, jfloatArray old_logps,
                         jfloatArray advantages, jfloatArray values, jfloatArray old_values, jfloatArray returns,
                         jdoubleArray gradient_logps, jdoubleArray gradient_values) {
    BEGIN;
    size_t tokens = length(&c, logps);
    same(&c, old_logps, tokens, "oldLogps has not as many elements as logps");
    same(&c, advantages, tokens, "advantages has not as many elements as logps");
    same(&c, values, tokens, "values has not as many elements as logps");
    same(&c, old_values, tokens, "oldValues has not as many elements as logps");
    same(&c, returns, tokens, "returns has not as many elements as logps");
    double loss = 0, *by_logps = keep(&c, tokens * sizeof(double));
    double *by_values = values ? keep(&c, tokens * sizeof(double)) : NULL;
    const dpo_ppo_options *chosen = options(&c, 0, given);
    int32_t status = c.status;
    if (!status)
        status =
            dpo_ppo_loss(chosen, tokens, floats(&c, logps), floats(&c, old_logps), floats(&c, advantages),
                         floats(&c, values), floats(&c, old_values), floats(&c, returns), &loss, by_logps, by_values);
    if (!status) {
        give_doubles(&c, gradient_logps, by_logps);
        give_doubles(&c, gradient_values, by_values);
    }
    end(&c, status);
    return loss;
}

NATIVE(jbyteArray, inspect)(ARGUMENTS, jbyteArray path) {
    BEGIN;
    char *json = NULL;
    int32_t status = dpo_inspect(text(&c, path), &json);
    return take_json(&c, status, json);
}

NATIVE(jbyteArray, describeOptions)(ARGUMENTS, jobjectArray given) {
    BEGIN;
    char *json = NULL;
    options(&c, 0, given);
    int32_t status = c.status ? c.status : dpo_options_describe(c.options[0], &json);
    return take_json(&c, status, json);
}

NATIVE(void, trainTokenizer)(ARGUMENTS, jobjectArray paths, jbyteArray directory, jobjectArray given) {
    BEGIN;
    end(&c, dpo_tokenizer_train(texts(&c, paths), length(&c, paths), options(&c, 0, given), text(&c, directory)));
}

NATIVE(void, createModel)(ARGUMENTS, jobjectArray shape, jbyteArray output) {
    BEGIN;
    end(&c, dpo_model_create(options(&c, 0, shape), text(&c, output)));
}

NATIVE(void, exportModel)(ARGUMENTS, jbyteArray input, jint format, jbyteArray output, jobjectArray given) {
    BEGIN;
    end(&c, dpo_export(text(&c, input), format, text(&c, output), options(&c, 0, given)));
}

NATIVE(jbyteArray, checkExport)(ARGUMENTS, jbyteArray input, jbyteArray output, jbyteArray data, jbyteArray reference,
                                jobjectArray given) {
    BEGIN;
    char *json = NULL;
    int32_t status = dpo_export_check(text(&c, input), text(&c, output), text(&c, data), text(&c, reference),
                                      options(&c, 0, given), &json);
    return take_json(&c, status, json);
}

NATIVE(jlong, modelOpen)(ARGUMENTS, jbyteArray path, jbyteArray adapter, jint threads, jboolean copy) {
    BEGIN;
    dpo_model *model = NULL;
    int32_t status = (copy ? dpo_model_load : dpo_model_open)(text(&c, path), text(&c, adapter), threads, &model);
    return take_handle(&c, status, model);
}

NATIVE(jobject, modelInfo)(ARGUMENTS, jobject model) {
    BEGIN;
    dpo_model_info info = {.struct_size = sizeof info};
    int32_t status = dpo_model_get_info(handle(&c, model), &info);
    end(&c, status);
    if (status) return NULL;
    const jlong numbers[] = {
        (jlong)info.parameters,
        (jlong)info.mapped_bytes,
        info.vocabulary_size,
        info.hidden_size,
        info.layers,
        info.context_length,
        info.eos_token,
        info.bos_token,
        info.has_chat_template,
        info.has_adapter,
        info.is_reward_model,
    };
    enum { COUNT = sizeof numbers / sizeof *numbers };
    jlongArray array = (*env)->NewLongArray(env, COUNT);
    if (!array) return NULL;
    (*env)->SetLongArrayRegion(env, array, 0, COUNT, numbers);
    jbyteArray architecture = new_text(env, info.architecture), format = new_text(env, info.format);
    return (*env)->CallStaticObjectMethod(env, native_class, make_model_info, array, architecture, format);
}

NATIVE(void, modelSetEngine)(ARGUMENTS, jobject model, jbyteArray engine) {
    BEGIN;
    end(&c, dpo_model_set_engine(handle(&c, model), text(&c, engine)));
}

NATIVE(jintArray, modelEncode)(ARGUMENTS, jobject model, jbyteArray given, jboolean add_special_tokens) {
    BEGIN;
    size_t count = 0, room = length(&c, given) + 8; /* a token has a byte at least; a few special ones come to it */
    const char *utf8 = text(&c, given);
    int32_t *ids = NULL, status = DPO_OK;
    for (int again = 0; again < 2; again++, room = count) {
        ids = keep(&c, room * sizeof *ids);
        status = dpo_model_encode(handle(&c, model), utf8, length(&c, given), add_special_tokens, ids, room, &count);
        if (status || count <= room) break;
    }
    jintArray array = status ? NULL : (*env)->NewIntArray(env, (jsize)count);
    if (array) (*env)->SetIntArrayRegion(env, array, 0, (jsize)count, (const jint *)ids);
    end(&c, status);
    return array;
}

NATIVE(jbyteArray, modelDecode)(ARGUMENTS, jobject model, jintArray ids) {
    BEGIN;
    char *decoded = NULL;
    size_t size = 0;
    int32_t status = dpo_model_decode(handle(&c, model), ints(&c, ids), length(&c, ids), &decoded, &size);
    return take_text(&c, status, decoded, size);
}

NATIVE(jbyteArray, modelApplyChatTemplate)(ARGUMENTS, jobject model, jbyteArray messages, jboolean add_prompt) {
    BEGIN;
    char *chat = NULL;
    size_t size = 0;
    int32_t status = dpo_model_apply_chat_template(handle(&c, model), text(&c, messages), add_prompt, &chat, &size);
    return take_text(&c, status, chat, size);
}

NATIVE(void, modelScore)(ARGUMENTS, jobject model, jobjectArray prompts, jobjectArray completions, jdoubleArray sums,
                         jintArray counts) {
    BEGIN;
    size_t count = length(&c, prompts);
    same(&c, completions, count, "there are not as many completions as prompts");
    double *out = keep(&c, count * sizeof *out);
    int32_t *tokens = keep(&c, count * sizeof *tokens), status = c.status;
    if (!status)
        status =
            dpo_model_score_texts(handle(&c, model), texts(&c, prompts), texts(&c, completions), count, out, tokens);
    if (!status) {
        give_doubles(&c, sums, out);
        (*env)->SetIntArrayRegion(env, counts, 0, (jsize)count, (const jint *)tokens);
    }
    end(&c, status);
}

NATIVE(void, modelScoreTokens)(ARGUMENTS, jobject model, jobjectArray prompts, jobjectArray completions,
                               jintArray completion_prompts, jdoubleArray sums, jfloatArray tokens) {
    BEGIN;
    size_t count = length(&c, completions), total = length(&c, tokens), *prompt_lengths = NULL, *lengths = NULL;
    same(&c, completion_prompts, count, "completionPrompts has not as many elements as completions");
    int32_t *prompt_ids = lists(&c, prompts, &prompt_lengths), *ids = lists(&c, completions, &lengths);
    const size_t *parents = sizes(&c, completion_prompts);
    double *out = keep(&c, count * sizeof *out);
    float *by_token = keep(&c, total * sizeof *by_token);
    int32_t status = c.status;
    if (!status)
        status = dpo_model_score_tokens(handle(&c, model), prompt_ids, prompt_lengths, length(&c, prompts), ids,
                                        lengths, parents, count, by_token, out);
    if (!status) {
        give_doubles(&c, sums, out);
        (*env)->SetFloatArrayRegion(env, tokens, 0, (jsize)total, by_token);
    }
    end(&c, status);
}

NATIVE(void, modelReward)(ARGUMENTS, jobject model, jobjectArray prompts, jobjectArray completions,
                          jdoubleArray rewards) {
    BEGIN;
    size_t count = length(&c, prompts);
    same(&c, completions, count, "there are not as many completions as prompts");
    double *out = keep(&c, count * sizeof *out);
    int32_t status = c.status;
    if (!status)
        status = dpo_model_reward_texts(handle(&c, model), texts(&c, prompts), texts(&c, completions), count, out);
    if (!status) give_doubles(&c, rewards, out);
    end(&c, status);
}

NATIVE(void, modelRewardTokens)(ARGUMENTS, jobject model, jobjectArray prompts, jobjectArray completions,
                                jintArray completion_prompts, jdoubleArray rewards) {
    BEGIN;
    size_t count = length(&c, completions), *prompt_lengths = NULL, *lengths = NULL;
    same(&c, completion_prompts, count, "completionPrompts has not as many elements as completions");
    int32_t *prompt_ids = lists(&c, prompts, &prompt_lengths), *ids = lists(&c, completions, &lengths);
    const size_t *parents = sizes(&c, completion_prompts);
    double *out = keep(&c, count * sizeof *out);
    int32_t status = c.status;
    if (!status)
        status = dpo_model_reward_tokens(handle(&c, model), prompt_ids, prompt_lengths, length(&c, prompts), ids,
                                         lengths, parents, count, out);
    if (!status) give_doubles(&c, rewards, out);
    end(&c, status);
}

NATIVE(jobjectArray, modelGenerate)(ARGUMENTS, jobject model, jobjectArray prompts, jobjectArray given,
                                    jobject callback) {
    BEGIN;
    const dpo_generation_options *values = options(&c, 0, given);
    size_t count = length(&c, prompts);
    listener own = {env, callback};
    dpo_completions *completions = NULL;
    int32_t status = dpo_model_generate(handle(&c, model), texts(&c, prompts), count, values,
                                        callback ? on_token : NULL, &own, &completions);
    jobjectArray out = status ? NULL : (*env)->NewObjectArray(env, (jsize)count, objects_class, NULL);
    jsize each = status ? 0 : values->num_return_sequences;
    for (size_t prompt = 0; out && prompt < count; prompt++) {
        if ((*env)->PushLocalFrame(env, 8)) break;
        jclass object = (*env)->FindClass(env, "java/lang/Object");
        jobjectArray row = object ? (*env)->NewObjectArray(env, each, object, NULL) : NULL;
        for (jsize index = 0; row && index < each; index++) {
            const char *utf8 = NULL;
            const int32_t *ids = NULL;
            size_t tokens = 0;
            int32_t stopped = 0;
            status = dpo_completions_get(completions, prompt, (size_t)index, &utf8, &ids, &tokens, &stopped);
            jbyteArray bytes = status ? NULL : new_text(env, utf8);
            jintArray array = bytes ? (*env)->NewIntArray(env, (jsize)tokens) : NULL;
            if (!array) break;
            (*env)->SetIntArrayRegion(env, array, 0, (jsize)tokens, (const jint *)ids);
            jobject made =
                (*env)->CallStaticObjectMethod(env, native_class, make_completion, bytes, array, stopped != 0);
            if ((*env)->ExceptionCheck(env)) break;
            (*env)->SetObjectArrayElement(env, row, index, made);
            (*env)->DeleteLocalRef(env, made);
            (*env)->DeleteLocalRef(env, array);
            (*env)->DeleteLocalRef(env, bytes);
        }
        row = (*env)->PopLocalFrame(env, row);
        if ((*env)->ExceptionCheck(env)) break;
        (*env)->SetObjectArrayElement(env, out, (jsize)prompt, row);
        (*env)->DeleteLocalRef(env, row);
    }
    end(&c, status);
    dpo_completions_release(completions);
    return out;
}

NATIVE(jbyteArray, modelEvaluate)(ARGUMENTS, jobject model, jobject reference, jbyteArray data, jobjectArray given,
                                  jobjectArray samples, jobject judge, jobject reward_model) {
    BEGIN;
    char *json = NULL;
    int32_t status = dpo_model_evaluate(handle(&c, model), handle(&c, reference), text(&c, data), options(&c, 0, given),
                                        samples ? options(&c, 1, samples) : NULL, handle(&c, judge),
                                        handle(&c, reward_model), &json);
    return take_json(&c, status, json);
}

NATIVE(jlong, datasetOpen)(ARGUMENTS, jobject model, jbyteArray path, jobjectArray given) {
    BEGIN;
    dpo_dataset *dataset = NULL;
    int32_t status = dpo_dataset_open_jsonl(handle(&c, model), text(&c, path), options(&c, 0, given), &dataset);
    return take_handle(&c, status, dataset);
}

NATIVE(jlong, datasetOpenAll)(ARGUMENTS, jobject model, jobjectArray paths, jobjectArray given, jobject callback) {
    BEGIN;
    listener own = {env, callback};
    dpo_dataset *dataset = NULL;
    int32_t status = dpo_dataset_open(handle(&c, model), texts(&c, paths), length(&c, paths), options(&c, 0, given),
                                      callback ? on_reading : NULL, &own, &dataset);
    return take_handle(&c, status, dataset);
}

NATIVE(jlong, datasetOfJsonLines)(ARGUMENTS, jobject model, jbyteArray rows, jobjectArray given) {
    BEGIN;
    dpo_dataset *dataset = NULL;
    int32_t status =
        dpo_dataset_from_jsonl(handle(&c, model), text(&c, rows), length(&c, rows), options(&c, 0, given), &dataset);
    return take_handle(&c, status, dataset);
}

NATIVE(jlong, datasetOfPairs)(ARGUMENTS, jobject model, jobjectArray prompts, jobjectArray chosen,
                              jobjectArray rejected, jobjectArray given) {
    BEGIN;
    size_t count = length(&c, prompts);
    same(&c, chosen, count, "there are not as many chosen answers as prompts");
    same(&c, rejected, count, "there are not as many rejected answers as prompts");
    dpo_dataset *dataset = NULL;
    int32_t status = c.status;
    if (!status)
        status = dpo_dataset_from_pairs(handle(&c, model), texts(&c, prompts), texts(&c, chosen), texts(&c, rejected),
                                        count, options(&c, 0, given), &dataset);
    return take_handle(&c, status, dataset);
}

NATIVE(jlong, datasetOfTokens)(ARGUMENTS, jobjectArray prompts, jobjectArray chosen, jobjectArray rejected,
                               jobjectArray given) {
    BEGIN;
    size_t count = length(&c, prompts), *lengths[3] = {NULL, NULL, NULL};
    same(&c, chosen, count, "there are not as many chosen answers as prompts");
    same(&c, rejected, count, "there are not as many rejected answers as prompts");
    const int32_t *ids[] = {lists(&c, prompts, &lengths[0]), lists(&c, chosen, &lengths[1]),
                            lists(&c, rejected, &lengths[2])};
    dpo_dataset *dataset = NULL;
    int32_t status = c.status;
    if (!status)
        status = dpo_dataset_from_tokens(ids[0], lengths[0], ids[1], lengths[1], ids[2], lengths[2], count,
                                         options(&c, 0, given), &dataset);
    return take_handle(&c, status, dataset);
}

NATIVE(jobject, datasetInfo)(ARGUMENTS, jobject dataset) {
    BEGIN;
    dpo_dataset_info info = {.struct_size = sizeof info};
    int32_t status = dpo_dataset_get_info(handle(&c, dataset), &info);
    end(&c, status);
    if (status) return NULL;
    const jlong numbers[] = {
        (jlong)info.rows,           (jlong)info.dropped_rows,   (jlong)info.truncated_rows,
        (jlong)info.identical_rows, (jlong)info.duplicate_rows, (jlong)info.contradicting_rows,
        (jlong)info.tokens,         (jlong)info.longest_row,
    };
    enum { COUNT = sizeof numbers / sizeof *numbers };
    jlongArray array = (*env)->NewLongArray(env, COUNT);
    if (!array) return NULL;
    (*env)->SetLongArrayRegion(env, array, 0, COUNT, numbers);
    return (*env)->CallStaticObjectMethod(env, native_class, make_dataset_info, array, info.longer_is_chosen);
}

NATIVE(jlong, classifierOpen)(ARGUMENTS, jbyteArray path) {
    BEGIN;
    dpo_classifier *classifier = NULL;
    int32_t status = dpo_classifier_open(text(&c, path), &classifier);
    return take_handle(&c, status, classifier);
}

NATIVE(jlong, classifierTrain)(ARGUMENTS, jobjectArray list, jintArray labels, jdouble cost, jint folds) {
    BEGIN;
    size_t count = length(&c, list);
    same(&c, labels, count, "there are not as many labels as texts");
    dpo_classifier *classifier = NULL;
    int32_t status = c.status;
    if (!status) status = dpo_classifier_train(texts(&c, list), ints(&c, labels), count, cost, folds, &classifier);
    return take_handle(&c, status, classifier);
}

NATIVE(void, classifierSave)(ARGUMENTS, jobject classifier, jbyteArray path) {
    BEGIN;
    end(&c, dpo_classifier_save(handle(&c, classifier), text(&c, path)));
}

NATIVE(void, classifierScore)(ARGUMENTS, jobject classifier, jobjectArray list, jdoubleArray log_odds) {
    BEGIN;
    size_t count = length(&c, list);
    double *out = keep(&c, count * sizeof *out);
    int32_t status = dpo_classifier_score(handle(&c, classifier), texts(&c, list), count, out);
    if (!status) give_doubles(&c, log_odds, out);
    end(&c, status);
}

NATIVE(jlong, trainerCreate)(ARGUMENTS, jobject model, jobject reference, jobject dataset, jobject evaluation,
                             jobjectArray given) {
    BEGIN;
    dpo_trainer *trainer = NULL;
    int32_t status = dpo_trainer_create(handle(&c, model), handle(&c, reference), handle(&c, dataset),
                                        handle(&c, evaluation), options(&c, 0, given), &trainer);
    return take_handle(&c, status, trainer);
}

NATIVE(jlong, trainerCreateDistributed)(ARGUMENTS, jobject ranks, jobject model, jobject reference, jobject dataset,
                                        jobject evaluation, jobjectArray given) {
    BEGIN;
    dpo_trainer *trainer = NULL;
    int32_t status =
        dpo_trainer_create_distributed(handle(&c, ranks), handle(&c, model), handle(&c, reference), handle(&c, dataset),
                                       handle(&c, evaluation), options(&c, 0, given), &trainer);
    return take_handle(&c, status, trainer);
}

NATIVE(jlong, communicatorMpi)(ARGUMENTS, jbyteArray plugin, jdouble timeout) {
    BEGIN;
    dpo_communicator *made = NULL;
    int32_t status = dpo_communicator_open_mpi(text(&c, plugin), timeout, &made);
    return take_handle(&c, status, made);
}

NATIVE(jlong, communicatorOf)(ARGUMENTS, jint rank, jint size, jbyteArray name, jobject object) {
    BEGIN;
    dpo_communicator *made = NULL;
    engine *own = calloc(1, sizeof *own);
    int32_t status = DPO_ERROR_MEMORY;
    if (own && (own->object = (*env)->NewGlobalRef(env, object))) {
        own->rank = rank;
        own->size = size;
        dpo_collectives functions = {
            .struct_size = sizeof functions,
            .version = DPO_COLLECTIVES_VERSION,
            .rank = rank,
            .size = size,
            .name = text(&c, name),
            .context = own,
            .all_gather = all_gather,
            .all_to_all = all_to_all,
            .last_error = engine_error,
            .abort = abort_ranks,
            .release = release_engine,
        };
        status = dpo_communicator_create(&functions, &made);
    } else {
        fail(&c, DPO_ERROR_MEMORY, "out of memory");
    }
    if (status && own && own->object) (*env)->DeleteGlobalRef(env, own->object);
    if (status) free(own);
    return take_handle(&c, status, made);
}

NATIVE(jintArray, communicatorRanks)(ARGUMENTS, jobject communicator) {
    BEGIN;
    jint ranks[2] = {0, 0};
    int32_t status = dpo_communicator_ranks(handle(&c, communicator), &ranks[0], &ranks[1]);
    jintArray array = status ? NULL : (*env)->NewIntArray(env, 2);
    if (array) (*env)->SetIntArrayRegion(env, array, 0, 2, ranks);
    end(&c, status);
    return array;
}

NATIVE(void, communicatorAbort)(ARGUMENTS, jobject communicator, jint exit_status) {
    BEGIN;
    end(&c, dpo_communicator_abort(handle(&c, communicator), exit_status));
}

NATIVE(jbyteArray, trainerPlan)(ARGUMENTS, jobject trainer) {
    BEGIN;
    char *json = NULL;
    int32_t status = dpo_trainer_plan(handle(&c, trainer), &json);
    return take_json(&c, status, json);
}

NATIVE(jbyteArray, trainerLastMetrics)(ARGUMENTS, jobject trainer) {
    BEGIN;
    char *json = NULL;
    int32_t status = dpo_trainer_last_metrics(handle(&c, trainer), &json);
    return take_json(&c, status, json);
}

NATIVE(void, trainerSetReward)(ARGUMENTS, jobject trainer) {
    BEGIN;
    end(&c, dpo_trainer_set_reward(handle(&c, trainer), on_answers, NULL));
}

NATIVE(void, trainerSetReduce)(ARGUMENTS, jobject trainer, jboolean there) {
    BEGIN;
    end(&c, dpo_trainer_set_reduce(handle(&c, trainer), there ? on_gradients : NULL, NULL));
}

NATIVE(void, trainerSetRewardModel)(ARGUMENTS, jobject trainer, jobject reward_model) {
    BEGIN;
    end(&c, dpo_trainer_set_reward_model(handle(&c, trainer), handle(&c, reward_model)));
}

NATIVE(void, trainerSetRewardClassifier)(ARGUMENTS, jobject trainer, jobject judge, jboolean completion_only) {
    BEGIN;
    end(&c, dpo_trainer_set_reward_classifier(handle(&c, trainer), handle(&c, judge), completion_only));
}

/* What the call that begins asks. A callback may begin another one: the answer is what to put back. */
static listeners listen_to(listeners next) {
    listeners before = own_listeners;
    own_listeners = next;
    return before;
}

NATIVE(void, trainerRun)(ARGUMENTS, jobject trainer, jbyteArray directory, jbyteArray resume, jobject callback,
                         jobject reward, jobject reduce) {
    BEGIN;
    listener own = {env, callback};
    listeners before = listen_to((listeners){env, reward, reduce});
    int32_t status =
        dpo_trainer_run(handle(&c, trainer), text(&c, directory), text(&c, resume), callback ? on_event : NULL, &own);
    listen_to(before);
    end(&c, status);
}

NATIVE(void, trainerMeasure)(ARGUMENTS, jobject trainer, jint what, jdoubleArray metrics, jobject reward,
                             jobject reduce) {
    BEGIN;
    int32_t (*const functions[])(dpo_trainer *, dpo_metrics *) = {dpo_trainer_step, dpo_trainer_evaluate,
                                                                  dpo_trainer_apply};
    dpo_metrics out = {.struct_size = sizeof out};
    double numbers[METRICS];
    listeners before = listen_to((listeners){env, reward, reduce});
    int32_t status = functions[what](handle(&c, trainer), &out);
    listen_to(before);
    flatten(&out, numbers);
    if (!status) give_doubles(&c, metrics, numbers);
    end(&c, status);
}

NATIVE(void, trainerEvaluateData)(ARGUMENTS, jobject trainer, jobject dataset, jdoubleArray metrics, jobject reward,
                                  jobject reduce) {
    BEGIN;
    dpo_metrics out = {.struct_size = sizeof out};
    double numbers[METRICS];
    listeners before = listen_to((listeners){env, reward, reduce});
    int32_t status = dpo_trainer_evaluate_data(handle(&c, trainer), handle(&c, dataset), &out);
    listen_to(before);
    flatten(&out, numbers);
    if (!status) give_doubles(&c, metrics, numbers);
    end(&c, status);
}

NATIVE(void, trainerScoreData)(ARGUMENTS, jobject trainer, jobject dataset, jdoubleArray policy_chosen,
                               jdoubleArray policy_rejected, jdoubleArray reference_chosen,
                               jdoubleArray reference_rejected, jobject reward, jobject reduce) {
    BEGIN;
    const jdoubleArray arrays[4] = {policy_chosen, policy_rejected, reference_chosen, reference_rejected};
    size_t count = length(&c, policy_chosen);
    double *out[4];
    for (int i = 0; i < 4; i++) out[i] = keep(&c, count * sizeof(double));
    listeners before = listen_to((listeners){env, reward, reduce});
    int32_t status = c.status ? c.status
                              : dpo_trainer_score_data(handle(&c, trainer), handle(&c, dataset), count, out[0], out[1],
                                                       out[2], out[3]);
    listen_to(before);
    for (int i = 0; !status && i < 4; i++) give_doubles(&c, arrays[i], out[i]);
    end(&c, status);
}

NATIVE(void, trainerForward)(ARGUMENTS, jobject trainer, jintArray rows, jdoubleArray policy_chosen,
                             jdoubleArray policy_rejected, jdoubleArray reference_chosen,
                             jdoubleArray reference_rejected) {
    BEGIN;
    size_t count = length(&c, rows);
    double *out[4];
    for (int i = 0; i < 4; i++) out[i] = keep(&c, count * sizeof(double));
    const size_t *indices = sizes(&c, rows);
    int32_t status = c.status;
    if (!status) status = dpo_trainer_forward(handle(&c, trainer), indices, count, out[0], out[1], out[2], out[3]);
    if (!status) {
        give_doubles(&c, policy_chosen, out[0]);
        give_doubles(&c, policy_rejected, out[1]);
        give_doubles(&c, reference_chosen, out[2]);
        give_doubles(&c, reference_rejected, out[3]);
    }
    end(&c, status);
}

NATIVE(void, trainerBackward)(ARGUMENTS, jobject trainer, jdoubleArray chosen, jdoubleArray rejected) {
    BEGIN;
    size_t count = length(&c, chosen);
    same(&c, rejected, count, "gradientRejected has not as many elements as gradientChosen");
    int32_t status = c.status;
    if (!status) status = dpo_trainer_backward(handle(&c, trainer), doubles(&c, chosen), doubles(&c, rejected), count);
    end(&c, status);
}

NATIVE(jfloatArray, trainerTokenLogps)(ARGUMENTS, jobject trainer) {
    BEGIN;
    size_t count = 0;
    int32_t status = dpo_trainer_token_count(handle(&c, trainer), &count);
    float *logps = status ? NULL : keep(&c, count * sizeof *logps);
    if (!status) status = dpo_trainer_token_logps(handle(&c, trainer), logps, count);
    jfloatArray array = status ? NULL : (*env)->NewFloatArray(env, (jsize)count);
    if (array) (*env)->SetFloatArrayRegion(env, array, 0, (jsize)count, logps);
    end(&c, status);
    return array;
}

NATIVE(void, trainerBackwardTokens)(ARGUMENTS, jobject trainer, jfloatArray gradients) {
    BEGIN;
    end(&c, dpo_trainer_backward_tokens(handle(&c, trainer), floats(&c, gradients), length(&c, gradients)));
}

NATIVE(jobjectArray, trainerParameters)(ARGUMENTS, jobject trainer) {
    BEGIN;
    size_t count = 0;
    int32_t status = dpo_trainer_parameter_count(handle(&c, trainer), &count);
    jclass object = status ? NULL : (*env)->FindClass(env, "java/lang/Object");
    jobjectArray list = object ? (*env)->NewObjectArray(env, (jsize)count, object, NULL) : NULL;
    for (size_t i = 0; list && i < count; i++) {
        const char *name = NULL;
        size_t offset = 0, size = 0, dimensions = 0;
        int64_t lengths[4] = {0};
        status = dpo_trainer_parameter_at(handle(&c, trainer), i, &name, &offset, &size, lengths, &dimensions);
        if (status || (*env)->PushLocalFrame(env, 4)) break;
        jlongArray shape = (*env)->NewLongArray(env, (jsize)dimensions);
        jbyteArray bytes = shape ? new_text(env, name) : NULL;
        jobject made = NULL;
        if (bytes) {
            (*env)->SetLongArrayRegion(env, shape, 0, (jsize)dimensions, (const jlong *)lengths);
            made = (*env)->CallStaticObjectMethod(env, native_class, make_parameter, bytes, (jlong)offset, (jlong)size,
                                                  shape);
        }
        if (!(*env)->ExceptionCheck(env)) (*env)->SetObjectArrayElement(env, list, (jsize)i, made);
        (*env)->PopLocalFrame(env, NULL);
        if ((*env)->ExceptionCheck(env)) break;
    }
    end(&c, status);
    return list;
}

NATIVE(jfloatArray, trainerValues)(ARGUMENTS, jobject trainer, jboolean gradients) {
    BEGIN;
    float *arrays[2] = {NULL, NULL};
    size_t count = 0;
    int32_t status = dpo_trainer_parameters(handle(&c, trainer), &arrays[0], &arrays[1], &count);
    jfloatArray array = status ? NULL : (*env)->NewFloatArray(env, (jsize)count);
    if (array) (*env)->SetFloatArrayRegion(env, array, 0, (jsize)count, arrays[gradients != 0]);
    end(&c, status);
    return array;
}

NATIVE(void, trainerSetValues)(ARGUMENTS, jobject trainer, jfloatArray values) {
    BEGIN;
    float *own = NULL, *gradients = NULL;
    size_t count = 0;
    int32_t status = dpo_trainer_parameters(handle(&c, trainer), &own, &gradients, &count);
    if (!status) {
        if (!values) fail(&c, DPO_ERROR_INVALID_ARGUMENT, "values is null");
        same(&c, values, count, "values has not as many elements as there are parameters");
        status = c.status;
    }
    if (!status) (*env)->GetFloatArrayRegion(env, values, 0, (jsize)count, own);
    end(&c, status);
}

NATIVE(void, trainerSave)(ARGUMENTS, jobject trainer, jbyteArray path) {
    BEGIN;
    end(&c, dpo_trainer_save(handle(&c, trainer), text(&c, path)));
}

NATIVE(void, trainerLoad)(ARGUMENTS, jobject trainer, jbyteArray path) {
    BEGIN;
    end(&c, dpo_trainer_load(handle(&c, trainer), text(&c, path)));
}

NATIVE(void, trainerSaveModel)(ARGUMENTS, jobject trainer, jbyteArray path) {
    BEGIN;
    end(&c, dpo_trainer_save_model(handle(&c, trainer), text(&c, path)));
}

NATIVE(jlong, feedbackOpen)(ARGUMENTS, jbyteArray path) {
    BEGIN;
    dpo_feedback *feedback = NULL;
    int32_t status = dpo_feedback_open(text(&c, path), &feedback);
    return take_handle(&c, status, feedback);
}

NATIVE(jlong, feedbackRecordThumb)(ARGUMENTS, jobject feedback, jbyteArray prompt, jbyteArray answer, jboolean up,
                                   jdouble weight) {
    BEGIN;
    uint64_t id = 0;
    end(&c, dpo_feedback_record_thumb(handle(&c, feedback), text(&c, prompt), text(&c, answer), up, weight, &id));
    return (jlong)id;
}

NATIVE(jlong, feedbackRecordChoice)(ARGUMENTS, jobject feedback, jbyteArray prompt, jbyteArray chosen,
                                    jbyteArray rejected, jdouble weight) {
    BEGIN;
    uint64_t id = 0;
    end(&c, dpo_feedback_record_choice(handle(&c, feedback), text(&c, prompt), text(&c, chosen), text(&c, rejected),
                                       weight, &id));
    return (jlong)id;
}

NATIVE(jlong, feedbackRecordJson)(ARGUMENTS, jobject feedback, jbyteArray row) {
    BEGIN;
    uint64_t id = 0;
    end(&c, dpo_feedback_record_json(handle(&c, feedback), text(&c, row), &id));
    return (jlong)id;
}

NATIVE(jlong, feedbackCount)(ARGUMENTS, jobject feedback) {
    BEGIN;
    uint64_t count = 0;
    end(&c, dpo_feedback_count(handle(&c, feedback), &count));
    return (jlong)count;
}

NATIVE(jbyteArray, feedbackStatus)(ARGUMENTS, jobject feedback, jbyteArray directory) {
    BEGIN;
    char *json = NULL;
    int32_t status = dpo_feedback_status(handle(&c, feedback), text(&c, directory), &json);
    return take_json(&c, status, json);
}

NATIVE(void, feedbackTrain)(ARGUMENTS, jobject feedback, jobject model, jbyteArray directory, jobjectArray given,
                            jobject callback, jlongArray out) {
    BEGIN;
    listener own = {env, callback};
    dpo_feedback_result result = {.struct_size = sizeof result};
    int32_t status = dpo_feedback_train(handle(&c, feedback), handle(&c, model), text(&c, directory),
                                        options(&c, 0, given), callback ? on_event : NULL, &own, &result);
    const jlong numbers[] = {result.outcome, (jlong)result.new_records, (jlong)result.replayed, (jlong)result.skipped,
                             result.steps};
    if (!status) (*env)->SetLongArrayRegion(env, out, 0, 5, numbers);
    end(&c, status);
}
