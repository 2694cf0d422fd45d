/* A rank that drives libdpo-mpi.so by itself. Usage: plugin LIBRARY SCENARIO; test_plugin.py starts it by mpirun. Each
 * check that fails prints a line with FAILED; a rank whose checks all hold ends with "rank R: done". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <dpo.h>
#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

typedef int32_t opener(int32_t, double, dpo_collectives *, char *, size_t);

static dpo_collectives mpi;
static opener *open_mpi;

static void check(int good, int line, const char *what) {
    if (good) return;
    const char *why = mpi.last_error ? mpi.last_error(mpi.context) : NULL;
    printf("FAILED rank %d, line %d: %s (%s)\n", (int)mpi.rank, line, what, why ? why : "no error");
    fflush(stdout);
    exit(3);
}
#define CHECK(condition) check((condition) != 0, __LINE__, #condition)

static double seconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void open_or_say(double timeout) {
    char message[512] = "";
    int32_t status = open_mpi(DPO_COLLECTIVES_VERSION, timeout, &mpi, message, sizeof message);
    if (status == DPO_OK) return;
    printf("refused (%d): %s\n", (int)status, message);
    exit(4);
}

static unsigned char byte_of(int from, int to, size_t place) {
    return (unsigned char)(from * 37 + to * 11 + (int)(place % 251));
}

/* Rank r gives r·3 % 5 · `unit` bytes: some of them none. */
static void gather(size_t unit) {
    size_t *bytes = malloc((size_t)mpi.size * sizeof *bytes), sum = 0, place = 0;
    for (int rank = 0; rank < mpi.size; rank++) sum += bytes[rank] = (size_t)(rank * 3 % 5) * unit;
    size_t mine = bytes[mpi.rank];
    unsigned char *send = malloc(mine + 1), *receive = malloc(sum + 1);
    for (size_t i = 0; i < mine; i++) send[i] = byte_of(mpi.rank, 0, i);
    receive[sum] = 200;
    CHECK(mpi.all_gather(mpi.context, send, receive, bytes) == 0);
    for (int rank = 0; rank < mpi.size; rank++)
        for (size_t i = 0; i < bytes[rank]; i++) CHECK(receive[place++] == byte_of(rank, 0, i));
    CHECK(receive[sum] == 200);
    free(bytes);
    free(send);
    free(receive);
}

/* Rank r gives rank s (r + 2s) % 4 · `unit` bytes. */
static void exchange(size_t unit) {
    size_t size = (size_t)mpi.size, out = 0, in = 0, place = 0;
    size_t *send_bytes = malloc(size * sizeof *send_bytes), *receive_bytes = malloc(size * sizeof *receive_bytes);
    for (int rank = 0; rank < mpi.size; rank++) {
        out += send_bytes[rank] = (size_t)((mpi.rank + 2 * rank) % 4) * unit;
        in += receive_bytes[rank] = (size_t)((rank + 2 * mpi.rank) % 4) * unit;
    }
    unsigned char *send = malloc(out + 1), *receive = malloc(in + 1);
    for (int rank = 0; rank < mpi.size; rank++)
        for (size_t i = 0; i < send_bytes[rank]; i++) send[place++] = byte_of(mpi.rank, rank, i);
    receive[in] = 200;
    place = 0;
    CHECK(mpi.all_to_all(mpi.context, send, send_bytes, receive, receive_bytes) == 0);
    for (int rank = 0; rank < mpi.size; rank++)
        for (size_t i = 0; i < receive_bytes[rank]; i++) CHECK(receive[place++] == byte_of(rank, mpi.rank, i));
    CHECK(receive[in] == 200);
    free(send_bytes);
    free(receive_bytes);
    free(send);
    free(receive);
}

static void correct(void) {
    open_or_say(60);
    for (size_t unit = 1; unit < 2000000; unit *= 7) {
        gather(unit);
        exchange(unit);
    }
    gather(0);
    exchange(0);
    mpi.release(mpi.context, 1);
    /* Once more: MPI can be initialised only once in a process. */
    open_or_say(60);
    gather(5);
    mpi.release(mpi.context, 1);
}

/* `total` bytes through every rank. */
static void large(size_t total) {
    open_or_say(120);
    exchange(1);
    size_t size = (size_t)mpi.size, *bytes = malloc(size * sizeof *bytes);
    for (size_t rank = 0; rank < size; rank++) bytes[rank] = total / size;
    size_t all = total / size * size;
    unsigned char *send = malloc(all), *receive = malloc(all);
    memset(send, mpi.rank + 1, all);
    memset(receive, 0, all);
    double start = seconds(CLOCK_MONOTONIC);
    CHECK(mpi.all_to_all(mpi.context, send, bytes, receive, bytes) == 0);
    double exchanged = seconds(CLOCK_MONOTONIC);
    for (size_t i = 0; i < all; i += 4093) CHECK(receive[i] == i / bytes[0] + 1);
    CHECK(receive[all - 1] == mpi.size);
    double checked = seconds(CLOCK_MONOTONIC);
    CHECK(mpi.all_gather(mpi.context, send, receive, bytes) == 0);
    if (!mpi.rank)
        printf("%zu MB: all_to_all %.3f s, all_gather %.3f s\n", total / 1000000, exchanged - start,
               seconds(CLOCK_MONOTONIC) - checked);
    for (size_t i = 0; i < all; i += 4093) CHECK(receive[i] == i / bytes[0] + 1);
    bytes[0] = ((size_t)1 << 30) + 1;
    CHECK(mpi.all_to_all(mpi.context, send, bytes, receive, bytes) != 0);
    CHECK(strstr(mpi.last_error(mpi.context), "more than 1 GiB"));
    mpi.release(mpi.context, 0);
    _exit(0); /* as a host would that lost its ranks; mpirun calls that an error */
}

/* The last rank comes late. The others sleep meanwhile. */
static void late(void) {
    open_or_say(60);
    gather(1);
    double before = seconds(CLOCK_PROCESS_CPUTIME_ID);
    if (mpi.rank == mpi.size - 1) sleep(2);
    gather(1000);
    double used = seconds(CLOCK_PROCESS_CPUTIME_ID) - before;
    if (mpi.rank == 0) printf("%.3f s of processor while it waited for 2 s\n", used);
    CHECK(used < 0.2);
    mpi.release(mpi.context, 1);
}

static void latency(void) {
    open_or_say(60);
    enum { CALLS = 2000 };
    gather(1);
    double start = seconds(CLOCK_MONOTONIC);
    for (int call = 0; call < CALLS; call++) gather(100);
    if (mpi.rank == 0) printf("%.1f us a call\n", 1e6 * (seconds(CLOCK_MONOTONIC) - start) / CALLS);
    mpi.release(mpi.context, 1);
}

/* `rank` does not come within the timeout of a second. The others learn who it is, and end orderly. */
static void absent(int rank) {
    open_or_say(1);
    gather(10);
    if (mpi.rank == rank) {
        sleep(8);
        _exit(0);
    }
    size_t *bytes = calloc((size_t)mpi.size, sizeof *bytes);
    double start = seconds(CLOCK_MONOTONIC);
    CHECK(mpi.all_gather(mpi.context, NULL, NULL, bytes) != 0);
    double waited = seconds(CLOCK_MONOTONIC) - start;
    CHECK(waited > 0.9 && waited < 4.5);
    char expected[64];
    snprintf(expected, sizeof expected, "rank %d did not come within", rank);
    printf("%s\n", mpi.last_error(mpi.context));
    CHECK(strstr(mpi.last_error(mpi.context), expected));
    CHECK(mpi.all_to_all(mpi.context, NULL, bytes, NULL, bytes) != 0); /* at once, and for the same reason */
    CHECK(strstr(mpi.last_error(mpi.context), expected));
    CHECK(seconds(CLOCK_MONOTONIC) - start < 5);
    mpi.release(mpi.context, 0);
    printf("rank %d: done\n", (int)mpi.rank);
    fflush(stdout);
    sleep(8); /* mpirun ends all when the first of them does without MPI_Finalize */
}

/* Calls until the ranks lose each other. */
static void until_lost(void) {
    open_or_say(3);
    gather(1000);
    printf("rank %d: begun\n", (int)mpi.rank);
    fflush(stdout);
    size_t *bytes = calloc((size_t)mpi.size, sizeof *bytes);
    double start = seconds(CLOCK_MONOTONIC);
    while (mpi.all_gather(mpi.context, NULL, NULL, bytes) == 0) {
        CHECK(seconds(CLOCK_MONOTONIC) - start < 60);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    printf("rank %d: %s\n", (int)mpi.rank, mpi.last_error(mpi.context));
    fflush(stdout);
    _exit(5);
}

/* The last rank releases in an orderly way while the others go on: they learn of it at once. */
static void leaves(void) {
    open_or_say(60);
    gather(10);
    double start = seconds(CLOCK_MONOTONIC);
    if (mpi.rank == mpi.size - 1) {
        mpi.release(mpi.context, 1);
    } else {
        size_t *bytes = calloc((size_t)mpi.size, sizeof *bytes);
        CHECK(mpi.all_gather(mpi.context, NULL, NULL, bytes) != 0);
        printf("%s\n", mpi.last_error(mpi.context));
        CHECK(strstr(mpi.last_error(mpi.context), "left"));
        mpi.release(mpi.context, 0);
    }
    CHECK(seconds(CLOCK_MONOTONIC) - start < 10);
    printf("rank %d: done\n", (int)mpi.rank);
    fflush(stdout);
    sleep(2);
}

/* Rank 1 calls another function than the others. */
static void confused(void) {
    open_or_say(60);
    size_t *bytes = calloc((size_t)mpi.size, sizeof *bytes);
    if (mpi.rank == 1) CHECK(mpi.all_gather(mpi.context, NULL, NULL, bytes) != 0);
    else CHECK(mpi.all_to_all(mpi.context, NULL, bytes, NULL, bytes) != 0);
    CHECK(strstr(mpi.last_error(mpi.context), "rank 1 called all_gather, others all_to_all"));
    mpi.release(mpi.context, 0);
    printf("rank %d: done\n", (int)mpi.rank);
    fflush(stdout);
    sleep(2);
}

/* A host that forgets to release, and ends well. */
static void forgets(void) {
    open_or_say(60);
    gather(10);
    dpo_collectives other = mpi;
    open_or_say(60);
    gather(10);
    mpi = other;
    gather(10);
}

/* The last rank ends by `how` in the midst of things: mpirun ends the others, long before the timeout. */
static void ends(const char *how) {
    open_or_say(600);
    gather(10);
    if (mpi.rank == mpi.size - 1) {
        if (!strcmp(how, "exit")) exit(7);
        if (!strcmp(how, "kill")) raise(SIGKILL);
        if (!strcmp(how, "abort")) mpi.abort(mpi.context, 9);
    }
    gather(10);
    CHECK(!"reached");
}

static void *from_thread(void *unused) {
    (void)unused;
    gather(1000);
    exchange(1000);
    return NULL;
}

/* Each call from another thread. */
static void threads(void) {
    open_or_say(60);
    for (int call = 0; call < 20; call++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, from_thread, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    mpi.release(mpi.context, 1);
}

/* The host has initialised MPI, and goes on to use it. */
static void host(int level) {
    int provided = 0, ranks = 0, finalized = 1, sum = 0, one = 1;
    MPI_Init_thread(NULL, NULL, level, &provided);
    open_or_say(60);
    exchange(100);
    mpi.release(mpi.context, 1);
    MPI_Finalized(&finalized);
    CHECK(!finalized);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    MPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    CHECK(sum == ranks && ranks == mpi.size);
    MPI_Finalize();
    char message[512] = "";
    CHECK(open_mpi(DPO_COLLECTIVES_VERSION, 60, &mpi, message, sizeof message) == DPO_ERROR_STATE);
    CHECK(strstr(message, "MPI_Finalize"));
}

static void versions(void) {
    char message[512] = "";
    CHECK(open_mpi(DPO_COLLECTIVES_VERSION + 1, 60, &mpi, message, sizeof message) == DPO_ERROR_UNSUPPORTED);
    CHECK(strstr(message, "version"));
    CHECK(open_mpi(DPO_COLLECTIVES_VERSION, 0, &mpi, message, sizeof message) == DPO_ERROR_INVALID_ARGUMENT);
    open_or_say(60);
    printf("%s: rank %d of %d\n", mpi.name, (int)mpi.rank, (int)mpi.size);
    mpi.release(mpi.context, 1);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    const char *scenario = argv[2];
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    open_mpi = library ? (opener *)dlsym(library, "dpo_mpi_open") : NULL;
    if (!open_mpi) {
        printf("FAILED %s\n", dlerror());
        return 2;
    }
    if (!strcmp(scenario, "correct")) correct();
    else if (!strcmp(scenario, "large")) large((size_t)atol(argv[3]));
    else if (!strcmp(scenario, "late")) late();
    else if (!strcmp(scenario, "latency")) latency();
    else if (!strcmp(scenario, "absent")) absent(atoi(argv[3]));
    else if (!strcmp(scenario, "until-lost")) until_lost();
    else if (!strcmp(scenario, "leaves")) leaves();
    else if (!strcmp(scenario, "confused")) confused();
    else if (!strcmp(scenario, "forgets")) forgets();
    else if (!strcmp(scenario, "threads")) threads();
    else if (!strcmp(scenario, "host")) host(MPI_THREAD_SERIALIZED);
    else if (!strcmp(scenario, "single")) host(MPI_THREAD_SINGLE);
    else if (!strcmp(scenario, "versions")) versions();
    else ends(scenario);
    printf("rank %d: done\n", (int)mpi.rank);
    return 0;
}
