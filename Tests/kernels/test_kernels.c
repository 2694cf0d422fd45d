/* The kernels by themselves, against loops that anyone can read. Needs nothing but a C compiler, so that it runs on
   processors that the rest is not built for here: see the suites kernels and arm64-kernels of Tests/run.py. */
#include <CKernels.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int checks_passed, checks_failed;
static const ck_engine *engine;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (condition) {                                                                                               \
            checks_passed++;                                                                                           \
        } else {                                                                                                       \
            checks_failed++;                                                                                           \
            printf("FAILED %s:%d: %s\n", __FILE__, __LINE__, #condition);                                              \
        }                                                                                                              \
    } while (0)

/* Numbers between -1 and 1, the same on every machine. */
static uint32_t state = 1;
static uint32_t random_bits(void) {
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}
static float random_number(void) { return (float)random_bits() / (float)(1 << 23) - 1.0f; }

static void fill(float *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = random_number();
}

/* Blocks of Q8_0: a half-precision scale, then 32 signed bytes; each number is the scale times the byte, exactly. */
static void q8_0(void) {
    static const struct {
        uint8_t low, high;
        float scale;
    } scales[] = {
        {0x00, 0x38, 0.5f},     {0x00, 0xbc, -1.0f},       {0x01, 0x00, 0x1p-24f}, {0xff, 0x03, 0x1.ff8p-15f},
        {0x00, 0x04, 0x1p-14f}, {0x55, 0x35, 0x1.554p-2f}, {0xff, 0x7b, 65504.0f}, {0x00, 0x00, 0.0f},
    };
    enum { BLOCKS = sizeof scales / sizeof *scales, SIZE = 34, COUNT = 32 * BLOCKS, ROWS = 3 };
    uint8_t bytes[1 + ROWS * BLOCKS * SIZE]; /* the first is skipped: blocks need no alignment */
    float expected[COUNT], found[COUNT], rows[ROWS][COUNT + 5];
    for (size_t row = 0; row < ROWS; row++) {
        for (size_t b = 0; b < BLOCKS; b++) {
            uint8_t *block = bytes + 1 + (row * BLOCKS + b) * SIZE;
            block[0] = scales[b].low;
            block[1] = scales[b].high;
            for (int i = 0; i < 32; i++) {
                int q = i == 0 ? -128 : i == 1 ? 127 : (int)(random_bits() & 255) - 128;
                block[2 + i] = (uint8_t)q;
                if (row == 0) expected[32 * b + (size_t)i] = scales[b].scale * (float)q;
            }
        }
    }
    memset(found, 0xff, sizeof found);
    engine->dequantize(CK_Q8_0, bytes + 1, found, COUNT);
    for (size_t b = 0; b < BLOCKS; b++) CHECK(memcmp(found + 32 * b, expected + 32 * b, 32 * sizeof(float)) == 0);

    engine->dequantize_rows(CK_Q8_0, bytes + 1, BLOCKS * SIZE, ROWS, rows[0], COUNT + 5, COUNT);
    for (size_t row = 0; row < ROWS; row++) {
        engine->dequantize(CK_Q8_0, bytes + 1 + row * BLOCKS * SIZE, found, COUNT);
        CHECK(memcmp(rows[row], found, sizeof found) == 0);
    }
}

/* y = w · s / √(mean(s²) + eps) with s = x + add + bias */
static void rms_norm(void) {
    static const size_t widths[] = {1, 7, 16, 64, 257, 1024};
    enum { ROWS = 5, MOST = 1024 };
    const float eps = 1e-5f;
    static float x[ROWS * MOST], add[ROWS * MOST], sum[ROWS * MOST], y[ROWS * MOST], again[ROWS * MOST];
    static float w[MOST], bias[MOST], rstd[ROWS];
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const size_t width = widths[i];
        fill(x, ROWS * width);
        fill(add, ROWS * width);
        fill(w, width);
        fill(bias, width);
        for (int added = 0; added < 2; added++) {
            engine->rms_forward(x, added ? add : NULL, added ? bias : NULL, sum, w, y, rstd, ROWS, width, eps);
            double worst = 0, worst_rstd = 0;
            for (size_t row = 0; row < ROWS; row++) {
                double squares = 0;
                for (size_t j = 0; j < width; j++) {
                    double s = x[row * width + j];
                    if (added) s += (double)add[row * width + j] + bias[j];
                    squares += s * s;
                }
                const double r = 1 / sqrt(squares / (double)width + eps);
                worst_rstd = fmax(worst_rstd, fabs(rstd[row] / r - 1));
                for (size_t j = 0; j < width; j++) {
                    double s = x[row * width + j];
                    if (added) s += (double)add[row * width + j] + bias[j];
                    worst = fmax(worst, fabs(y[row * width + j] - w[j] * s * r));
                }
            }
            CHECK(worst_rstd < 2e-6);
            CHECK(worst < 5e-6);
            /* A row has the same bits whatever is computed beside it. */
            engine->rms_forward(x + 2 * width, added ? add + 2 * width : NULL, added ? bias : NULL, sum, w, again, rstd,
                                1, width, eps);
            CHECK(memcmp(again, y + 2 * width, width * sizeof *y) == 0);
        }
    }
}

typedef struct {
    int32_t members;
    atomic_int *calls;
    atomic_int strangers; /* calls by a member that there is not */
} work;

static void one_task(void *context, int64_t index, int32_t member) {
    work *w = context;
    atomic_fetch_add(&w->calls[index], 1);
    if (member < 0 || member >= w->members) atomic_fetch_add(&w->strangers, 1);
}

/* Every index once, by a member of the team, whatever the numbers of both. */
static void team(void) {
    static const int32_t sizes[] = {1, 2, 3, 8};
    static const int64_t counts[] = {0, 1, 2, 7, 1000};
    CHECK(ck_processors() >= 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ck_team *members = ck_team_create(sizes[i]);
        CHECK(members != NULL);
        if (!members) continue;
        int wrong = 0, strangers = 0;
        for (int round = 0; round < 20; round++) {
            for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
                work w = {.members = sizes[i], .calls = calloc(1000, sizeof *w.calls)};
                ck_team_run(members, one_task, &w, counts[c]);
                for (int64_t k = 0; k < 1000; k++) wrong += w.calls[k] != (k < counts[c]);
                strangers += w.strangers;
                free(w.calls);
            }
        }
        CHECK(wrong == 0);
        CHECK(strangers == 0);
        ck_team_destroy(members);
    }
}

int main(void) {
    for (int i = 0; i < CK_ENGINES; i++) {
        engine = ck_engine_at(i);
        if (!engine) continue;
        q8_0();
        rms_norm();
    }
    team();
    printf("%d passed, %d failed\n", checks_passed, checks_failed);
    return checks_failed != 0;
}
