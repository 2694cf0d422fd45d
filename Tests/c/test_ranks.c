/* Ranks over a host's own functions: threads of this process that exchange bytes through memory. Run from the
 * repository root. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <pthread.h>
#include <stdlib.h>

#define MODEL "Tests/Fixtures/models/llama-tied"
#define PAIRS "Tests/Fixtures/data/pairs.jsonl"

enum { RANKS = 3, STEPS = 3, MICRO_BATCHES = 6 };

static pthread_barrier_t together;
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
static const void *sent[RANKS];
static const size_t *sent_bytes[RANKS];
static int failing = -1; /* the rank whose functions fail */
static int released, healthy_releases;

typedef struct {
    int rank;
} context;

static int32_t all_gather(void *of, const void *send, void *receive, const size_t *bytes) {
    int rank = ((context *)of)->rank;
    if (rank == failing) return 7;
    sent[rank] = send;
    pthread_barrier_wait(&together);
    char *place = receive;
    for (int other = 0; other < RANKS; place += bytes[other++])
        if (bytes[other]) memcpy(place, sent[other], bytes[other]);
    pthread_barrier_wait(&together);
    return 0;
}

static int32_t all_to_all(void *of, const void *send, const size_t *send_bytes, void *receive,
                          const size_t *receive_bytes) {
    int rank = ((context *)of)->rank;
    sent[rank] = send;
    sent_bytes[rank] = send_bytes;
    pthread_barrier_wait(&together);
    char *place = receive;
    int32_t status = 0;
    for (int other = 0; other < RANKS; place += receive_bytes[other++]) {
        const char *from = sent[other];
        for (int r = 0; r < rank; r++) from += sent_bytes[other][r];
        if (sent_bytes[other][rank] != receive_bytes[other]) status = 1;
        else if (receive_bytes[other]) memcpy(place, from, receive_bytes[other]);
    }
    pthread_barrier_wait(&together);
    return status;
}

static const char *last_error(void *of) {
    (void)of;
    return "the cable is out";
}

static void release(void *of, int32_t healthy) {
    pthread_mutex_lock(&counting);
    released++;
    healthy_releases += healthy;
    pthread_mutex_unlock(&counting);
    free(of);
}

static dpo_collectives functions_of(int rank) {
    dpo_collectives functions = {0};
    context *own = malloc(sizeof *own);
    own->rank = rank;
    functions.struct_size = sizeof functions;
    functions.version = DPO_COLLECTIVES_VERSION;
    functions.rank = rank;
    functions.size = RANKS;
    functions.name = "threads";
    functions.context = own;
    functions.all_gather = all_gather;
    functions.all_to_all = all_to_all;
    functions.last_error = last_error;
    functions.release = release;
    return functions;
}

/* Parameters after STEPS steps of MICRO_BATCHES micro-batches, by one of `ranks`; the caller frees them. `beta`:
 * another than the others', if it is not 0. */
typedef struct {
    int rank, ranks;
    double beta;
    float *parameters;
    size_t count;
    int32_t status;
    char error[512];
} run;

static void *train(void *of) {
    run *own = of;
    dpo_model *model = NULL;
    dpo_dataset *dataset = NULL;
    dpo_trainer *trainer = NULL;
    dpo_communicator *communicator = NULL;
    dpo_train_options options;
    dpo_metrics metrics = {0};
    metrics.struct_size = sizeof metrics;
    own->status = dpo_train_options_init(&options, sizeof options);
    options.per_device_train_batch_size = 1;
    options.gradient_accumulation_steps = MICRO_BATCHES / own->ranks;
    options.learning_rate = 1e-3;
    options.threads = 1;
    if (own->beta > 0) options.beta = own->beta;
    if (!own->status) own->status = dpo_model_open(MODEL, NULL, 1, &model);
    if (!own->status) own->status = dpo_dataset_open_jsonl(model, PAIRS, &options, &dataset);
    if (own->ranks > 1) {
        dpo_collectives functions = functions_of(own->rank);
        int32_t rank = -1, size = -1;
        if (!own->status) own->status = dpo_communicator_create(&functions, &communicator);
        if (!own->status) own->status = dpo_communicator_ranks(communicator, &rank, &size);
        if (!own->status && (rank != own->rank || size != RANKS)) own->status = -100;
        if (!own->status)
            own->status = dpo_trainer_create_distributed(communicator, model, NULL, dataset, NULL, &options, &trainer);
        dpo_communicator_release(communicator); /* the trainer keeps it */
    } else if (!own->status) {
        own->status = dpo_trainer_create(model, NULL, dataset, NULL, &options, &trainer);
    }
    for (int step = 0; step < STEPS && !own->status; step++) own->status = dpo_trainer_step(trainer, &metrics);
    float *parameters = NULL;
    if (!own->status) own->status = dpo_trainer_parameters(trainer, &parameters, NULL, &own->count);
    if (!own->status) {
        own->parameters = malloc(own->count * sizeof(float));
        memcpy(own->parameters, parameters, own->count * sizeof(float));
    } else {
        snprintf(own->error, sizeof own->error, "%s", dpo_last_error());
    }
    dpo_trainer_release(trainer);
    dpo_dataset_release(dataset);
    dpo_model_release(model);
    return NULL;
}

static void train_together(run *runs) {
    pthread_t threads[RANKS];
    for (int rank = 0; rank < RANKS; rank++) CHECK(pthread_create(&threads[rank], NULL, train, &runs[rank]) == 0);
    for (int rank = 0; rank < RANKS; rank++) CHECK(pthread_join(threads[rank], NULL) == 0);
}

static void same_bits(void) {
    run alone = {0, 1, 0, NULL, 0, 0, ""}, runs[RANKS] = {{0}};
    for (int rank = 0; rank < RANKS; rank++) {
        runs[rank].rank = rank;
        runs[rank].ranks = RANKS;
    }
    train(&alone);
    CHECK_STATUS(DPO_OK, alone.status);
    train_together(runs);
    for (int rank = 0; rank < RANKS; rank++) {
        CHECK_STATUS(DPO_OK, runs[rank].status);
        CHECK(runs[rank].count == alone.count && alone.count > 0);
        if (runs[rank].parameters && runs[rank].count == alone.count)
            CHECK(!memcmp(runs[rank].parameters, alone.parameters, alone.count * sizeof(float)));
        else printf("rank %d: %s\n", rank, runs[rank].error);
        free(runs[rank].parameters);
    }
    free(alone.parameters);
    CHECK(released == RANKS && healthy_releases == RANKS);
}

static void other_options(void) {
    run runs[RANKS] = {{0}};
    for (int rank = 0; rank < RANKS; rank++) {
        runs[rank].rank = rank;
        runs[rank].ranks = RANKS;
        runs[rank].beta = rank == 1 ? 0.3 : 0;
    }
    train_together(runs);
    for (int rank = 0; rank < RANKS; rank++) {
        CHECK_STATUS(DPO_ERROR_MISMATCH, runs[rank].status);
        CHECK(strstr(runs[rank].error, "beta (rank 0: 0.1, rank 1: 0.3)") != NULL);
    }
}

/* Functions that fail, on the only rank that is there: the error is theirs, and the release is told of it. */
static void failure(void) {
    run lost = {2, RANKS, 0, NULL, 0, 0, ""};
    failing = 2;
    released = healthy_releases = 0;
    train(&lost);
    CHECK(lost.status < 0);
    CHECK(strstr(lost.error, "the cable is out") != NULL);
    CHECK(strstr(lost.error, "threads") != NULL);
    CHECK(released == 1 && healthy_releases == 0);
    failing = -1;
}

static void refusals(void) {
    dpo_communicator *communicator = NULL;
    dpo_collectives functions = functions_of(0);
    int32_t rank;
    CHECK_REFUSED(DPO_ERROR_INVALID_ARGUMENT, "NULL", dpo_communicator_create(NULL, &communicator));
    CHECK_STATUS(DPO_ERROR_INVALID_ARGUMENT, dpo_communicator_create(&functions, NULL));
    functions.version = 99;
    CHECK_REFUSED(DPO_ERROR_UNSUPPORTED, "99", dpo_communicator_create(&functions, &communicator));
    functions.version = DPO_COLLECTIVES_VERSION;
    functions.rank = RANKS;
    released = 0;
    CHECK_REFUSED(DPO_ERROR_INVALID_ARGUMENT, "rank 3", dpo_communicator_create(&functions, &communicator));
    CHECK(released == 0); /* what was refused stays the caller's */
    functions.rank = 0;
    functions.all_to_all = NULL;
    CHECK_REFUSED(DPO_ERROR_INVALID_ARGUMENT, "all_to_all", dpo_communicator_create(&functions, &communicator));
    functions.all_to_all = all_to_all;
    functions.struct_size = 8;
    CHECK_REFUSED(DPO_ERROR_INVALID_ARGUMENT, "struct_size", dpo_communicator_create(&functions, &communicator));
    functions.struct_size = sizeof functions;
    CHECK_REFUSED(DPO_ERROR_IO, "/no/plug-in.so", dpo_communicator_open_mpi("/no/plug-in.so", 60, &communicator));
    CHECK_REFUSED(DPO_ERROR_INVALID_ARGUMENT, "above 0", dpo_communicator_open_mpi(NULL, 0, &communicator));
    CHECK(communicator == NULL);
    CHECK_STATUS(DPO_OK, dpo_communicator_create(&functions, &communicator));
    CHECK_STATUS(DPO_OK, dpo_communicator_ranks(communicator, NULL, NULL));
    CHECK_REFUSED(DPO_ERROR_UNSUPPORTED, "cannot", dpo_communicator_abort(communicator, 1));
    CHECK_REFUSED(DPO_ERROR_INVALID_ARGUMENT, "another kind", dpo_trainer_step((dpo_trainer *)communicator, NULL));
    dpo_communicator_release(communicator);
    CHECK_STATUS(DPO_ERROR_STATE, dpo_communicator_ranks(communicator, &rank, NULL));
    dpo_communicator_release(NULL);
    CHECK_REFUSED(DPO_ERROR_INVALID_ARGUMENT, "communicator", dpo_communicator_ranks(NULL, &rank, NULL));
}

int main(void) {
    pthread_barrier_init(&together, NULL, RANKS);
    same_bits();
    other_options();
    failure();
    refusals();
    return check_summary();
}
