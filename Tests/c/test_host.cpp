// A C++17 host: handles as unique_ptr, statuses as exceptions, a training run whose loss falls. Run from the repository
// root.
#include "check.h"

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

void check(int32_t status) {
    if (status != DPO_OK) throw std::runtime_error(std::string(dpo_status_name(status)) + ": " + dpo_last_error());
}

struct Release {
    void operator()(dpo_model *handle) const { dpo_model_release(handle); }
    void operator()(dpo_dataset *handle) const { dpo_dataset_release(handle); }
    void operator()(dpo_trainer *handle) const { dpo_trainer_release(handle); }
    void operator()(dpo_completions *handle) const { dpo_completions_release(handle); }
};
template <typename Handle> using Owned = std::unique_ptr<Handle, Release>;

Owned<dpo_model> open_model(const char *path) {
    dpo_model *model = nullptr;
    check(dpo_model_open(path, nullptr, 2, &model));
    return Owned<dpo_model>(model);
}

std::vector<int32_t> encode(dpo_model *model, const std::string &text) {
    size_t count = 0;
    check(dpo_model_encode(model, text.data(), text.size(), 1, nullptr, 0, &count));
    std::vector<int32_t> ids(count);
    check(dpo_model_encode(model, text.data(), text.size(), 1, ids.data(), ids.size(), &count));
    return ids;
}

std::string take(char *text, size_t size) {
    std::string copy(text, size);
    dpo_string_free(text);
    return copy;
}

void tokenises_and_scores() {
    auto model = open_model("Tests/Fixtures/models/llama-tied");
    dpo_model_info info{};
    info.struct_size = sizeof info;
    check(dpo_model_get_info(model.get(), &info));
    CHECK(std::string(info.architecture) == "llama" && std::string(info.format) == "huggingface");
    CHECK(info.parameters > 1000 && info.layers > 0 && info.has_adapter == 0);

    const std::string text = "The harbour was quiet – très bien! 👍🏽";
    auto ids = encode(model.get(), text);
    char *decoded = nullptr;
    size_t size = 0;
    check(dpo_model_decode(model.get(), ids.data(), ids.size(), &decoded, &size));
    CHECK(take(decoded, size).find(text) != std::string::npos);

    // Two completions of one prompt at once and each alone: the same up to rounding.
    std::vector<int32_t> prompt(ids.begin(), ids.begin() + 4), completions(ids.begin() + 4, ids.begin() + 10);
    const size_t prompt_length = prompt.size(), lengths[] = {4, 2}, parents[] = {0, 0};
    std::vector<float> tokens(6);
    double sums[2], first = 0, second = 0;
    check(dpo_model_score_tokens(model.get(), prompt.data(), &prompt_length, 1, completions.data(), lengths, parents, 2,
                                 tokens.data(), sums));
    check(dpo_model_score_tokens(model.get(), prompt.data(), &prompt_length, 1, completions.data(), lengths, parents, 1,
                                 nullptr, &first));
    check(dpo_model_score_tokens(model.get(), prompt.data(), &prompt_length, 1, completions.data() + 4, lengths + 1,
                                 parents, 1, nullptr, &second));
    CHECK(near_to(sums[0], first, 1e-5) && near_to(sums[1], second, 1e-5));
    CHECK(near_to(tokens[0] + tokens[1] + tokens[2] + tokens[3], first, 1e-5) && sums[0] < 0);
}

void generates() {
    auto model = open_model("Tests/Fixtures/models/llama-tied");
    dpo_generation_options options;
    check(dpo_generation_options_init(&options, sizeof options));
    options.max_new_tokens = 6;
    options.num_return_sequences = 2;
    const char *prompts[] = {"The film was", "She said:"};
    int tokens = 0;
    auto count = [](size_t, size_t, int32_t, const char *, void *user_data) -> int32_t {
        ++*static_cast<int *>(user_data);
        return 0;
    };
    dpo_completions *made = nullptr;
    check(dpo_model_generate(model.get(), prompts, 2, &options, count, &tokens, &made));
    Owned<dpo_completions> completions(made);
    int total = 0;
    for (size_t prompt = 0; prompt < 2; prompt++)
        for (size_t index = 0; index < 2; index++) {
            const char *text = nullptr;
            const int32_t *ids = nullptr;
            size_t length = 0;
            int32_t stopped = -1;
            check(dpo_completions_get(completions.get(), prompt, index, &text, &ids, &length, &stopped));
            CHECK(text && ids && length > 0 && length <= 6 && (stopped == 1 || length == 6));
            total += static_cast<int>(length);
        }
    CHECK(total == tokens);
    CHECK_REFUSED(DPO_ERROR_INVALID_ARGUMENT, "completion",
                  dpo_completions_get(completions.get(), 2, 0, nullptr, nullptr, nullptr, nullptr));
    auto stop = [](size_t, size_t, int32_t, const char *, void *) -> int32_t { return 1; };
    CHECK_STATUS(DPO_ERROR_CANCELLED, dpo_model_generate(model.get(), prompts, 2, &options, stop, nullptr, &made));
}

void throws_out_of_a_callback() {
    auto model = open_model("Tests/Fixtures/models/llama-tied");
    const char *prompts[] = {"The film was"};
    auto refuse = [](size_t, size_t, int32_t, const char *, void *) -> int32_t { throw std::runtime_error("enough"); };
    dpo_completions *made = nullptr;
    bool caught = false;
    try {
        dpo_model_generate(model.get(), prompts, 1, nullptr, refuse, nullptr, &made);
    } catch (const std::runtime_error &error) {
        caught = std::string(error.what()) == "enough";
    }
    CHECK(caught);
    CHECK_REFUSED(DPO_ERROR_STATE, "exception",
                  dpo_model_generate(model.get(), prompts, 1, nullptr, nullptr, nullptr, &made));
}

void trains(const std::string &directory) {
    auto model = open_model("Tests/Fixtures/models/qwen2");
    dpo_train_options options;
    check(dpo_train_options_init(&options, sizeof options));
    options.lora_r = 4;
    options.lora_target_modules = "all-linear";
    options.learning_rate = 5e-3;
    options.per_device_train_batch_size = 4;
    options.max_steps = 12;
    options.max_length = 256;
    dpo_dataset *rows = nullptr;
    check(dpo_dataset_open_jsonl(model.get(), "Tests/Fixtures/data/pairs.jsonl", &options, &rows));
    Owned<dpo_dataset> dataset(rows);
    dpo_trainer *made = nullptr;
    check(dpo_trainer_create(model.get(), nullptr, dataset.get(), dataset.get(), &options, &made));
    Owned<dpo_trainer> trainer(made);

    std::vector<double> losses;
    auto record = [](const dpo_event *event, void *user_data) -> int32_t {
        if (event->kind == DPO_EVENT_STEP)
            static_cast<std::vector<double> *>(user_data)->push_back(event->metrics->loss);
        return 0;
    };
    check(dpo_trainer_run(trainer.get(), directory.c_str(), nullptr, record, &losses));
    CHECK(losses.size() == 12 && losses.front() > 0.69 && losses.back() < losses.front());
    dpo_metrics metrics{};
    metrics.struct_size = sizeof metrics;
    check(dpo_trainer_evaluate(trainer.get(), &metrics));
    CHECK(metrics.loss < std::log(2.0) && metrics.rewards_margins > 0);

    char *json = nullptr;
    check(dpo_inspect((directory + "/final.h5").c_str(), &json));
    CHECK(std::string(json).find("\"adapter\"") != std::string::npos);
    dpo_string_free(json);

    // The adapter moves the scores as evaluation says.
    dpo_model *adapted = nullptr;
    check(dpo_model_open("Tests/Fixtures/models/qwen2", (directory + "/final.h5").c_str(), 0, &adapted));
    Owned<dpo_model> with_adapter(adapted);
    const char *prompts[] = {"The garden was"}, *texts[] = {" quite wonderful."};
    double before = 0, after = 0;
    check(dpo_model_score_texts(model.get(), prompts, texts, 1, &before, nullptr));
    check(dpo_model_score_texts(with_adapter.get(), prompts, texts, 1, &after, nullptr));
    CHECK(before != after);
}

} // namespace

int main() {
    char name[] = "/tmp/dpo-host-XXXXXX";
    try {
        std::string directory = mkdtemp(name);
        tokenises_and_scores();
        generates();
        throws_out_of_a_callback();
        trains(directory + "/run");
        std::filesystem::remove_all(directory);
    } catch (const std::exception &error) {
        std::printf("FAILED with an exception: %s\n", error.what());
        checks_failed++;
    }
    return check_summary();
}
