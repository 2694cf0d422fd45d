// The C++ interface dpo.hpp: what it gives back is what the C functions give, what a callback throws comes out of the
// call, and handles move, wait and go. Run from the repository root.
#include "check.h"

#include <dpo.hpp>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <mutex>
#include <thread>

namespace {

const char *const LLAMA = "Tests/Fixtures/models/llama-tied", *const QWEN = "Tests/Fixtures/models/qwen2";
const char *const PAIRS = "Tests/Fixtures/data/pairs.jsonl";

template <typename Function> int32_t status_of(Function &&function, const char *word = "") {
    try {
        function();
        return DPO_OK;
    } catch (const dpo::error &error) {
        CHECK(std::string(error.what()).find(word) != std::string::npos);
        return error.status();
    }
}

struct own_error {
    int number;
};

template <typename Function> int number_thrown(Function &&function) {
    try {
        function();
    } catch (const own_error &error) {
        return error.number;
    }
    return 0;
}

dpo::train_options small_run() {
    dpo::train_options options;
    options.lora_r = 4;
    options.lora_target_modules = "all-linear";
    options.learning_rate = 5e-3;
    options.per_device_train_batch_size = 4;
    options.max_steps = 6;
    options.max_length = 256;
    return options;
}

void losses() {
    // The first rows of test_losses.c, which has TRL's numbers.
    const std::array<double, 6> policy_chosen = {-12.50, -40.10, -3.20, -101.30, -22.75, -21.00};
    const std::vector<double> policy_rejected = {-14.25, -35.60, -9.90, -120.80, -22.75, -18.00};
    const double reference_chosen[] = {-13.00, -38.70, -7.40, -99.90, -22.75, -15.00};
    const double reference_rejected[] = {-13.75, -36.90, -2.10, -121.40, -22.75, -23.50};
    const int32_t chosen_tokens[] = {5, 17, 2, 48, 9, 20}, rejected_tokens[] = {6, 12, 4, 51, 9, 7};
    dpo::pair_logps logps{policy_chosen, policy_rejected, reference_chosen, reference_rejected};
    const auto sigmoid = dpo::compute_loss(logps);
    CHECK(near_to(sigmoid.loss, 0.7768796493, 1e-9));
    CHECK(near_to(sigmoid.gradient_chosen[0], -0.007917013542, 1e-9));
    CHECK(near_to(sigmoid.gradient_rejected[5], 0.01265851528, 1e-9));
    CHECK(near_to(sigmoid.reward_chosen[1], 0.1 * (-40.10 + 38.70), 1e-12) && sigmoid.losses.size() == 6);

    logps.chosen_tokens = chosen_tokens;
    logps.rejected_tokens = rejected_tokens;
    dpo::loss_options mixture;
    mixture.types = {DPO_LOSS_SIGMOID, DPO_LOSS_BCO_PAIR, DPO_LOSS_SFT};
    mixture.weights = {0.8, 0.2, 1.0};
    const auto copy = mixture; // points to vectors of its own
    mixture.types.clear();
    CHECK(near_to(dpo::compute_loss(logps, copy).loss, 2.898904942, 1e-9));
    CHECK(near_to(dpo::compute_loss(logps, mixture).loss, sigmoid.loss, 1e-12));

    logps.weights = dpo::span<const double>(reference_chosen, 5);
    CHECK(status_of([&] { dpo::compute_loss(logps); }, "weights has 5") == DPO_ERROR_INVALID_ARGUMENT);
    mixture.beta = -1;
    logps.weights = {};
    CHECK(status_of([&] { dpo::compute_loss(logps, mixture); }, "beta") == DPO_ERROR_INVALID_ARGUMENT);

    // A pair is the ranking of two.
    const std::vector<size_t> counts = {2};
    const double ranks[] = {1, 2}, policy[] = {policy_chosen[0], policy_rejected[0]};
    const double reference[] = {reference_chosen[0], reference_rejected[0]};
    const auto ranked = dpo::compute_ranked_loss(0.1, counts, ranks, policy, reference);
    CHECK(near_to(ranked.loss, sigmoid.losses[0], 1e-12) &&
          near_to(ranked.rewards[0], sigmoid.reward_chosen[0], 1e-12));

    const double prior[] = {std::log(0.5), std::log(0.3), std::log(0.2)}, rewards[] = {1, 2, 0.5};
    const auto best = dpo::policy_optimum(prior, rewards);
    const double partition = 0.5 * std::exp(10.0) + 0.3 * std::exp(20.0) + 0.2 * std::exp(5.0);
    CHECK(near_to(best.normalizer, 0.1 * std::log(partition), 1e-9));
    CHECK(near_to(dpo::policy_rewards(best.policy_logps, prior)[1], 2 - best.normalizer, 1e-9));
    CHECK(near_to(dpo::policy_divergence(prior, prior), 0, 1e-12));
    CHECK(near_to(dpo::bradley_terry(dpo::span<const double>(rewards, 1), dpo::span<const double>(rewards + 1, 1))[0],
                  1 / (1 + std::exp(1.0)), 1e-12));

    const size_t three[] = {3};
    const double step_rewards[] = {0, 0, 1}, values[] = {0.2, 0.4, 0.6};
    const auto gae = dpo::gae(step_rewards, values, three, 1, 1); // lam 1: the return is the sum of what comes
    CHECK(near_to(gae.advantages[0], 0.8, 1e-12) && near_to(gae.returns[2], 1, 1e-12));
    const float now[] = {-1, -2}, advantages[] = {1, -1};
    const auto ppo = dpo::compute_ppo_loss(now, now, advantages); // ratio 1: minus the mean advantage
    CHECK(near_to(ppo.loss, 0, 1e-9) && near_to(ppo.gradient_logps[0], -0.5, 1e-6) && ppo.gradient_values.empty());
}

void scores_and_generates() {
    CHECK(status_of([] { dpo::model("no/such/model"); }, "no/such/model") == DPO_ERROR_IO);
    dpo::model model(LLAMA, "", 2);
    CHECK(std::string(model.info().architecture) == "llama");
    const std::string text = "The harbour was quiet – très bien! 👍🏽";
    const auto ids = model.encode(text);
    CHECK(model.decode(ids).find(text) != std::string::npos);
    CHECK(model.encode("").size() <= 8);

    const std::vector<std::string> prompts = {"The film was", "The film was"}, completions = {" good.", " bad."};
    const auto both = model.score(prompts, completions);
    CHECK(near_to(both.sum_logps[1], model.score("The film was", " bad."), 1e-5) && both.token_counts[0] > 0);
    const std::vector<std::vector<int32_t>> rows = {{ids.begin(), ids.begin() + 4}, {ids.begin(), ids.begin() + 3}};
    const std::vector<std::vector<int32_t>> ends = {{ids[4], ids[5]}, {ids[4]}};
    const size_t parents[] = {1, 0};
    const auto tokens = model.score_tokens(rows, ends, parents);
    CHECK(tokens.token_logps.size() == 3);
    CHECK(near_to(tokens.token_logps[0] + tokens.token_logps[1], tokens.sum_logps[0], 1e-5));
    CHECK(near_to(tokens.token_logps[2], tokens.sum_logps[1], 1e-5));
    CHECK(status_of([&] { model.score(std::string("a\0b", 3), "c"); }, "NUL") == DPO_ERROR_INVALID_ARGUMENT);
    CHECK(status_of([&] { model.reward(prompts, completions); }) == DPO_ERROR_UNSUPPORTED);

    dpo::generation_options options;
    options.max_new_tokens = 5;
    options.num_return_sequences = 2;
    size_t seen = 0, made = 0;
    const auto answers = model.generate(prompts, options, [&](const dpo::token_event &) { seen++; });
    for (const auto &answer : answers)
        for (const auto &completion : answer) made += completion.ids.size();
    CHECK(answers.size() == 2 && answers[1].size() == 2 && seen == made && made > 0);
    CHECK(number_thrown(
              [&] { model.generate(prompts, options, [](const dpo::token_event &) { throw own_error{7}; }); }) == 7);
    CHECK(status_of([&] { model.generate(prompts, options, [](const dpo::token_event &) { return false; }); }) ==
          DPO_ERROR_CANCELLED);
    CHECK(model.generate(prompts, options)[0][0].ids == answers[0][0].ids); // the handle goes on

    dpo::model moved = std::move(model);
    CHECK(moved.score("The film was", " bad.") < 0);
    CHECK(status_of([&] { model.info(); }) == DPO_ERROR_INVALID_ARGUMENT);
}

void options_by_name() {
    dpo::options options("training");
    options.set("lora_r", "3");
    options.set_json(R"({"learning_rate": 0.25, "lora_target_modules": ["q_proj", "v_proj"]})");
    const auto &training = options.as<dpo_train_options>();
    CHECK(training.lora_r == 3 && training.learning_rate == 0.25);
    CHECK(std::string(training.lora_target_modules) == "q_proj,v_proj");
    CHECK(status_of([&] { options.set_json(R"({"lora_r": 9, "no_such_option": 1})"); }, "no_such_option") ==
          DPO_ERROR_INVALID_ARGUMENT);
    CHECK(options.as<dpo_train_options>().lora_r == 3); // all or nothing
    options.unset("lora_r");
    CHECK(options.as<dpo_train_options>().lora_r == 0);
    CHECK(options.describe().find("\"lora_r\"") != std::string::npos);
    CHECK(status_of([] { dpo::options("no such kind"); }, "no such kind") == DPO_ERROR_INVALID_ARGUMENT);
}

void trains(const std::string &directory) {
    const auto options = small_run();
    dpo::model model(QWEN);
    const auto rows = dpo::dataset::jsonl(model, PAIRS, options);
    CHECK(rows.info().rows > 4);
    dpo::trainer made(model, nullptr, rows, &rows, options);
    dpo::trainer trainer = std::move(made);
    CHECK(trainer.plan().find("\"steps\"") != std::string::npos);

    // Thrown out of an event: the run stops after a checkpoint, and goes on from there.
    CHECK(number_thrown([&] {
              trainer.run(directory, [](const dpo_event &event) {
                  if (event.kind == DPO_EVENT_STEP && event.metrics->step == 2) throw own_error{2};
              });
          }) == 2);
    std::vector<int64_t> steps;
    trainer.run(
        directory,
        [&](const dpo_event &event) {
            if (event.kind == DPO_EVENT_STEP) steps.push_back(event.metrics->step);
        },
        "last");
    CHECK((steps == std::vector<int64_t>{3, 4, 5, 6}));
    CHECK(trainer.evaluate().loss < std::log(2.0) && status_of([&] { trainer.step(); }) == DPO_ERROR_STATE);
    CHECK(trainer.last_metrics().find("eval_loss") != std::string::npos);
    CHECK(dpo::inspect(directory + "/final.h5").find("\"adapter\"") != std::string::npos);
    const double before = model.score("The garden was", " lovely.");
    CHECK(dpo::model(QWEN, directory + "/final.h5").score("The garden was", " lovely.") != before);
    dpo::export_model(directory + "/final.h5", DPO_EXPORT_PEFT, directory + "/peft");
    CHECK(std::filesystem::exists(directory + "/peft/adapter_config.json"));

    // Thrown when nothing is left to stop.
    dpo::trainer last(model, rows, options);
    CHECK(number_thrown([&] {
              last.run(directory + "/last", [](const dpo_event &event) {
                  if (std::string(event.text).find("final.h5") != std::string::npos) throw own_error{8};
              });
          }) == 8);

    // Returning false, and from another thread.
    dpo::trainer second(model, rows, options);
    CHECK(status_of([&] { second.run(directory + "/second", [](const dpo_event &) { return false; }); }) ==
          DPO_ERROR_CANCELLED);
    std::thread canceller([&] { second.cancel(); });
    canceller.join();
    CHECK(status_of([&] { second.step(); }) == DPO_ERROR_CANCELLED);
}

void trains_with_its_own_loss() {
    const auto options = small_run();
    dpo::model model(QWEN);
    dpo::trainer trainer(model, dpo::dataset::jsonl(model, PAIRS, options), options);
    const size_t rows[] = {0, 1, 2};
    const auto logps = trainer.forward(rows);
    CHECK(near_to(logps.policy_chosen[0], logps.reference_chosen[0], 1e-5)); // a new adapter adds nothing
    CHECK(!trainer.token_logps().empty());
    const auto loss = dpo::compute_loss(
        {logps.policy_chosen, logps.policy_rejected, logps.reference_chosen, logps.reference_rejected});
    trainer.backward(loss.gradient_chosen, loss.gradient_rejected);
    const auto parameters = trainer.parameters();
    CHECK(!parameters.empty() && parameters[0].offset + parameters[0].size <= trainer.parameter_values().size());
    double norm = 0;
    for (float gradient : trainer.parameter_gradients()) norm += double(gradient) * gradient;
    size_t reduced = 0;
    trainer.set_reduce([&](dpo::span<float> gradients) { reduced = gradients.size(); });
    CHECK(near_to(trainer.apply().grad_norm, std::sqrt(norm), 1e-4) && reduced == trainer.parameter_values().size());
    trainer.set_reduce([](dpo::span<float>) { throw own_error{5}; });
    CHECK(number_thrown([&] { trainer.step(); }) == 5);
    trainer.set_reduce(nullptr);
    CHECK(trainer.step().step == 2);
}

void other_data() {
    auto options = small_run();
    dpo::model model(QWEN);
    const auto rows = dpo::dataset::jsonl(model, PAIRS, options);
    const auto own =
        dpo::dataset::from_pairs(model, std::vector<std::string>{"A", "B"}, std::vector<std::string>{" good", " fine"},
                                 std::vector<std::string>{" bad", " no"}, options);
    dpo::trainer trainer(model, nullptr, rows, &rows, options);
    trainer.step();
    CHECK(near_to(trainer.evaluate(rows).loss, trainer.evaluate().loss, 1e-12));
    CHECK(trainer.evaluate(own).loss != trainer.evaluate().loss);
    const auto scores = trainer.score(own);
    CHECK(scores.policy_chosen.size() == 2 && scores.reference_rejected.size() == 2);
    // The reference is the model without an adapter.
    CHECK(near_to(scores.reference_chosen[0], model.score("A", " good"), 1e-4));
    options.method = "sft";
    const auto other = dpo::dataset::from_jsonl(model, R"({"prompt": "A", "completion": " b"})", options);
    CHECK(status_of([&] { trainer.evaluate(other); }) == DPO_ERROR_INVALID_ARGUMENT);
}

enum { RANKS = 2 };

// Ranks that are threads: each tells the others where its bytes are.
class meeting {
  public:
    const uint8_t *sent[RANKS] = {};
    const size_t *sizes[RANKS] = {};

    void wait() {
        std::unique_lock<std::mutex> lock(mutex);
        const int now = round;
        if (++there == RANKS) {
            there = 0;
            round++;
            changed.notify_all();
        }
        changed.wait(lock, [&] { return round != now; });
    }

  private:
    std::mutex mutex;
    std::condition_variable changed;
    int there = 0, round = 0;
};

class threads : public dpo::collectives {
  public:
    threads(meeting &place, int32_t rank, int &alive) : place(place), own(rank), alive(alive) { alive++; }
    ~threads() override { alive--; }
    int32_t rank() const override { return own; }
    int32_t size() const override { return RANKS; }
    std::string name() const override { return "threads"; }

    void all_gather(dpo::span<const uint8_t> send, dpo::span<uint8_t> receive, dpo::span<const size_t> sizes) override {
        place.sent[own] = send.data();
        place.wait();
        uint8_t *next = receive.begin();
        for (int rank = 0; rank < RANKS; next += sizes[rank++])
            if (sizes[rank]) std::memcpy(next, place.sent[rank], sizes[rank]);
        place.wait();
    }
    void all_to_all(dpo::span<const uint8_t> send, dpo::span<const size_t> send_sizes, dpo::span<uint8_t> receive,
                    dpo::span<const size_t> receive_sizes) override {
        place.sent[own] = send.data();
        place.sizes[own] = send_sizes.data();
        place.wait();
        uint8_t *next = receive.begin();
        for (int rank = 0; rank < RANKS; next += receive_sizes[rank++]) {
            const uint8_t *from = place.sent[rank];
            for (int before = 0; before < own; before++) from += place.sizes[rank][before];
            if (receive_sizes[rank]) std::memcpy(next, from, receive_sizes[rank]);
        }
        place.wait();
    }

  private:
    meeting &place;
    int32_t own;
    int &alive;
};

class broken : public dpo::collectives {
    int32_t rank() const override { return 1; }
    int32_t size() const override { return 2; }
    std::string name() const override { return "a broken engine"; }
    void all_gather(dpo::span<const uint8_t>, dpo::span<uint8_t>, dpo::span<const size_t>) override {
        throw std::runtime_error("the cable is out");
    }
    void all_to_all(dpo::span<const uint8_t>, dpo::span<const size_t>, dpo::span<uint8_t>,
                    dpo::span<const size_t>) override {}
};

std::vector<float> trained(const dpo::communicator *ranks) {
    dpo::train_options options;
    options.per_device_train_batch_size = 1;
    options.gradient_accumulation_steps = ranks ? 4 / RANKS : 4;
    options.learning_rate = 1e-3;
    options.threads = 1;
    dpo::model model(LLAMA);
    const auto rows = dpo::dataset::jsonl(model, PAIRS, options);
    dpo::trainer trainer =
        ranks ? dpo::trainer(*ranks, model, nullptr, rows, nullptr, options) : dpo::trainer(model, rows, options);
    trainer.step();
    trainer.step();
    const auto values = trainer.parameter_values();
    return {values.begin(), values.end()};
}

void ranks_end_in_the_same_bits() {
    const auto alone = trained(nullptr);
    meeting place;
    int alive = 0;
    std::vector<float> together[RANKS];
    {
        std::vector<std::thread> started;
        std::vector<dpo::communicator> communicators;
        for (int32_t rank = 0; rank < RANKS; rank++)
            communicators.emplace_back(std::make_unique<threads>(place, rank, alive));
        CHECK(communicators[1].rank() == 1 && communicators[1].size() == RANKS && alive == RANKS);
        CHECK(status_of([&] { communicators[0].abort(3); }, "cannot") == DPO_ERROR_UNSUPPORTED);
        for (size_t rank = 0; rank < RANKS; rank++)
            started.emplace_back([&, rank] { together[rank] = trained(&communicators[rank]); });
        for (std::thread &thread : started) thread.join();
    }
    CHECK(alive == 0);
    for (const auto &values : together) CHECK(values == alone);

    const dpo::communicator lost(std::make_unique<broken>());
    CHECK(status_of([&] { trained(&lost); }, "the cable is out") == DPO_ERROR_IO);
    CHECK(status_of([] { dpo::communicator::mpi("/no/plug-in.so"); }, "/no/plug-in.so") == DPO_ERROR_IO);
}

void rewards() {
    dpo::train_options options;
    options.method = "rloo";
    options.lora_r = 2;
    options.per_device_train_batch_size = 2;
    options.max_steps = 2;
    options.max_completion_length = 4;
    dpo::model model(QWEN);
    const auto rows =
        dpo::dataset::from_jsonl(model, "{\"prompt\": \"The film\"}\n{\"prompt\": \"She said\"}\n", options);
    dpo::trainer made(model, rows, options);
    size_t answered = 0;
    made.set_reward([&](const dpo_answers &answers, dpo::span<double> rewards) {
        for (double &reward : rewards) reward = static_cast<double>(answered++ % 2);
        CHECK(std::string(answers.prompts[0]).size() > 3);
    });
    dpo::trainer trainer = std::move(made); // the reward function stays where C knows it
    CHECK(trainer.step().step == 1 && answered > 0);
    trainer.set_reward([](const dpo_answers &, dpo::span<double>) { throw own_error{9}; });
    CHECK(number_thrown([&] { trainer.step(); }) == 9);
    const std::vector<std::string> texts = {"a fine day", "a good day", "a bad day", "a vile day"};
    const int32_t labels[] = {1, 1, 0, 0};
    const auto judge = dpo::classifier::train(texts, labels, 3, 0);
    const auto odds = judge.score(texts);
    CHECK(odds[0] > 0 && odds[3] < 0);
    trainer.set_reward(judge);
    CHECK(trainer.step().step == 2);
}

void waits() {
    dpo::model model(QWEN);
    dpo::generation_options options;
    options.max_new_tokens = 3;
    const std::vector<std::string> prompts = {"The film was"};
    int32_t refused = DPO_OK;
    model.generate(prompts, options, [&](const dpo::token_event &) {
        std::thread other([&] { refused = status_of([&] { model.score("a", "b"); }); });
        other.join();
    });
    CHECK(refused == DPO_ERROR_STATE);
    model.set_wait(std::numeric_limits<double>::infinity());
    std::thread other;
    double waited = 0;
    model.generate(prompts, options, [&](const dpo::token_event &) {
        if (other.joinable()) return;
        other = std::thread([&] { waited = model.score("The film was", " bad."); });
        std::this_thread::sleep_for(std::chrono::milliseconds(50)); // the other call comes while this one runs
    });
    other.join();
    CHECK(near_to(waited, model.score("The film was", " bad."), 1e-6));
}

void learns_from_feedback(const std::string &directory) {
    dpo::feedback feedback(directory + "/feedback.jsonl");
    for (int i = 0; i < 4; i++) {
        const std::string prompt = "Question " + std::to_string(i);
        CHECK(feedback.record_thumb(prompt, " good answer", true) == static_cast<uint64_t>(2 * i + 1));
        feedback.record_choice(prompt, " good", " bad");
    }
    feedback.record_json(R"({"prompt": "Question 9", "completion": " so", "label": false})");
    CHECK(feedback.count() == 9 && feedback.status().find("\"choices\"") != std::string::npos);
    dpo::feedback_training_options training;
    training.lora_r = 2;
    training.num_train_epochs = 1;
    dpo::feedback_options options;
    options.training = &training;
    dpo::model model(QWEN);
    const std::string output = directory + "/adapters";
    CHECK(number_thrown([&] {
              feedback.train(model, output, options, [](const dpo_event &event) {
                  if (event.kind == DPO_EVENT_STEP) throw own_error{3};
              });
          }) == 3);
    const auto result = feedback.train(model, output, options);
    CHECK(result.outcome == DPO_FEEDBACK_FINISHED && result.steps > 0);
    CHECK(feedback.train(model, output, options).outcome == DPO_FEEDBACK_NOTHING_NEW);
    CHECK(std::filesystem::exists(output + "/adapter.gguf"));
}

} // namespace

int main() {
    char name[] = "/tmp/dpo-hpp-XXXXXX";
    try {
        const std::string directory = mkdtemp(name);
        losses();
        scores_and_generates();
        options_by_name();
        trains(directory + "/run");
        trains_with_its_own_loss();
        other_data();
        ranks_end_in_the_same_bits();
        rewards();
        waits();
        learns_from_feedback(directory);
        std::filesystem::remove_all(directory);
    } catch (const std::exception &error) {
        std::printf("FAILED with an exception: %s\n", error.what());
        checks_failed++;
    }
    return check_summary();
}
