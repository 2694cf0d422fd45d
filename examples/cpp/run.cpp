// A run with progress that is cancelled, goes on where it stopped, and ends in an adapter for PEFT and llama.cpp.
//
//   c++ -std=c++17 run.cpp $(pkg-config --cflags --libs dpo) -o run && ./run MODEL PAIRS.jsonl DIRECTORY
#include <dpo.hpp>

#include <cstdio>
#include <string>
#include <vector>

int main(int argc, char **argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: %s MODEL PAIRS.jsonl DIRECTORY\n", argv[0]);
        return 2;
    }
    const std::string directory = argv[3];
    try {
        dpo::train_options options;
        options.lora_r = 8;
        options.lora_target_modules = "all-linear";
        options.learning_rate = 5e-3;
        options.per_device_train_batch_size = 4;
        options.max_steps = 10;

        dpo::model model(argv[1]);
        const auto pairs = dpo::dataset::jsonl(model, argv[2], options);
        dpo::trainer trainer(model, pairs, options);

        std::vector<double> losses;
        auto progress = [&](const dpo_event &event) {
            if (event.kind == DPO_EVENT_STEP) {
                losses.push_back(event.metrics->loss);
                std::printf("step %lld of %lld: loss %.4f, margin %+.4f\n", static_cast<long long>(event.metrics->step),
                            static_cast<long long>(event.metrics->total_steps), event.metrics->loss,
                            event.metrics->rewards_margins);
            } else if (event.kind == DPO_EVENT_CHECKPOINT) {
                std::printf("saved %s\n", event.text);
            }
        };

        // As a window's Cancel button would do it, from whatever thread: here after four steps.
        bool cancelled = false;
        try {
            trainer.run(directory, [&](const dpo_event &event) {
                progress(event);
                if (event.kind == DPO_EVENT_STEP && event.metrics->step == 4) trainer.cancel();
            });
        } catch (const dpo::error &error) {
            if (error.status() != DPO_ERROR_CANCELLED) throw;
            cancelled = true;
            std::printf("Cancelled after %zu steps; the next run goes on.\n", losses.size());
        }
        const size_t before = losses.size();
        trainer.run(directory, progress, "last");

        dpo::export_model(directory + "/final.h5", DPO_EXPORT_PEFT, directory + "/peft");
        dpo::export_model(directory + "/final.h5", DPO_EXPORT_GGUF_LORA, directory + "/adapter.gguf");
        std::printf("Adapters: %s/peft and %s/adapter.gguf\n", directory.c_str(), directory.c_str());

        const double untrained = 0.6931; // log 2
        const double tuned = dpo::model(argv[1], directory + "/peft").score("The garden was", " quite wonderful.");
        const bool good = cancelled && before < 10 && losses.size() == 10 && losses.back() < untrained &&
                          tuned != model.score("The garden was", " quite wonderful.");
        if (!good) std::printf("The run did not go as it should: %zu steps, loss %.4f\n", losses.size(), losses.back());
        return good ? 0 : 1;
    } catch (const dpo::error &error) {
        std::fprintf(stderr, "%s: %s\n", error.status_name(), error.what());
        return 1;
    }
}
