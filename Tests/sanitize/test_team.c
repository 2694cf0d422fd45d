/* The team of threads (CKernels/team.c), for the sanitizers of threads, addresses and undefined behaviour. */
#define _GNU_SOURCE /* pthread_getattr_np */
#include "ck_team.h"
#include "tally.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MEMBERS = 4, MOST = 257 };

typedef struct {
    int seen[MOST];         /* each index belongs to one task */
    int by_member[MEMBERS]; /* each slot belongs to one member at a time */
    int outside;            /* members that are none; nobody may write it */
} account;

static void count_task(void *context, int64_t index, int32_t member) {
    account *account = context;
    if (member < 0 || member >= MEMBERS) account->outside++;
    else account->by_member[member]++;
    account->seen[index]++;
}

/* Runs of all sizes: each index once, and what the tasks wrote is there when the run returns. */
static void run_often(ck_team *team, int runs, int pause) {
    for (int run = 0; run < runs; run++) {
        account account;
        memset(&account, 0, sizeof account);
        int count = (run * 37) % MOST, good = 1, sum = 0;
        ck_team_run(team, count_task, &account, count);
        for (int index = 0; index < MOST; index++) good &= account.seen[index] == (index < count);
        for (int member = 0; member < MEMBERS; member++) sum += account.by_member[member];
        TALLY(good && sum == count && account.outside == 0);
        if (pause && run % 10 == 0) usleep((unsigned)pause);
    }
}

static void *host(void *team) {
    run_often(team, 300, 0);
    return NULL;
}

static void every_index_once(void) {
    ck_team *team = ck_team_create(MEMBERS);
    TALLY(team != NULL);
    run_often(team, 500, 0);
    run_often(team, 200, 200); /* members fall asleep in between */
    ck_team_destroy(team);
    ck_team_destroy(NULL);
}

static void several_hosts(void) {
    ck_team *team = ck_team_create(MEMBERS);
    pthread_t hosts[3];
    for (int i = 0; i < 3; i++) pthread_create(&hosts[i], NULL, host, team);
    for (int i = 0; i < 3; i++) pthread_join(hosts[i], NULL);
    ck_team_destroy(team);
}

static void teams_come_and_go(void) {
    for (int members = 1; members <= 40; members++) {
        ck_team *team = ck_team_create(1 + members % MEMBERS);
        if (members % 3) run_often(team, 3, 0);
        ck_team_destroy(team);
    }
    errno = 0;
    TALLY(ck_team_create(0) == NULL && errno == EINVAL);
    TALLY(ck_processors() >= 1);
}

#ifndef SANITIZED /* sanitizers take address space and stack for themselves */
static void note_stack(void *context, int64_t index, int32_t member) {
    pthread_attr_t attributes;
    size_t size = 0;
    (void)index;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    pthread_attr_getstacksize(&attributes, &size);
    pthread_attr_destroy(&attributes);
    ((size_t *)context)[member] = size;
    usleep(1000);
}

/* Hosts with little address space have room for many threads, and are told when there is none for more. */
static void stacks_are_small_and_a_failed_start_is_an_error(void) {
    size_t sizes[MEMBERS] = {0};
    ck_team *team = ck_team_create(MEMBERS);
    ck_team_run(team, note_stack, sizes, 50);
    ck_team_destroy(team);
    for (int member = 1; member < MEMBERS; member++) TALLY(sizes[member] == 0 || sizes[member] <= 1 << 20);
    struct rlimit old, small;
    getrlimit(RLIMIT_AS, &old);
    small = old;
    small.rlim_cur = (rlim_t)600 << 20;
    TALLY(setrlimit(RLIMIT_AS, &small) == 0);
    team = ck_team_create(256); /* 8 MiB each, the usual size, would not fit */
    TALLY(team != NULL);
    ck_team_destroy(team);
    errno = 0;
    TALLY(ck_team_create(1024) == NULL && errno != 0);
    setrlimit(RLIMIT_AS, &old);
    team = ck_team_create(MEMBERS); /* nothing was left behind */
    run_often(team, 10, 0);
    ck_team_destroy(team);
}
#endif

int main(void) {
    every_index_once();
    several_hosts();
    teams_come_and_go();
#ifndef SANITIZED
    stacks_are_small_and_a_failed_start_is_an_error();
#endif
    return tally_summary();
}
