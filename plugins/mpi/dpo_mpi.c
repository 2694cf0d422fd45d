// libdpo-mpi.so: dpo_collectives over MPI. libdpo.so loads it when it is asked for (dpo_communicator_open_mpi), so that
// libdpo.so itself needs no MPI.
//
// A call has two phases. First the ranks meet: each tells rank 0 that it has come, and rank 0 answers once all have.
// Only then the bytes move. So a rank that waits for a slower one sleeps, one that does not come is known by name, and
// until all are there MPI holds no pointer into the caller's memory.
#define _DEFAULT_SOURCE /* on_exit */
#include <dpo.h>
#include <limits.h>
#include <mpi.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_BYTES ((size_t)1 << 30) /* of a call, in each direction; MPI counts them in an int */

enum { TEXT = 512, NAME = 64 };
enum { TAG_HERE = 1, TAG_ANSWER = 2 };

/* What a rank has come for. */
typedef enum { ALL_GATHER = 1, ALL_TO_ALL, LEAVE } purpose;

typedef struct engine {
    MPI_Comm all;
    int rank, size;
    double timeout;
    _Atomic bool busy; /* a call is under way */
    bool lost;         /* a call failed: messages may be under way, and the ranks no longer agree on what comes next */
    char error[TEXT];
    char name[NAME];
    struct engine *next; /* of those that are open */
    /* Of the meeting. They outlive a call that fails, because MPI may still write into them. */
    int purpose;
    int *purposes;         /* rank 0: what each rank has come for */
    MPI_Request *requests; /* rank 0: one for each other rank */
    int *indices;          /* of requests that are done */
    char answer[TEXT];     /* empty: go */
    int *send_counts, *send_places, *receive_counts, *receive_places;
} engine;

/* Of this process: MPI can be initialised only once, so it stays for the next communicator and ends with the process.
 */
static struct {
    bool unclean; /* ranks were lost: MPI_Finalize might wait for them for ever */
    engine *open;
} process;

int32_t dpo_mpi_open(int32_t version, double timeout, dpo_collectives *collectives, char *message, size_t message_size);

// Waiting

typedef struct {
    double start, deadline, pause;
    bool together; /* every rank is here: bytes move, and each pause holds them up */
} wait;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static wait begin_wait(double seconds, bool together) {
    double start = now();
    return (wait){.start = start, .deadline = start + seconds, .pause = 2e-5, .together = together};
}

/* Between two looks at MPI. False when the time is over. Ranks that are near come within microseconds. For those that
 * compute we sleep, so that theirs are the processor's cores: a hundredth of what was waited already, up to a
 * millisecond. */
static bool goes_on(wait *wait) {
    double time = now(), waited = time - wait->start;
    if (time >= wait->deadline) return false;
    if (waited < 2e-5) return true;
    if (wait->together || waited < 2e-4) {
        sched_yield();
        return true;
    }
    double pause = waited / 100;
    if (pause < 2e-5) pause = 2e-5;
    if (pause > 1e-3) pause = 1e-3;
    nanosleep(&(struct timespec){.tv_nsec = (long)(1e9 * pause)}, NULL);
    return true;
}

// Errors

__attribute__((format(printf, 2, 3))) static int32_t fail(engine *engine, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(engine->error, sizeof engine->error, format, arguments);
    va_end(arguments);
    engine->lost = true;
    return DPO_ERROR_STATE;
}

static int32_t fail_with(engine *engine, int code, const char *what) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    return fail(engine, "%s failed: %.300s", what, text);
}

/* "rank 2", "ranks 1, 2, 5 and 12 more". */
static void name_ranks(char *text, size_t size, const int *purposes, int ranks, int purpose) {
    int count = 0, named = 0;
    size_t length = 0;
    for (int rank = 0; rank < ranks; rank++) count += purposes[rank] == purpose;
    length += (size_t)snprintf(text, size, count == 1 ? "rank" : "ranks");
    for (int rank = 0; rank < ranks && named < 8; rank++) {
        if (purposes[rank] != purpose) continue;
        length += (size_t)snprintf(text + length, size - length, named ? ", %d" : " %d", rank);
        named++;
    }
    if (count > named) snprintf(text + length, size - length, " and %d more", count - named);
}

// Meeting

static bool any(const engine *engine, int purpose) {
    for (int rank = 0; rank < engine->size; rank++)
        if (engine->purposes[rank] == purpose) return true;
    return false;
}

/* Rank 0's answer when not all have come, or not for the same. Missing are also those for whom it did not wait, because
 * others had come for something else. */
static void judge(engine *engine, double waited) {
    char ranks[128];
    int purpose = any(engine, LEAVE) ? LEAVE : any(engine, ALL_GATHER) && any(engine, ALL_TO_ALL) ? ALL_GATHER : 0;
    name_ranks(ranks, sizeof ranks, engine->purposes, engine->size, purpose);
    if (purpose == LEAVE) snprintf(engine->answer, TEXT, "%s left while others went on", ranks);
    else if (purpose) snprintf(engine->answer, TEXT, "%s called all_gather, others all_to_all", ranks);
    else snprintf(engine->answer, TEXT, "%s did not come within %.3g seconds", ranks, waited);
}

static bool all_agree(const engine *engine, int missing) {
    if (missing) return false;
    for (int rank = 0; rank < engine->size; rank++)
        if (engine->purposes[rank] != engine->purpose) return false;
    return true;
}

static int32_t meet_at_rank_0(engine *engine) {
    int missing = engine->size - 1, code = MPI_SUCCESS, done = 0;
    memset(engine->purposes, 0, (size_t)engine->size * sizeof(int));
    engine->purposes[0] = engine->purpose;
    for (int rank = 1; rank < engine->size && code == MPI_SUCCESS; rank++)
        code = MPI_Irecv(&engine->purposes[rank], 1, MPI_INT, rank, TAG_HERE, engine->all, &engine->requests[rank - 1]);
    wait waiting = begin_wait(engine->timeout, false);
    while (code == MPI_SUCCESS && missing) {
        code = MPI_Testsome(engine->size - 1, engine->requests, &done, engine->indices, MPI_STATUSES_IGNORE);
        if (code == MPI_SUCCESS && done > 0) {
            missing -= done;
            bool early = false;
            for (int rank = 1; rank < engine->size; rank++)
                early |= engine->purposes[rank] && engine->purposes[rank] != engine->purpose;
            if (early) break; /* the others need not wait to hear of it */
        } else if (code == MPI_SUCCESS && !goes_on(&waiting)) {
            break;
        }
    }
    if (code != MPI_SUCCESS) return fail_with(engine, code, "waiting for the other ranks");

    bool good = all_agree(engine, missing);
    if (!good) judge(engine, now() - waiting.start);
    /* A bad answer goes to those as well that have not come: they need not wait when they do. */
    int length = (int)strlen(engine->answer), all = 0;
    for (int rank = 1; rank < engine->size && code == MPI_SUCCESS; rank++)
        code = MPI_Isend(engine->answer, length, MPI_CHAR, rank, TAG_ANSWER, engine->all, &engine->requests[rank - 1]);
    wait answering = begin_wait(good ? engine->timeout : 1, true);
    while (code == MPI_SUCCESS && !all) {
        code = MPI_Testall(engine->size - 1, engine->requests, &all, MPI_STATUSES_IGNORE);
        if (code == MPI_SUCCESS && !all && !goes_on(&answering)) break;
    }
    if (!good) return fail(engine, "%s", engine->answer);
    if (code != MPI_SUCCESS) return fail_with(engine, code, "answering the other ranks");
    return all ? 0 : fail(engine, "the other ranks took no message within %.3g seconds", engine->timeout);
}

static int32_t meet_elsewhere(engine *engine) {
    MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    MPI_Status statuses[2];
    int code = MPI_Irecv(engine->answer, TEXT - 1, MPI_CHAR, 0, TAG_ANSWER, engine->all, &requests[1]);
    if (code == MPI_SUCCESS) code = MPI_Isend(&engine->purpose, 1, MPI_INT, 0, TAG_HERE, engine->all, &requests[0]);
    /* Rank 0 may have come that much later, and waits as long for the rest before it tells who is missing. */
    wait waiting = begin_wait(2 * engine->timeout + 1, false);
    for (int all = 0; code == MPI_SUCCESS;) {
        code = MPI_Testall(2, requests, &all, statuses);
        if (code == MPI_SUCCESS && all) break;
        if (code == MPI_SUCCESS && !goes_on(&waiting))
            return fail(engine, "rank 0 did not come within %.3g seconds", now() - waiting.start);
    }
    int length = 0;
    if (code == MPI_SUCCESS) code = MPI_Get_count(&statuses[1], MPI_CHAR, &length);
    if (code != MPI_SUCCESS) return fail_with(engine, code, "waiting for rank 0");
    if (!length) return 0;
    engine->answer[length] = '\0';
    return fail(engine, "%s", engine->answer);
}

static int32_t meet(engine *engine, purpose purpose) {
    engine->purpose = purpose;
    if (engine->size == 1) return 0;
    return engine->rank == 0 ? meet_at_rank_0(engine) : meet_elsewhere(engine);
}

// Moving

static int32_t lay_out(engine *engine, const size_t *bytes, int *counts, int *places) {
    size_t sum = 0;
    if (engine->lost) return DPO_ERROR_STATE; /* why stands in last_error */
    for (int rank = 0; rank < engine->size; rank++) {
        if (bytes[rank] > MOST_BYTES - sum) return fail(engine, "more than 1 GiB in one call");
        places[rank] = (int)sum;
        counts[rank] = (int)bytes[rank];
        sum += bytes[rank];
    }
    return 0;
}

static int32_t finish(engine *engine, int code, MPI_Request *request, const char *what) {
    wait waiting = begin_wait(engine->timeout, true);
    for (int done = 0; code == MPI_SUCCESS;) {
        code = MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (code == MPI_SUCCESS && done) return 0;
        if (code == MPI_SUCCESS && !goes_on(&waiting))
            return fail(engine, "%s was not done within %.3g seconds, though every rank had come", what,
                        engine->timeout);
    }
    return fail_with(engine, code, what);
}

static int32_t gather(engine *engine, const void *send, void *receive, const size_t *bytes) {
    int32_t status = lay_out(engine, bytes, engine->receive_counts, engine->receive_places);
    if (!status) status = meet(engine, ALL_GATHER);
    if (status) return status;
    MPI_Request request = MPI_REQUEST_NULL;
    int code = MPI_Iallgatherv(send, engine->receive_counts[engine->rank], MPI_BYTE, receive, engine->receive_counts,
                               engine->receive_places, MPI_BYTE, engine->all, &request);
    return finish(engine, code, &request, "all_gather");
}

static int32_t exchange(engine *engine, const void *send, const size_t *send_bytes, void *receive,
                        const size_t *receive_bytes) {
    int32_t status = lay_out(engine, send_bytes, engine->send_counts, engine->send_places);
    if (!status) status = lay_out(engine, receive_bytes, engine->receive_counts, engine->receive_places);
    if (!status) status = meet(engine, ALL_TO_ALL);
    if (status) return status;
    MPI_Request request = MPI_REQUEST_NULL;
    int code = MPI_Ialltoallv(send, engine->send_counts, engine->send_places, MPI_BYTE, receive, engine->receive_counts,
                              engine->receive_places, MPI_BYTE, engine->all, &request);
    return finish(engine, code, &request, "all_to_all");
}

static int32_t all_gather(void *context, const void *send, void *receive, const size_t *bytes) {
    engine *engine = context;
    engine->busy = true;
    int32_t status = gather(engine, send, receive, bytes);
    engine->busy = false;
    return status;
}

static int32_t all_to_all(void *context, const void *send, const size_t *send_bytes, void *receive,
                          const size_t *receive_bytes) {
    engine *engine = context;
    engine->busy = true;
    int32_t status = exchange(engine, send, send_bytes, receive, receive_bytes);
    engine->busy = false;
    return status;
}

static const char *last_error(void *context) {
    const engine *engine = context;
    return engine->error[0] ? engine->error : NULL;
}

static void abort_all(void *context, int32_t exit_status) { MPI_Abort(((engine *)context)->all, exit_status); }

// Coming and going

static void free_engine(engine *engine) {
    if (!engine) return;
    free(engine->purposes);
    free(engine->requests);
    free(engine->indices);
    free(engine->send_counts);
    free(engine->send_places);
    free(engine->receive_counts);
    free(engine->receive_places);
    free(engine);
}

static void release(void *context, int32_t healthy) {
    engine *engine = context;
    int finalized = 0;
    for (struct engine **place = &process.open; *place; place = &(*place)->next) {
        if (*place != engine) continue;
        *place = engine->next;
        break;
    }
    MPI_Finalized(&finalized);
    if (finalized) {
        free_engine(engine);
    } else if (healthy && !engine->busy && !engine->lost && meet(engine, LEAVE) == 0) {
        MPI_Comm_free(&engine->all);
        free_engine(engine);
    } else {
        process.unclean = true; /* the engine stays: MPI may still write into it */
    }
}

/* If it was us who initialised MPI. A process that ends without MPI_Finalize is one that went wrong: what started the
 * ranks then ends them all. That is what we want of a process that ends with an error in the midst of things. */
static void end_with(int exit_status) {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized || (process.open && exit_status)) return;
    while (process.open) release(process.open, 1);
    if (!process.unclean) MPI_Finalize();
}

#ifdef __GLIBC__
static void at_exit(int exit_status, void *unused) {
    (void)unused;
    end_with(exit_status);
}
#else
static void at_exit(void) { end_with(0); }
#endif

typedef struct {
    char *text;
    size_t size;
} message;

__attribute__((format(printf, 3, 4))) static int32_t refuse(message message, int32_t status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (message.text && message.size) vsnprintf(message.text, message.size, format, arguments);
    va_end(arguments);
    return status;
}

#ifdef OPEN_MPI
#define BUILT_WITH "Open MPI"
#else
#define BUILT_WITH "MPICH or a kin of it"
#endif

static bool is_open_mpi(const char *name) { return strncmp(name, "Open MPI", 8) == 0; }

/* "Open MPI v4.1.4", "MPICH Version: 4.0.2": the first line, to the first comma. */
static void library_name(char *name) {
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length = 0;
    MPI_Get_library_version(text, &length);
    size_t size = strcspn(text, ",\n");
    if (size >= NAME) size = NAME - 1;
    memcpy(name, text, size);
    name[size] = '\0';
    for (char *place = name; *place; place++)
        if (*place == '\t') *place = ' ';
}

/* What started this process as one of several, by what it left in the environment; NULL: it is the only one. srun comes
 * last, because mpirun itself may have started its daemons by it. */
static const char *started_by(long *ranks) {
    static const struct {
        const char *variable, *program;
    } known[] = {
        {"OMPI_COMM_WORLD_SIZE", "Open MPI's mpirun"},
        {"MV2_COMM_WORLD_SIZE", "MVAPICH's mpirun"},
        {"PMI_SIZE", "MPICH's mpiexec (or another by PMI)"},
        {"SLURM_STEP_NUM_TASKS", "srun"},
    };
    const size_t srun = sizeof known / sizeof *known - 1;
    bool seen = false;
    for (size_t i = 0; i <= srun; i++) {
        const char *text = i == srun && seen ? NULL : getenv(known[i].variable);
        *ranks = text ? strtol(text, NULL, 10) : 0;
        if (*ranks > 1) return known[i].program;
        seen = seen || text;
    }
    return NULL;
}

static int32_t refuse_start(message message, const char *program, long ranks, const char *name) {
    const char *remedy = strcmp(program, "srun") ? "start them by the mpirun of the plug-in's MPI"
                                                 : "start them by srun --mpi=pmix (srun --mpi=list shows what there "
                                                   "is) or by the mpirun of the plug-in's MPI";
    return refuse(message, DPO_ERROR_STATE,
                  "%s started %ld processes, but each would be alone: the plug-in is built with %s (%s), which knows "
                  "nothing of the others; %s, or build the plug-in with their MPI (make mpi MPICC=its mpicc)",
                  program, ranks, BUILT_WITH, name, remedy);
}

static int32_t initialise(message message, const char *name) {
    int initialised = 0, finalized = 0, provided = 0;
    long ranks;
    MPI_Finalized(&finalized);
    if (finalized)
        return refuse(message, DPO_ERROR_STATE, "MPI_Finalize was called in this process already (%s)", name);
    MPI_Initialized(&initialised);
    if (initialised) {
        MPI_Query_thread(&provided);
        if (provided < MPI_THREAD_SERIALIZED)
            return refuse(message, DPO_ERROR_STATE,
                          "the program has initialised MPI for its main thread only: it needs MPI_Init_thread with "
                          "MPI_THREAD_SERIALIZED or MPI_THREAD_MULTIPLE (%s)",
                          name);
        return DPO_OK;
    }
#ifdef OPEN_MPI
    /* It would end the process. */
    const char *program = started_by(&ranks);
    if (program && !strcmp(program, "srun") && !getenv("PMIX_RANK") && !getenv("PMI_FD") && !getenv("PMI_RANK"))
        return refuse_start(message, program, ranks, name);
#else
    (void)ranks;
#endif
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided) != MPI_SUCCESS)
        return refuse(message, DPO_ERROR_STATE, "MPI_Init_thread failed (%s)", name);
#ifdef __GLIBC__
    on_exit(at_exit, NULL);
#else
    atexit(at_exit);
#endif
    if (provided < MPI_THREAD_SERIALIZED)
        return refuse(message, DPO_ERROR_STATE, "%s is built for calls of the main thread only", name);
    return DPO_OK;
}

__attribute__((visibility("default"))) int32_t dpo_mpi_open(int32_t version, double timeout,
                                                            dpo_collectives *collectives, char *text,
                                                            size_t text_size) {
    message message = {text, text_size};
    if (version != DPO_COLLECTIVES_VERSION)
        return refuse(message, DPO_ERROR_UNSUPPORTED,
                      "the plug-in is of version %d, and libdpo.so wants %d: build or install both together",
                      DPO_COLLECTIVES_VERSION, (int)version);
    if (!collectives || !(timeout > 0)) return refuse(message, DPO_ERROR_INVALID_ARGUMENT, "timeout must be above 0");

    char name[NAME];
    library_name(name);
    if (is_open_mpi(name) != is_open_mpi(BUILT_WITH))
        return refuse(message, DPO_ERROR_STATE,
                      "the program has loaded %s, but the plug-in is built with %s: build it with the program's MPI "
                      "(make mpi MPICC=its mpicc)",
                      name, BUILT_WITH);
    int32_t status = initialise(message, name);
    if (status) return status;

    engine *engine = calloc(1, sizeof *engine);
    if (!engine) return refuse(message, DPO_ERROR_MEMORY, "no memory for a communicator");
    engine->timeout = timeout;
    memcpy(engine->name, name, sizeof name);
    MPI_Request request = MPI_REQUEST_NULL;
    int code = MPI_Comm_idup(MPI_COMM_WORLD, &engine->all, &request);
    status = finish(engine, code, &request, "the opening of a communicator by all ranks");
    if (status) {
        process.unclean = true; /* the engine stays: MPI may still write into it */
        return refuse(message, status, "%s", engine->error);
    }
    code = MPI_Comm_set_errhandler(engine->all, MPI_ERRORS_RETURN);
    if (code == MPI_SUCCESS) code = MPI_Comm_rank(engine->all, &engine->rank);
    if (code == MPI_SUCCESS) code = MPI_Comm_size(engine->all, &engine->size);
    if (code != MPI_SUCCESS) return refuse(message, fail_with(engine, code, "MPI_Comm_size"), "%s", engine->error);
    long ranks;
    const char *program = started_by(&ranks);
    if (engine->size == 1 && program) {
        MPI_Comm_free(&engine->all);
        free_engine(engine);
        return refuse_start(message, program, ranks, name);
    }

    size_t size = (size_t)engine->size;
    engine->purposes = calloc(size, sizeof(int));
    engine->requests = calloc(size, sizeof(MPI_Request));
    engine->indices = calloc(size, sizeof(int));
    engine->send_counts = calloc(size, sizeof(int));
    engine->send_places = calloc(size, sizeof(int));
    engine->receive_counts = calloc(size, sizeof(int));
    engine->receive_places = calloc(size, sizeof(int));
    if (!engine->purposes || !engine->requests || !engine->indices || !engine->send_counts || !engine->send_places ||
        !engine->receive_counts || !engine->receive_places) {
        MPI_Comm_free(&engine->all);
        free_engine(engine);
        return refuse(message, DPO_ERROR_MEMORY, "no memory for a communicator of %zu ranks", size);
    }
    engine->next = process.open;
    process.open = engine;
    *collectives = (dpo_collectives){
        .struct_size = sizeof *collectives,
        .version = DPO_COLLECTIVES_VERSION,
        .rank = engine->rank,
        .size = engine->size,
        .name = engine->name,
        .context = engine,
        .all_gather = all_gather,
        .all_to_all = all_to_all,
        .last_error = last_error,
        .abort = abort_all,
        .release = release,
    };
    return DPO_OK;
}
