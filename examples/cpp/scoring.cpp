// How likely a model finds answers, whole and token by token, and an answer of its own, shown while it is drawn.
//
//   c++ -std=c++17 scoring.cpp $(pkg-config --cflags --libs dpo) -o scoring && ./scoring MODEL
#include <dpo.hpp>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

int main(int argc, char **argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s MODEL\n", argv[0]);
        return 2;
    }
    try {
        dpo::model model(argv[1]);
        const dpo_model_info info = model.info();
        std::printf("%s: %s, %llu parameters\n", argv[1], info.architecture,
                    static_cast<unsigned long long>(info.parameters));

        const std::string prompt = "The film was";
        const std::vector<std::string> answers = {" a joy from start to end.", " a waste of time."};
        const auto scores = model.score(std::vector<std::string>(answers.size(), prompt), answers);
        for (size_t i = 0; i < answers.size(); i++)
            std::printf("log p(\"%s\" | \"%s\") = %.4f, %d tokens\n", answers[i].c_str(), prompt.c_str(),
                        scores.sum_logps[i], static_cast<int>(scores.token_counts[i]));

        // The same by tokens: the end-of-sequence token counts where it is appended.
        const std::vector<std::vector<int32_t>> prompts = {model.encode(prompt)};
        std::vector<int32_t> tokens = model.encode(answers[0], false);
        tokens.push_back(info.eos_token);
        const size_t parents[] = {0};
        const auto by_token = model.score_tokens(prompts, std::vector<std::vector<int32_t>>{tokens}, parents);
        double sum = 0;
        for (size_t i = 0; i < tokens.size(); i++) {
            std::printf("  %-12s%9.4f\n", model.decode(dpo::span<const int32_t>(&tokens[i], 1)).c_str(),
                        by_token.token_logps[i]);
            sum += by_token.token_logps[i];
        }

        dpo::generation_options options;
        options.max_new_tokens = 12;
        options.temperature = 0;
        std::string shown;
        std::printf("%s", prompt.c_str());
        const auto drawn =
            model.generate(std::vector<std::string>{prompt}, options, [&](const dpo::token_event &event) {
                std::printf("%s", event.text);
                std::fflush(stdout);
                shown += event.text;
            });
        std::printf("\n");

        const bool good = scores.sum_logps[0] < 0 && scores.sum_logps[1] < 0 &&
                          std::fabs(sum - scores.sum_logps[0]) < 1e-3 && !drawn[0][0].ids.empty();
        if (!good) std::printf("The tokens' log-probs do not add up to the answer's: %.6f\n", sum);
        return good ? 0 : 1;
    } catch (const dpo::error &error) {
        std::fprintf(stderr, "%s: %s\n", error.status_name(), error.what());
        return 1;
    }
}
