// What people say of answers is recorded, trained on in the background, and used: the model likes the praised answer
// more.
//
//   c++ -std=c++17 feedback.cpp $(pkg-config --cflags --libs dpo) -lpthread -o feedback && ./feedback MODEL DIRECTORY
#include <dpo.hpp>

#include <cstdio>
#include <filesystem>
#include <future>
#include <string>

int main(int argc, char **argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s MODEL DIRECTORY\n", argv[0]);
        return 2;
    }
    const std::string model_path = argv[1], directory = argv[2];
    try {
        std::filesystem::create_directories(directory);
        dpo::feedback feedback(directory + "/feedback.jsonl");
        const std::string prompt = "How was the film?", liked = " It was a joy.", disliked = " No idea.";
        for (int i = 0; i < 4; i++) {
            feedback.record_choice(prompt, liked, disliked);
            const std::string other = "Question " + std::to_string(i);
            feedback.record_thumb(other, liked, true);
            feedback.record_thumb(other, disliked, false);
        }
        std::printf("%llu records\n", static_cast<unsigned long long>(feedback.count()));

        // Records may come in meanwhile; the model that answers is another handle, and stays free.
        const std::string adapters = directory + "/adapters";
        auto training = std::async(std::launch::async, [&] {
            dpo::feedback_training_options training;
            training.learning_rate = 5e-3;
            dpo::feedback_options options;
            options.min_records = 4;
            options.training = &training;
            dpo::model base(model_path, "", 1);
            return feedback.train(base, adapters, options, [](const dpo_event &event) {
                if (event.kind == DPO_EVENT_CHECKPOINT) std::printf("adapter: %s\n", event.text);
            });
        });
        const double before = dpo::model(model_path).score(prompt, liked);
        const dpo_feedback_result result = training.get(); // throws what the training threw
        std::printf("%lld steps on %llu records\n", static_cast<long long>(result.steps),
                    static_cast<unsigned long long>(result.new_records));

        const double after = dpo::model(model_path, adapters + "/adapter.h5").score(prompt, liked);
        std::printf("log p(\"%s\") %.4f before, %.4f after\n", liked.c_str(), before, after);
        const bool good = result.outcome == DPO_FEEDBACK_FINISHED && result.steps > 0 && after > before &&
                          std::filesystem::exists(adapters + "/adapter.gguf");
        if (!good) std::printf("The adapter did not learn what was liked.\n");
        return good ? 0 : 1;
    } catch (const dpo::error &error) {
        std::fprintf(stderr, "%s: %s\n", error.status_name(), error.what());
        return 1;
    }
}
