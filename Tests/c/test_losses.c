/* Level 1: golden numbers (made by Tests/Fixtures/scripts and TRL's own loss code), and what is refused. */
#include "check.h"

enum { PAIRS = 6 };
static const double C[PAIRS] = {-12.50, -40.10, -3.20, -101.30, -22.75, -21.00};
static const double R[PAIRS] = {-14.25, -35.60, -9.90, -120.80, -22.75, -18.00};
static const double CR[PAIRS] = {-13.00, -38.70, -7.40, -99.90, -22.75, -15.00};
static const double RR[PAIRS] = {-13.75, -36.90, -2.10, -121.40, -22.75, -23.50};
static const int32_t NW[PAIRS] = {5, 17, 2, 48, 9, 20}, NL[PAIRS] = {6, 12, 4, 51, 9, 7};

typedef struct {
    int32_t type;
    double smoothing, loss, c1, r1, c6, r6;
} golden_row;

static const golden_row golden[] = {
    {DPO_LOSS_SIGMOID, 0, 0.7768796493, -0.007917013542, 0.007917013542, -0.01265851528, 0.01265851528},
    {DPO_LOSS_HINGE, 0, 1.086666667, -0.01666666667, 0.01666666667, -0.01666666667, 0.01666666667},
    {DPO_LOSS_IPO, 0, 23.08215154, -0.3211111111, 0.2675925926, -0.1014285714, 0.2897959184},
    {DPO_LOSS_EXO_PAIR, 0.001, 2.908173382, -0.02829069255, 0.02829069255, -0.02452665273, 0.02452665273},
    {DPO_LOSS_NCA_PAIR, 0, 1.427022091, -0.003854231755, 0.004062521696, -0.007808074322, 0.005284463258},
    {DPO_LOSS_ROBUST, 0.1, 0.7835463159, -0.01000034688, 0.01000034688, -0.01474184862, 0.01474184862},
    {DPO_LOSS_BCO_PAIR, 0, 1.443936804, -0.008125043392, 0.008125043392, -0.01076093844, 0.01056892652},
    {DPO_LOSS_SPPO_HARD, 0, 80.53333333, -1.5, 1.5, -3.666666667, 3.5},
    {DPO_LOSS_AOT, 0.1, 0.7166279173, -0.006250346875, 0.006250346875, -0.007166067529, 0.007166067529},
    {DPO_LOSS_AOT_UNPAIRED, 0.1, 0.7162914202, -0.006999822336, 0.007041413747, -0.005918685127, 0.007207571773},
    {DPO_LOSS_APO_ZERO, 0, 1.01382824, -0.004164063585, 0.004164063585, -0.003813070674, 0.003866794054},
    {DPO_LOSS_APO_DOWN, 0, 0.9972287163, 7.796248137e-06, 0.004156267337, 0.0007688359412, 0.003044234733},
    {DPO_LOSS_DISCOPOP, 0, 0.8486249926, -0.005111830724, 0.005111830724, -0.01265851523, 0.01265851523},
    {DPO_LOSS_SFT, 0, 1.988613861, -0.009900990099, 0, -0.009900990099, 0},
    {DPO_LOSS_SIGMOID_NORM, 0, 0.6725016384, -0.001651389317, 0.001376157764, -0.0004392635215, 0.001255038633},
};

static int32_t compute(const dpo_loss_options *options, double *loss, double *gc, double *gr) {
    return dpo_loss_compute(options, PAIRS, C, R, CR, RR, NW, NL, NULL, loss, NULL, gc, gr, NULL, NULL);
}

static void golden_values(void) {
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        dpo_loss_options options;
        CHECK_STATUS(DPO_OK, dpo_loss_options_init(&options, sizeof options));
        options.loss_types = &golden[i].type;
        options.loss_count = 1;
        options.label_smoothing = golden[i].smoothing;
        double loss = 0, gc[PAIRS], gr[PAIRS];
        CHECK_STATUS(DPO_OK, compute(&options, &loss, gc, gr));
        CHECK(near_to(loss, golden[i].loss, 1e-9));
        CHECK(near_to(gc[0], golden[i].c1, 1e-9) && near_to(gr[0], golden[i].r1, 1e-9));
        CHECK(near_to(gc[5], golden[i].c6, 1e-9) && near_to(gr[5], golden[i].r6, 1e-9));
    }
}

static void mixtures_and_divergences(void) {
    dpo_loss_options options;
    dpo_loss_options_init(&options, sizeof options);
    double loss = 0;
    const int32_t types[] = {DPO_LOSS_SIGMOID, DPO_LOSS_BCO_PAIR, DPO_LOSS_SFT};
    const double weights[] = {0.8, 0.2, 1.0};
    options.loss_types = types;
    options.loss_weights = weights;
    options.loss_count = 3;
    CHECK_STATUS(DPO_OK, compute(&options, &loss, NULL, NULL));
    CHECK(near_to(loss, 2.898904942, 1e-9));

    const double forms[] = {0.7768796493, 7.243638372, 0.7158877584, 1.173569612};
    dpo_loss_options_init(&options, sizeof options);
    for (int32_t form = 0; form < 4; form++) {
        options.f_divergence = form;
        CHECK_STATUS(DPO_OK, compute(&options, &loss, NULL, NULL));
        CHECK(near_to(loss, forms[form], 1e-9));
    }
}

static void rewards_losses_weights(void) {
    double loss, losses[PAIRS], rc[PAIRS], rr[PAIRS], mean = 0, gc[PAIRS], half[PAIRS], weighted;
    CHECK_STATUS(DPO_OK,
                 dpo_loss_compute(NULL, PAIRS, C, R, CR, RR, NULL, NULL, NULL, &loss, losses, gc, NULL, rc, rr));
    for (int i = 0; i < PAIRS; i++) {
        mean += losses[i] / PAIRS;
        CHECK(near_to(rc[i], 0.1 * (C[i] - CR[i]), 1e-12) && near_to(rr[i], 0.1 * (R[i] - RR[i]), 1e-12));
    }
    CHECK(near_to(mean, loss, 1e-12));
    const double weights[PAIRS] = {0.5, 0.5, 0.5, 0.5, 0.5, 0.5};
    CHECK_STATUS(DPO_OK, dpo_loss_compute(NULL, PAIRS, C, R, CR, RR, NULL, NULL, weights, &weighted, NULL, half, NULL,
                                          NULL, NULL));
    CHECK(near_to(weighted, loss / 2, 1e-12) && near_to(half[0], gc[0] / 2, 1e-12));

    /* Equal policies: log 2. Without a reference: reference_free. */
    CHECK_STATUS(DPO_OK, dpo_loss_compute(NULL, 1, C, R, C, R, NULL, NULL, NULL, &loss, NULL, NULL, NULL, NULL, NULL));
    CHECK(near_to(loss, log(2.0), 1e-15));
    dpo_loss_options options;
    dpo_loss_options_init(&options, sizeof options);
    options.reference_free = 1;
    CHECK_STATUS(
        DPO_OK, dpo_loss_compute(&options, 1, C, R, NULL, NULL, NULL, NULL, NULL, &loss, NULL, NULL, NULL, NULL, NULL));
    CHECK(near_to(loss, log(1 + exp(-0.1 * (C[0] - R[0]))), 1e-14));
}

static void refusals(void) {
    dpo_loss_options options;
    double loss = 7;
    const int32_t bad = DPO_ERROR_INVALID_ARGUMENT;
    dpo_loss_options_init(&options, sizeof options);
    CHECK_REFUSED(
        bad, "policy_chosen is NULL",
        dpo_loss_compute(&options, 1, NULL, R, CR, RR, NULL, NULL, NULL, &loss, NULL, NULL, NULL, NULL, NULL));
    CHECK_REFUSED(
        bad, "reference",
        dpo_loss_compute(&options, 1, C, R, NULL, NULL, NULL, NULL, NULL, &loss, NULL, NULL, NULL, NULL, NULL));
    CHECK_REFUSED(bad, "loss is NULL",
                  dpo_loss_compute(&options, 1, C, R, CR, RR, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL));
    CHECK_REFUSED(bad, "pairs",
                  dpo_loss_compute(&options, 0, C, R, CR, RR, NULL, NULL, NULL, &loss, NULL, NULL, NULL, NULL, NULL));
    CHECK_REFUSED(
        bad, "pairs",
        dpo_loss_compute(&options, SIZE_MAX, C, R, CR, RR, NULL, NULL, NULL, &loss, NULL, NULL, NULL, NULL, NULL));

    options.beta = 0;
    CHECK_REFUSED(bad, "beta", compute(&options, &loss, NULL, NULL));
    options.beta = NAN;
    CHECK_REFUSED(bad, "beta", compute(&options, &loss, NULL, NULL));
    options.beta = 0.1;
    options.f_divergence = 9;
    CHECK_REFUSED(bad, "f_divergence", compute(&options, &loss, NULL, NULL));
    options.f_divergence = 0;
    int32_t type = 99;
    options.loss_types = &type;
    options.loss_count = 1;
    CHECK_REFUSED(bad, "loss type 99", compute(&options, &loss, NULL, NULL));
    options.loss_count = 0;
    CHECK_REFUSED(bad, "loss_count", compute(&options, &loss, NULL, NULL));
    options.loss_types = NULL;
    options.loss_count = 2;
    CHECK_REFUSED(bad, "loss_types", compute(&options, &loss, NULL, NULL));
    options.loss_count = 1;
    options.loss_types = &type;
    type = DPO_LOSS_IPO;
    CHECK_REFUSED(bad, "token counts",
                  dpo_loss_compute(&options, 1, C, R, CR, RR, NULL, NULL, NULL, &loss, NULL, NULL, NULL, NULL, NULL));
    type = DPO_LOSS_EXO_PAIR;
    CHECK_REFUSED(bad, "label_smoothing", compute(&options, &loss, NULL, NULL));

    const double nothing = NAN;
    CHECK_STATUS(DPO_ERROR_NON_FINITE,
                 dpo_loss_compute(NULL, 1, &nothing, R, CR, RR, NULL, NULL, NULL, &loss, NULL, NULL, NULL, NULL, NULL));
    CHECK(loss == 7); /* outputs are written only on success */
}

/* π_ref·exp(r/β)/Z of three answers by hand, and what the other functions say of it. */
static void closed_form(void) {
    const double reference[] = {log(0.2), log(0.5), log(0.3)}, rewards[] = {1.0, -0.5, 2.0};
    double z = 0, policy[3], lambda, back[3], divergence, kl = 0, p[3];
    dpo_loss_options options;
    dpo_loss_options_init(&options, sizeof options);
    options.beta = 0.5;
    for (int i = 0; i < 3; i++) z += exp(reference[i] + rewards[i] / 0.5);
    CHECK_STATUS(DPO_OK, dpo_policy_optimum(&options, 3, reference, rewards, policy, &lambda));
    CHECK(near_to(lambda, 0.5 * log(z), 1e-14));
    CHECK_STATUS(DPO_OK, dpo_policy_rewards(&options, 3, policy, reference, back));
    CHECK_STATUS(DPO_OK, dpo_policy_divergence(&options, 3, policy, reference, &divergence));
    for (int i = 0; i < 3; i++) {
        CHECK(near_to(policy[i], reference[i] + rewards[i] / 0.5 - log(z), 1e-14));
        CHECK(near_to(back[i] + lambda, rewards[i], 1e-14));
        kl += exp(policy[i]) * (policy[i] - reference[i]);
    }
    CHECK(near_to(divergence, kl, 1e-14));
    CHECK_STATUS(DPO_OK, dpo_bradley_terry(2, rewards, rewards + 1, p));
    CHECK(near_to(p[0], 1 / (1 + exp(-1.5)), 1e-15) && near_to(p[1], 1 / (1 + exp(2.5)), 1e-15));

    /* Every divergence: the probabilities sum to 1, the better answer gains. */
    for (int32_t form = 0; form < 4; form++) {
        options.f_divergence = form;
        CHECK_STATUS(DPO_OK, dpo_policy_optimum(&options, 3, reference, rewards, policy, NULL));
        CHECK(near_to(exp(policy[0]) + exp(policy[1]) + exp(policy[2]), 1, 1e-14) && policy[2] > reference[2]);
    }
    const int32_t bad = DPO_ERROR_INVALID_ARGUMENT;
    const double half[] = {log(0.5), log(0.5)}, one[] = {0, -INFINITY}, nothing[] = {NAN, 0};
    CHECK_STATUS(DPO_OK, dpo_policy_divergence(NULL, 2, half, one, &divergence));
    CHECK(divergence == INFINITY);
    CHECK_REFUSED(bad, "reference_logps is NULL", dpo_policy_optimum(NULL, 2, NULL, rewards, policy, NULL));
    CHECK_REFUSED(bad, "rewards is NULL", dpo_policy_optimum(NULL, 2, half, NULL, policy, NULL));
    CHECK_REFUSED(bad, "expected 1", dpo_policy_optimum(NULL, 1, half, rewards, policy, NULL));
    CHECK_REFUSED(bad, "expected 1", dpo_policy_optimum(NULL, 0, half, rewards, policy, NULL));
    CHECK_REFUSED(bad, "more than any array", dpo_policy_optimum(NULL, SIZE_MAX, half, rewards, policy, NULL));
    CHECK_REFUSED(bad, "nan", dpo_policy_optimum(NULL, 2, half, nothing, policy, NULL));
    CHECK_REFUSED(bad, "nan", dpo_policy_divergence(NULL, 2, nothing, half, &divergence));
    CHECK_REFUSED(DPO_ERROR_NON_FINITE, "answer 1", dpo_policy_rewards(NULL, 2, half, one, back));
    CHECK_REFUSED(bad, "rewards is NULL", dpo_policy_rewards(NULL, 2, half, half, NULL));
    CHECK_REFUSED(bad, "divergence is NULL", dpo_policy_divergence(NULL, 2, half, half, NULL));
    CHECK_REFUSED(bad, "second_rewards is NULL", dpo_bradley_terry(2, rewards, NULL, p));
    options.f_divergence = 9;
    CHECK_REFUSED(bad, "f_divergence", dpo_policy_optimum(&options, 2, half, rewards, policy, NULL));
}

static void ranked_answers(void) {
    const size_t pairs[PAIRS] = {2, 2, 2, 2, 2, 2};
    const double order[2 * PAIRS] = {1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2};
    double policy[2 * PAIRS], reference[2 * PAIRS], g[2 * PAIRS], rewards[2 * PAIRS];
    double losses[PAIRS], gc[PAIRS], gr[PAIRS], loss = 7, pair_loss;
    for (int i = 0; i < PAIRS; i++) {
        policy[2 * i] = C[i], policy[2 * i + 1] = R[i], reference[2 * i] = CR[i], reference[2 * i + 1] = RR[i];
    }
    CHECK_STATUS(DPO_OK,
                 dpo_loss_compute_ranked(0.1, PAIRS, pairs, order, policy, reference, NULL, &loss, losses, g, rewards));
    CHECK_STATUS(DPO_OK,
                 dpo_loss_compute(NULL, PAIRS, C, R, CR, RR, NULL, NULL, NULL, &pair_loss, NULL, gc, gr, NULL, NULL));
    CHECK(near_to(loss, pair_loss, 1e-12) && near_to(rewards[0], 0.1 * (C[0] - CR[0]), 1e-12));
    for (int i = 0; i < PAIRS; i++) CHECK(near_to(g[2 * i], gc[i], 1e-11) && near_to(g[2 * i + 1], gr[i], 1e-11));

    /* Three answers, the best one last: log(1 + e^-2 + e^-3) + log(1 + e^-1). */
    const size_t three = 3;
    const double values[3] = {-3, -4, -1}, ranks[3] = {2, 3, 1}, weight = 2;
    CHECK_STATUS(DPO_OK, dpo_loss_compute_ranked(1, 1, &three, ranks, values, NULL, &weight, &loss, NULL, NULL, NULL));
    CHECK(near_to(loss, 2 * (log(1 + exp(-2) + exp(-3)) + log(1 + exp(-1))), 1e-12));

    const int32_t bad = DPO_ERROR_INVALID_ARGUMENT;
    const size_t one = 1, huge = SIZE_MAX;
    const double nothing[3] = {NAN, 0, 0}, negative = -1;
    loss = 7;
    CHECK_REFUSED(bad, "rows",
                  dpo_loss_compute_ranked(1, 0, &three, ranks, values, NULL, NULL, &loss, NULL, NULL, NULL));
    CHECK_REFUSED(bad, "rows",
                  dpo_loss_compute_ranked(1, SIZE_MAX, &three, ranks, values, NULL, NULL, &loss, NULL, NULL, NULL));
    CHECK_REFUSED(bad, "counts is NULL",
                  dpo_loss_compute_ranked(1, 1, NULL, ranks, values, NULL, NULL, &loss, NULL, NULL, NULL));
    CHECK_REFUSED(bad, "1 completions",
                  dpo_loss_compute_ranked(1, 1, &one, ranks, values, NULL, NULL, &loss, NULL, NULL, NULL));
    CHECK_REFUSED(bad, "completions",
                  dpo_loss_compute_ranked(1, 1, &huge, ranks, values, NULL, NULL, &loss, NULL, NULL, NULL));
    CHECK_REFUSED(bad, "ranks is NULL",
                  dpo_loss_compute_ranked(1, 1, &three, NULL, values, NULL, NULL, &loss, NULL, NULL, NULL));
    CHECK_REFUSED(bad, "policy is NULL",
                  dpo_loss_compute_ranked(1, 1, &three, ranks, NULL, NULL, NULL, &loss, NULL, NULL, NULL));
    CHECK_REFUSED(bad, "loss is NULL",
                  dpo_loss_compute_ranked(1, 1, &three, ranks, values, NULL, NULL, NULL, NULL, NULL, NULL));
    CHECK_REFUSED(bad, "beta",
                  dpo_loss_compute_ranked(0, 1, &three, ranks, values, NULL, NULL, &loss, NULL, NULL, NULL));
    CHECK_REFUSED(bad, "weight",
                  dpo_loss_compute_ranked(1, 1, &three, ranks, values, NULL, &negative, &loss, NULL, NULL, NULL));
    CHECK_REFUSED(bad, "rank",
                  dpo_loss_compute_ranked(1, 1, &three, nothing, values, NULL, NULL, &loss, NULL, NULL, NULL));
    CHECK_STATUS(DPO_ERROR_NON_FINITE,
                 dpo_loss_compute_ranked(1, 1, &three, ranks, nothing, NULL, NULL, &loss, NULL, NULL, NULL));
    CHECK(loss == 7);
}

static void struct_sizes(void) {
    struct {
        dpo_loss_options options;
        char later_fields[16];
    } newer;
    double loss;
    CHECK_STATUS(DPO_OK, dpo_loss_options_init(&newer.options, sizeof newer));
    CHECK(newer.options.struct_size == sizeof newer && newer.later_fields[15] == 0);
    CHECK_STATUS(DPO_OK, compute(&newer.options, &loss, NULL, NULL));
    newer.later_fields[3] = 1;
    CHECK_REFUSED(DPO_ERROR_UNSUPPORTED, "newer version", compute(&newer.options, &loss, NULL, NULL));

    CHECK_REFUSED(DPO_ERROR_INVALID_ARGUMENT, "NULL", dpo_loss_options_init(NULL, sizeof newer.options));
    CHECK_REFUSED(DPO_ERROR_INVALID_ARGUMENT, "struct_size", dpo_loss_options_init(&newer.options, 0));
    CHECK_REFUSED(DPO_ERROR_INVALID_ARGUMENT, "struct_size", dpo_loss_options_init(&newer.options, SIZE_MAX));
    dpo_loss_options options;
    dpo_loss_options_init(&options, sizeof options);
    options.struct_size = 0;
    CHECK_REFUSED(DPO_ERROR_INVALID_ARGUMENT, "struct_size", compute(&options, &loss, NULL, NULL));
    options.struct_size = 8;
    CHECK_REFUSED(DPO_ERROR_INVALID_ARGUMENT, "struct_size", compute(&options, &loss, NULL, NULL));
}

static void version_and_errors(void) {
    char expected[32];
    snprintf(expected, sizeof expected, "%d.%d.%d", DPO_VERSION_MAJOR, DPO_VERSION_MINOR, DPO_VERSION_PATCH);
    CHECK(strcmp(dpo_version(), expected) == 0);
    CHECK(dpo_abi_version() == DPO_ABI_VERSION);
    CHECK(strcmp(dpo_status_name(DPO_OK), "DPO_OK") == 0);
    CHECK(strcmp(dpo_status_name(DPO_ERROR_INVALID_ARGUMENT), "DPO_ERROR_INVALID_ARGUMENT") == 0);
    CHECK(strcmp(dpo_status_name(DPO_ERROR_INTERNAL), "DPO_ERROR_INTERNAL") == 0);
    CHECK(strcmp(dpo_status_name(DPO_ERROR_DIVERGED), "DPO_ERROR_DIVERGED") == 0);
    CHECK(strcmp(dpo_status_name(1), "unknown status") == 0 && strcmp(dpo_status_name(-12), "unknown status") == 0);
    dpo_string_free(NULL);
}

static void advantages_and_ppo(void) {
    const double rewards[] = {-0.01, 0.02, -0.03, 1}, values[] = {0.1, 0.2, 0.3, 0.4};
    const double expected[] = {0.7816, 0.728, 0.64, 0.6};
    const size_t counts[] = {4, 0};
    double advantages[4], returns[4];
    CHECK_STATUS(DPO_OK, dpo_gae(rewards, values, counts, 2, 1, 0.95, advantages, returns));
    for (int t = 0; t < 4; t++) {
        CHECK(fabs(advantages[t] - expected[t]) < 5e-5);
        CHECK(fabs(returns[t] - advantages[t] - values[t]) < 1e-12);
    }
    CHECK_STATUS(DPO_OK, dpo_gae(NULL, NULL, NULL, 0, 1, 1, NULL, NULL));
    const int32_t bad = DPO_ERROR_INVALID_ARGUMENT;
    const size_t huge[] = {SIZE_MAX, 1};
    CHECK_REFUSED(bad, "rewards is NULL", dpo_gae(NULL, values, counts, 2, 1, 1, advantages, NULL));
    CHECK_REFUSED(bad, "counts", dpo_gae(rewards, values, huge, 2, 1, 1, advantages, NULL));
    CHECK_REFUSED(bad, "counts", dpo_gae(rewards, values, counts, SIZE_MAX, 1, 1, advantages, NULL));
    CHECK_REFUSED(bad, "gamma", dpo_gae(rewards, values, counts, 2, 2, 1, advantages, NULL));
    CHECK_REFUSED(bad, "lam", dpo_gae(rewards, values, counts, 2, 1, NAN, advantages, NULL));

    /* r = 1.5 with A = 1 is beyond the range: no gradient. r = 1 with A = -1: d/dlogp = r / 2. V = 1, return 0, old 0.
     */
    const float now[] = {0.405465108f, 0}, old[] = {0, 0}, advantage[] = {1, -1}, value[] = {1, 1}, zero[] = {0, 0};
    double loss = 7, by_logp[2], by_value[2];
    dpo_ppo_options options;
    CHECK_STATUS(DPO_OK, dpo_ppo_options_init(&options, sizeof options));
    CHECK(options.cliprange == 0.2 && options.cliprange_value == 0.2 && options.vf_coef == 0.1);
    CHECK_STATUS(DPO_OK, dpo_ppo_loss(&options, 2, now, old, advantage, value, zero, zero, &loss, by_logp, by_value));
    CHECK(fabs(loss - ((-1.2 + 1) / 2 + 0.1 * 0.5)) < 1e-6);
    CHECK(by_logp[0] == 0 && fabs(by_logp[1] - 0.5) < 1e-6);
    CHECK(fabs(by_value[0] - 0.1 / 2) < 1e-6);
    CHECK_STATUS(DPO_OK, dpo_ppo_loss(NULL, 2, now, old, advantage, NULL, NULL, NULL, &loss, NULL, by_value));
    CHECK(fabs(loss + 0.1) < 1e-6 && by_value[0] == 0);
    CHECK_REFUSED(bad, "values is NULL",
                  dpo_ppo_loss(&options, 2, now, old, advantage, NULL, zero, zero, &loss, NULL, NULL));
    CHECK_REFUSED(bad, "loss is NULL",
                  dpo_ppo_loss(&options, 2, now, old, advantage, NULL, NULL, NULL, NULL, NULL, NULL));
    CHECK_REFUSED(bad, "logps",
                  dpo_ppo_loss(&options, SIZE_MAX, now, old, advantage, NULL, NULL, NULL, &loss, NULL, NULL));
    CHECK_STATUS(bad, dpo_ppo_loss(&options, 0, now, old, advantage, NULL, NULL, NULL, &loss, NULL, NULL));
    options.cliprange = -1;
    CHECK_REFUSED(bad, "cliprange",
                  dpo_ppo_loss(&options, 2, now, old, advantage, NULL, NULL, NULL, &loss, NULL, NULL));
    options.struct_size = 3;
    CHECK_REFUSED(bad, "struct_size",
                  dpo_ppo_loss(&options, 2, now, old, advantage, NULL, NULL, NULL, &loss, NULL, NULL));
    const float infinite[] = {INFINITY, 0}, back[] = {-1, -1};
    CHECK_STATUS(DPO_ERROR_NON_FINITE, dpo_ppo_loss(NULL, 2, infinite, old, back, NULL, NULL, NULL, &loss, NULL, NULL));
}

int main(void) {
    CHECK(dpo_last_error()[0] == 0);
    version_and_errors();
    golden_values();
    mixtures_and_divergences();
    rewards_losses_weights();
    refusals();
    closed_form();
    ranked_answers();
    struct_sizes();
    advantages_and_ppo();
    return check_summary();
}
