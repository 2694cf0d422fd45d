// Every DPO loss of six pairs, beside the numbers of TRL 1.16's own code, and what its gradient says.
//
//   c++ -std=c++17 losses.cpp $(pkg-config --cflags --libs dpo) -o losses && ./losses
#include <dpo.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

namespace {

// Summed log-probs of six chosen and six rejected answers, under the policy and the reference model, and their tokens.
const std::vector<double> policy_chosen = {-12.50, -40.10, -3.20, -101.30, -22.75, -21.00};
const std::vector<double> policy_rejected = {-14.25, -35.60, -9.90, -120.80, -22.75, -18.00};
const std::vector<double> reference_chosen = {-13.00, -38.70, -7.40, -99.90, -22.75, -15.00};
const std::vector<double> reference_rejected = {-13.75, -36.90, -2.10, -121.40, -22.75, -23.50};
const std::vector<int32_t> chosen_tokens = {5, 17, 2, 48, 9, 20}, rejected_tokens = {6, 12, 4, 51, 9, 7};

struct row {
    const char *name;
    int32_t type;
    double label_smoothing, loss, gradient;
};

// TRL's loss, and d loss / d log-prob of the first chosen answer.
const row rows[] = {
    {"sigmoid", DPO_LOSS_SIGMOID, 0, 0.7768796493, -0.007917013542},
    {"hinge", DPO_LOSS_HINGE, 0, 1.086666667, -0.01666666667},
    {"ipo", DPO_LOSS_IPO, 0, 23.08215154, -0.3211111111},
    {"exo_pair", DPO_LOSS_EXO_PAIR, 0.001, 2.908173382, -0.02829069255},
    {"nca_pair", DPO_LOSS_NCA_PAIR, 0, 1.427022091, -0.003854231755},
    {"robust", DPO_LOSS_ROBUST, 0.1, 0.7835463159, -0.01000034688},
    {"bco_pair", DPO_LOSS_BCO_PAIR, 0, 1.443936804, -0.008125043392},
    {"sppo_hard", DPO_LOSS_SPPO_HARD, 0, 80.53333333, -1.5},
    {"aot", DPO_LOSS_AOT, 0.1, 0.7166279173, -0.006250346875},
    {"aot_unpaired", DPO_LOSS_AOT_UNPAIRED, 0.1, 0.7162914202, -0.006999822336},
    {"apo_zero", DPO_LOSS_APO_ZERO, 0, 1.01382824, -0.004164063585},
    {"apo_down", DPO_LOSS_APO_DOWN, 0, 0.9972287163, 7.796248137e-06},
    {"discopop", DPO_LOSS_DISCOPOP, 0, 0.8486249926, -0.005111830724},
    {"sft", DPO_LOSS_SFT, 0, 1.988613861, -0.009900990099},
    {"sigmoid_norm", DPO_LOSS_SIGMOID_NORM, 0, 0.6725016384, -0.001651389317},
};

bool near(double found, double expected) {
    return std::fabs(found - expected) <= 1e-9 * std::fmax(1, std::fabs(expected));
}

} // namespace

int main() {
    const dpo::pair_logps logps{
        policy_chosen, policy_rejected, reference_chosen, reference_rejected, chosen_tokens, rejected_tokens, {}};
    bool good = true;
    try {
        std::printf("%-14s%14s%14s%14s\n", "loss", "libdpo", "TRL", "gradient");
        for (const row &row : rows) {
            dpo::loss_options options;
            options.types = {row.type};
            options.label_smoothing = row.label_smoothing;
            const auto result = dpo::compute_loss(logps, options);
            const bool same = near(result.loss, row.loss) && near(result.gradient_chosen[0], row.gradient);
            std::printf("%-14s%14.9g%14.9g%14.6g%s\n", row.name, result.loss, row.loss, result.gradient_chosen[0],
                        same ? "" : "   differs");
            good = good && same;
        }
    } catch (const dpo::error &error) {
        std::fprintf(stderr, "%s: %s\n", error.status_name(), error.what());
        return 1;
    }
    std::printf(good ? "All losses are TRL's.\n" : "Some losses are not TRL's.\n");
    return good ? 0 : 1;
}
