/*
 * libdpo for C++17: handles that release themselves, exceptions instead of statuses, lambdas as callbacks. Header
 * only; link with libdpo as a C program does. dpo.h is the manual: what a function computes, which options it has and
 * which errors it gives stands there, under the same name without the prefix dpo_.
 *
 *     dpo::model model("model.gguf");
 *     dpo::train_options options;
 *     options.lora_r = 16;
 *     dpo::trainer trainer(model, dpo::dataset::jsonl(model, "pairs.jsonl", options), options);
 *     trainer.run("run", [](const dpo_event &event) {
 *         if (event.kind == DPO_EVENT_STEP) std::printf("%f\n", event.metrics->loss);
 *     });
 *
 * Errors     Every function that can fail throws dpo::error: status() is the DPO_ERROR_… code, what() the sentence
 *            that dpo_last_error() gives in C.
 * Handles    dpo::model, dpo::dataset and so on own one handle. They move and do not copy; get() is the C handle, for
 *            whatever function of dpo.h has no method here. Destroy them in any order: each keeps alive what it
 *            needs.
 * Callbacks  Lambdas return nothing, or a bool of which false stops the call (it then throws DPO_ERROR_CANCELLED).
 *            What a callback throws stops the call in the same way, and is thrown again by the call, unchanged, when
 *            it has ended.
 * Threads    As in C: one call at a time on a handle; a second one throws DPO_ERROR_STATE, or waits after set_wait().
 *            cancel() may be called from any thread, and in a signal handler.
 * Text       UTF-8 in std::string. A NUL character in a text that C takes as `const char *` throws
 *            DPO_ERROR_INVALID_ARGUMENT.
 * Arrays     dpo::span is a pointer and a length, made of a vector, a std::array or a C array. Lengths that have to
 *            be equal are compared.
 * Options    The structs of dpo.h with every default: dpo::train_options and so on. `const char *` in them points to
 *            text that lives as long as the call. dpo::options sets them by name, from text or JSON.
 */
#ifndef DPO_HPP
#define DPO_HPP

#include "dpo.h"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace dpo {

/* ---------------------------------------------------------------------------------------------- errors, spans, text */

class error : public std::runtime_error {
  public:
    error(int32_t status, const std::string &sentence) : std::runtime_error(sentence), code(status) {}

    /* DPO_ERROR_… */
    int32_t status() const noexcept { return code; }
    /* "DPO_ERROR_FORMAT" and so on. */
    const char *status_name() const noexcept { return dpo_status_name(code); }

  private:
    int32_t code;
};

/* Throws unless the status of a function of dpo.h is DPO_OK. */
inline void check(int32_t status) {
    if (status != DPO_OK) throw error(status, dpo_last_error());
}

/* A pointer and a length; it owns nothing. */
template <typename T> class span {
  public:
    constexpr span() noexcept = default;
    constexpr span(T *pointer, size_t size) noexcept : start(pointer), length(size) {}
    template <size_t Count> constexpr span(T (&array)[Count]) noexcept : start(array), length(Count) {}
    template <typename Container,
              typename = std::enable_if_t<std::is_convertible_v<decltype(std::declval<Container &>().data()), T *> &&
                                          std::is_convertible_v<decltype(std::declval<Container &>().size()), size_t>>>
    constexpr span(Container &&container) noexcept : start(container.data()), length(container.size()) {}

    constexpr T *data() const noexcept { return start; }
    constexpr size_t size() const noexcept { return length; }
    constexpr bool empty() const noexcept { return length == 0; }
    constexpr T *begin() const noexcept { return start; }
    constexpr T *end() const noexcept { return start + length; }
    constexpr T &operator[](size_t index) const noexcept { return start[index]; }

  private:
    T *start = nullptr;
    size_t length = 0;
};

/* What a call tells while it runs. Made of a lambda that returns nothing, or a bool: false stops the call. */
template <typename... Arguments> class callback {
  public:
    callback(std::nullptr_t = nullptr) noexcept {}
    template <typename Function, typename = std::enable_if_t<std::is_invocable_v<Function &, Arguments...>>>
    callback(Function function)
        : body([own = std::move(function)](Arguments... arguments) mutable -> bool {
              if constexpr (std::is_void_v<std::invoke_result_t<Function &, Arguments...>>) {
                  own(arguments...);
                  return true;
              } else {
                  return static_cast<bool>(own(arguments...));
              }
          }) {}

    explicit operator bool() const noexcept { return static_cast<bool>(body); }
    bool operator()(Arguments... arguments) const { return body(arguments...); }

  private:
    std::function<bool(Arguments...)> body;
};

using event_callback = callback<const dpo_event &>;

namespace detail {

inline const char *c_text(const std::string &text) {
    if (text.find('\0') != std::string::npos) throw error(DPO_ERROR_INVALID_ARGUMENT, "a text holds a NUL character");
    return text.c_str();
}

/* NULL for "": what is optional in C. */
inline const char *optional_text(const std::string &text) { return text.empty() ? nullptr : c_text(text); }

inline std::vector<const char *> c_texts(span<const std::string> texts) {
    std::vector<const char *> pointers;
    pointers.reserve(texts.size());
    for (const std::string &text : texts) pointers.push_back(c_text(text));
    return pointers;
}

inline std::string take(char *text) {
    std::unique_ptr<char, void (*)(char *)> owned(text, dpo_string_free);
    return std::string(text);
}

inline std::string take(char *text, size_t size) {
    std::unique_ptr<char, void (*)(char *)> owned(text, dpo_string_free);
    return std::string(text, size);
}

inline void same_length(const char *name, size_t found, size_t expected) {
    if (found != expected)
        throw error(DPO_ERROR_INVALID_ARGUMENT, std::string(name) + " has " + std::to_string(found) +
                                                    " elements, expected " + std::to_string(expected));
}

/* NULL for an empty span: what is optional in C. */
template <typename T> T *optional_array(const char *name, span<T> array, size_t expected) {
    if (array.empty()) return nullptr;
    same_length(name, array.size(), expected);
    return array.data();
}

/* Lists of token ids as C takes them: one after the other, and their lengths. */
struct flat_lists {
    std::vector<int32_t> ids;
    std::vector<size_t> lengths;

    explicit flat_lists(span<const std::vector<int32_t>> lists) {
        for (const std::vector<int32_t> &list : lists) {
            ids.insert(ids.end(), list.begin(), list.end());
            lengths.push_back(list.size());
        }
    }
};

/* Keeps what a callback throws until the call that it stops has ended: no exception may pass through C. */
class guard {
  public:
    /* 0 to go on, 1 to stop. */
    template <typename Function> int32_t call(Function &&function) noexcept {
        if (thrown) return 1;
        try {
            return function() ? 0 : 1;
        } catch (...) {
            thrown = std::current_exception();
            return 1;
        }
    }

    void finish(int32_t status) {
        if (thrown) std::rethrow_exception(std::exchange(thrown, nullptr));
        check(status);
    }

  private:
    std::exception_ptr thrown;
};

struct event_call {
    guard &caught;
    const event_callback &body;

    static int32_t enter(const dpo_event *event, void *user_data) {
        auto &call = *static_cast<event_call *>(user_data);
        return call.caught.call([&] { return call.body(*event); });
    }
};

template <typename Handle, void (*Release)(Handle *)> class owner {
  public:
    Handle *get() const noexcept { return owned.get(); }
    /* Releases the handle now. */
    void reset() noexcept { owned.reset(); }

    /* A call waits so long for another thread's call on this handle to end, instead of throwing DPO_ERROR_STATE; 0 (the
     * default): not at all; INFINITY: for ever. */
    void set_wait(double seconds) { check(dpo_handle_set_wait(get(), seconds)); }

  protected:
    owner() = default;
    explicit owner(Handle *handle) noexcept : owned(handle) {}

    struct deleter {
        void operator()(Handle *handle) const noexcept { Release(handle); }
    };
    std::unique_ptr<Handle, deleter> owned;
};

/* An options struct of dpo.h with its defaults. */
template <typename Struct, int32_t (*Init)(Struct *, size_t)> struct defaults : Struct {
    defaults() : Struct() { check(Init(this, sizeof(Struct))); }
};

} // namespace detail

inline std::string version() { return dpo_version(); }

/* ---------------------------------------------------------------------------------------------------------- options */

using train_options = detail::defaults<dpo_train_options, dpo_train_options_init>;
/* The defaults of feedback's training. */
using feedback_training_options = detail::defaults<dpo_train_options, dpo_feedback_training_init>;
using feedback_options = detail::defaults<dpo_feedback_options, dpo_feedback_options_init>;
using generation_options = detail::defaults<dpo_generation_options, dpo_generation_options_init>;
using tokenizer_options = detail::defaults<dpo_tokenizer_options, dpo_tokenizer_options_init>;
using model_shape = detail::defaults<dpo_model_shape, dpo_model_shape_init>;
using export_options = detail::defaults<dpo_export_options, dpo_export_options_init>;
using ppo_options = detail::defaults<dpo_ppo_options, dpo_ppo_options_init>;

/* Options by name, from text or JSON, for programs whose users write them. Pass as<dpo_train_options>() (or the struct
 * of the kind) where options are taken.
 *
 *     dpo::options options("training");
 *     options.set("lora_r", "16");
 *     options.set_json(R"({"lora_target_modules": ["q_proj"], "max_kl": null})");
 */
class options {
  public:
    explicit options(const std::string &kind) {
        dpo_options *made = nullptr;
        check(dpo_options_create(detail::c_text(kind), &made));
        owned.reset(made);
    }
    dpo_options *get() const noexcept { return owned.get(); }

    void set(const std::string &name, const std::string &value) {
        check(dpo_options_set(get(), detail::c_text(name), detail::c_text(value)));
    }
    /* The default again. */
    void unset(const std::string &name) { check(dpo_options_set(get(), detail::c_text(name), nullptr)); }
    /* All of the object's members, or none. */
    void set_json(const std::string &json) { check(dpo_options_set_json(get(), detail::c_text(json))); }
    /* [{"name", "type", "default", "value", "choices", "help"}] */
    std::string describe() const {
        char *json = nullptr;
        check(dpo_options_describe(get(), &json));
        return detail::take(json);
    }
    /* Valid until the next set or the end of this object. */
    template <typename Struct> const Struct &as() const {
        return *static_cast<const Struct *>(dpo_options_struct(get()));
    }

  private:
    struct deleter {
        void operator()(dpo_options *handle) const noexcept { dpo_options_release(handle); }
    };
    std::unique_ptr<dpo_options, deleter> owned;
};

/* -------------------------------------------------------------------------------------------------------- 1. losses */

struct loss_options : detail::defaults<dpo_loss_options, dpo_loss_options_init> {
    std::vector<int32_t> types;  /* DPO_LOSS_…; empty: SIGMOID alone */
    std::vector<double> weights; /* one for each of types; empty: 1 each */

    /* The C struct, which points to this object's vectors. */
    dpo_loss_options c() const {
        dpo_loss_options copy = *this;
        if (!types.empty()) {
            copy.loss_types = types.data();
            copy.loss_weights = detail::optional_array<const double>("weights", weights, types.size());
            copy.loss_count = types.size();
        }
        return copy;
    }
};

/* Summed log-probs of pairs, all of one length. Spans with a {} may be empty. */
struct pair_logps {
    span<const double> policy_chosen, policy_rejected;
    span<const double> reference_chosen{}, reference_rejected{}; /* empty with reference_free */
    span<const int32_t> chosen_tokens{}, rejected_tokens{};
    span<const double> weights{};
};

struct pair_losses {
    double loss = 0; /* the mean */
    std::vector<double> losses;
    std::vector<double> gradient_chosen, gradient_rejected;
    std::vector<double> reward_chosen, reward_rejected;
};

inline pair_losses compute_loss(const pair_logps &logps, const loss_options &options = {}) {
    using detail::optional_array;
    const size_t pairs = logps.policy_chosen.size();
    detail::same_length("policy_rejected", logps.policy_rejected.size(), pairs);
    pair_losses out;
    for (auto *array :
         {&out.losses, &out.gradient_chosen, &out.gradient_rejected, &out.reward_chosen, &out.reward_rejected})
        array->resize(pairs);
    const dpo_loss_options c = options.c();
    check(dpo_loss_compute(&c, pairs, logps.policy_chosen.data(), logps.policy_rejected.data(),
                           optional_array("reference_chosen", logps.reference_chosen, pairs),
                           optional_array("reference_rejected", logps.reference_rejected, pairs),
                           optional_array("chosen_tokens", logps.chosen_tokens, pairs),
                           optional_array("rejected_tokens", logps.rejected_tokens, pairs),
                           optional_array("weights", logps.weights, pairs), &out.loss, out.losses.data(),
                           out.gradient_chosen.data(), out.gradient_rejected.data(), out.reward_chosen.data(),
                           out.reward_rejected.data()));
    return out;
}

struct ranked_losses {
    double loss = 0;
    std::vector<double> losses;             /* a row */
    std::vector<double> gradients, rewards; /* a completion */
};

inline ranked_losses compute_ranked_loss(double beta, span<const size_t> counts, span<const double> ranks,
                                         span<const double> policy, span<const double> reference = {},
                                         span<const double> weights = {}) {
    size_t total = 0;
    for (size_t count : counts) total += count;
    detail::same_length("ranks", ranks.size(), total);
    detail::same_length("policy", policy.size(), total);
    ranked_losses out;
    out.losses.resize(counts.size());
    out.gradients.resize(total);
    out.rewards.resize(total);
    check(dpo_loss_compute_ranked(beta, counts.size(), counts.data(), ranks.data(), policy.data(),
                                  detail::optional_array("reference", reference, total),
                                  detail::optional_array("weights", weights, counts.size()), &out.loss,
                                  out.losses.data(), out.gradients.data(), out.rewards.data()));
    return out;
}

struct optimum {
    std::vector<double> policy_logps;
    double normalizer = 0;
};

inline optimum policy_optimum(span<const double> reference_logps, span<const double> rewards,
                              const loss_options &options = {}) {
    detail::same_length("rewards", rewards.size(), reference_logps.size());
    optimum out;
    out.policy_logps.resize(rewards.size());
    check(dpo_policy_optimum(&options, rewards.size(), reference_logps.data(), rewards.data(), out.policy_logps.data(),
                             &out.normalizer));
    return out;
}

inline std::vector<double> policy_rewards(span<const double> policy_logps, span<const double> reference_logps,
                                          const loss_options &options = {}) {
    detail::same_length("reference_logps", reference_logps.size(), policy_logps.size());
    std::vector<double> rewards(policy_logps.size());
    check(dpo_policy_rewards(&options, rewards.size(), policy_logps.data(), reference_logps.data(), rewards.data()));
    return rewards;
}

inline double policy_divergence(span<const double> policy_logps, span<const double> reference_logps,
                                const loss_options &options = {}) {
    detail::same_length("reference_logps", reference_logps.size(), policy_logps.size());
    double divergence = 0;
    check(
        dpo_policy_divergence(&options, policy_logps.size(), policy_logps.data(), reference_logps.data(), &divergence));
    return divergence;
}

inline std::vector<double> bradley_terry(span<const double> first_rewards, span<const double> second_rewards) {
    detail::same_length("second_rewards", second_rewards.size(), first_rewards.size());
    std::vector<double> probabilities(first_rewards.size());
    check(dpo_bradley_terry(probabilities.size(), first_rewards.data(), second_rewards.data(), probabilities.data()));
    return probabilities;
}

struct advantages {
    std::vector<double> advantages, returns;
};

inline advantages gae(span<const double> rewards, span<const double> values, span<const size_t> counts,
                      double gamma = 1, double lam = 0.95) {
    size_t total = 0;
    for (size_t count : counts) total += count;
    detail::same_length("rewards", rewards.size(), total);
    detail::same_length("values", values.size(), total);
    advantages out;
    out.advantages.resize(total);
    out.returns.resize(total);
    check(dpo_gae(rewards.data(), values.data(), counts.data(), counts.size(), gamma, lam, out.advantages.data(),
                  out.returns.data()));
    return out;
}

struct ppo_losses {
    double loss = 0;
    std::vector<double> gradient_logps, gradient_values; /* the second is empty without a value function */
};

inline ppo_losses compute_ppo_loss(span<const float> logps, span<const float> old_logps, span<const float> advantages,
                                   span<const float> values = {}, span<const float> old_values = {},
                                   span<const float> returns = {}, const ppo_options &options = {}) {
    const size_t tokens = logps.size();
    detail::same_length("old_logps", old_logps.size(), tokens);
    detail::same_length("advantages", advantages.size(), tokens);
    ppo_losses out;
    out.gradient_logps.resize(tokens);
    if (!values.empty()) out.gradient_values.resize(tokens);
    check(dpo_ppo_loss(&options, tokens, logps.data(), old_logps.data(), advantages.data(),
                       detail::optional_array("values", values, tokens),
                       detail::optional_array("old_values", old_values, tokens),
                       detail::optional_array("returns", returns, tokens), &out.loss, out.gradient_logps.data(),
                       values.empty() ? nullptr : out.gradient_values.data()));
    return out;
}

/* ---------------------------------------------------------------------------------------- 2. scoring, 5. generation */

struct completion {
    std::string text; /* without special tokens */
    std::vector<int32_t> ids;
    bool stopped = false; /* it ended by itself, not at max_new_tokens */
};

struct token_event {
    size_t prompt, completion;
    int32_t token;
    const char *text; /* "" while a character is incomplete */
};

using token_callback = callback<const token_event &>;

struct scores {
    std::vector<double> sum_logps;
    std::vector<int32_t> token_counts;
};

struct token_scores {
    std::vector<double> sum_logps;
    std::vector<float> token_logps; /* of all completions, in order */
};

class classifier;

class model : public detail::owner<dpo_model, dpo_model_release> {
  public:
    /* dpo_model_open. `adapter`: "" for none. `threads`: 0 is one a core. */
    explicit model(const std::string &path, const std::string &adapter = "", int32_t threads = 0) {
        dpo_model *opened = nullptr;
        check(dpo_model_open(detail::c_text(path), detail::optional_text(adapter), threads, &opened));
        owned.reset(opened);
    }
    /* dpo_model_load: with the weights copied into memory. */
    static model load(const std::string &path, const std::string &adapter = "", int32_t threads = 0) {
        dpo_model *opened = nullptr;
        check(dpo_model_load(detail::c_text(path), detail::optional_text(adapter), threads, &opened));
        return model(opened);
    }

    void set_engine(const std::string &engine) { check(dpo_model_set_engine(get(), detail::c_text(engine))); }
    void cancel() noexcept { dpo_model_cancel(get()); }

    dpo_model_info info() const {
        dpo_model_info info{};
        info.struct_size = sizeof info;
        check(dpo_model_get_info(get(), &info));
        return info;
    }

    std::vector<int32_t> encode(const std::string &text, bool add_special_tokens = true) {
        std::vector<int32_t> ids(text.size() + 8); /* a token has a byte at least; a few special ones come to it */
        size_t count = 0;
        check(dpo_model_encode(get(), text.data(), text.size(), add_special_tokens, ids.data(), ids.size(), &count));
        const bool complete = count <= ids.size();
        ids.resize(count);
        if (!complete)
            check(
                dpo_model_encode(get(), text.data(), text.size(), add_special_tokens, ids.data(), ids.size(), &count));
        return ids;
    }

    std::string decode(span<const int32_t> ids) {
        char *text = nullptr;
        size_t size = 0;
        check(dpo_model_decode(get(), ids.data(), ids.size(), &text, &size));
        return detail::take(text, size);
    }

    std::string apply_chat_template(const std::string &messages_json, bool add_generation_prompt = true) {
        char *text = nullptr;
        size_t size = 0;
        check(dpo_model_apply_chat_template(get(), detail::c_text(messages_json), add_generation_prompt, &text, &size));
        return detail::take(text, size);
    }

    /* Completion i after prompt i. */
    scores score(span<const std::string> prompts, span<const std::string> completions) {
        detail::same_length("completions", completions.size(), prompts.size());
        const auto p = detail::c_texts(prompts), c = detail::c_texts(completions);
        scores out;
        out.sum_logps.resize(p.size());
        out.token_counts.resize(p.size());
        check(
            dpo_model_score_texts(get(), p.data(), c.data(), p.size(), out.sum_logps.data(), out.token_counts.data()));
        return out;
    }

    double score(const std::string &prompt, const std::string &completion) {
        return score(span<const std::string>(&prompt, 1), span<const std::string>(&completion, 1)).sum_logps[0];
    }

    /* Completion j after prompt completion_prompts[j], as token ids. */
    token_scores score_tokens(span<const std::vector<int32_t>> prompts, span<const std::vector<int32_t>> completions,
                              span<const size_t> completion_prompts) {
        detail::same_length("completion_prompts", completion_prompts.size(), completions.size());
        const detail::flat_lists p(prompts), c(completions);
        token_scores out;
        out.sum_logps.resize(completions.size());
        out.token_logps.resize(c.ids.size());
        check(dpo_model_score_tokens(get(), p.ids.data(), p.lengths.data(), p.lengths.size(), c.ids.data(),
                                     c.lengths.data(), completion_prompts.data(), c.lengths.size(),
                                     out.token_logps.data(), out.sum_logps.data()));
        return out;
    }

    /* Of a reward model. */
    std::vector<double> reward(span<const std::string> prompts, span<const std::string> completions) {
        detail::same_length("completions", completions.size(), prompts.size());
        const auto p = detail::c_texts(prompts), c = detail::c_texts(completions);
        std::vector<double> rewards(p.size());
        check(dpo_model_reward_texts(get(), p.data(), c.data(), p.size(), rewards.data()));
        return rewards;
    }

    std::vector<double> reward_tokens(span<const std::vector<int32_t>> prompts,
                                      span<const std::vector<int32_t>> completions,
                                      span<const size_t> completion_prompts) {
        detail::same_length("completion_prompts", completion_prompts.size(), completions.size());
        const detail::flat_lists p(prompts), c(completions);
        std::vector<double> rewards(completions.size());
        check(dpo_model_reward_tokens(get(), p.ids.data(), p.lengths.data(), p.lengths.size(), c.ids.data(),
                                      c.lengths.data(), completion_prompts.data(), c.lengths.size(), rewards.data()));
        return rewards;
    }

    /* num_return_sequences completions of each prompt. */
    std::vector<std::vector<completion>> generate(span<const std::string> prompts,
                                                  const dpo_generation_options &options = generation_options(),
                                                  const token_callback &on_token = nullptr) {
        struct token_call {
            detail::guard caught;
            const token_callback &body;

            static int32_t enter(size_t prompt, size_t completion, int32_t token, const char *text, void *user_data) {
                auto &call = *static_cast<token_call *>(user_data);
                return call.caught.call([&] { return call.body({prompt, completion, token, text}); });
            }
        } call{{}, on_token};
        const auto p = detail::c_texts(prompts);
        dpo_completions *made = nullptr;
        const int32_t status = dpo_model_generate(get(), p.data(), p.size(), &options,
                                                  on_token ? token_call::enter : nullptr, &call, &made);
        std::unique_ptr<dpo_completions, void (*)(dpo_completions *)> completions(made, dpo_completions_release);
        call.caught.finish(status);
        std::vector<std::vector<completion>> out(p.size());
        for (size_t prompt = 0; prompt < p.size(); prompt++)
            for (size_t index = 0; index < static_cast<size_t>(options.num_return_sequences); index++) {
                const char *text = nullptr;
                const int32_t *ids = nullptr;
                size_t count = 0;
                int32_t stopped = 0;
                check(dpo_completions_get(made, prompt, index, &text, &ids, &count, &stopped));
                out[prompt].push_back({text, std::vector<int32_t>(ids, ids + count), stopped != 0});
            }
        return out;
    }

    /* dpo_model_evaluate, as JSON. `samples`, `judge` and `reward_model` may be nullptr. */
    std::string evaluate(const std::string &data, const dpo_train_options &options = train_options(),
                         const model *reference = nullptr, const dpo_generation_options *samples = nullptr,
                         const classifier *judge = nullptr, const model *reward_model = nullptr);

  private:
    explicit model(dpo_model *handle) noexcept : owner(handle) {}
};

/* What a model, adapter, checkpoint or data file holds, as JSON. */
inline std::string inspect(const std::string &path) {
    char *json = nullptr;
    check(dpo_inspect(detail::c_text(path), &json));
    return detail::take(json);
}

/* --------------------------------------------------------------------------------------------------------- 3. steps */

struct reading_event {
    const char *phase;
    uint64_t done, total; /* bytes */
    uint64_t rows;
};

using reading_callback = callback<const reading_event &>;

class dataset : public detail::owner<dpo_dataset, dpo_dataset_release> {
  public:
    /* Of a file of JSON lines. */
    static dataset jsonl(const model &model, const std::string &path,
                         const dpo_train_options &options = train_options()) {
        return make(dpo_dataset_open_jsonl, model.get(), detail::c_text(path), &options);
    }
    /* Of several files or directories. `reading` is told how far they were read; false ends the reading. */
    static dataset open(const model &model, span<const std::string> paths,
                        const dpo_train_options &options = train_options(), const reading_callback &reading = nullptr) {
        struct reading_call {
            detail::guard caught;
            const reading_callback &body;

            static int32_t enter(const char *phase, uint64_t done, uint64_t total, uint64_t rows, void *user_data) {
                auto &call = *static_cast<reading_call *>(user_data);
                return call.caught.call([&] { return call.body({phase, done, total, rows}); });
            }
        } call{{}, reading};
        const auto names = detail::c_texts(paths);
        dpo_dataset *made = nullptr;
        const int32_t status = dpo_dataset_open(model.get(), names.data(), names.size(), &options,
                                                reading ? reading_call::enter : nullptr, &call, &made);
        call.caught.finish(status);
        return dataset(made);
    }
    /* Of JSON lines in memory. */
    static dataset from_jsonl(const model &model, const std::string &text,
                              const dpo_train_options &options = train_options()) {
        return make(dpo_dataset_from_jsonl, model.get(), text.data(), text.size(), &options);
    }
    static dataset from_pairs(const model &model, span<const std::string> prompts, span<const std::string> chosen,
                              span<const std::string> rejected, const dpo_train_options &options = train_options()) {
        detail::same_length("chosen", chosen.size(), prompts.size());
        detail::same_length("rejected", rejected.size(), prompts.size());
        const auto p = detail::c_texts(prompts), c = detail::c_texts(chosen), r = detail::c_texts(rejected);
        return make(dpo_dataset_from_pairs, model.get(), p.data(), c.data(), r.data(), p.size(), &options);
    }
    /* Without a model. */
    static dataset from_tokens(span<const std::vector<int32_t>> prompts, span<const std::vector<int32_t>> chosen,
                               span<const std::vector<int32_t>> rejected,
                               const dpo_train_options &options = train_options()) {
        detail::same_length("chosen", chosen.size(), prompts.size());
        detail::same_length("rejected", rejected.size(), prompts.size());
        const detail::flat_lists p(prompts), c(chosen), r(rejected);
        return make(dpo_dataset_from_tokens, p.ids.data(), p.lengths.data(), c.ids.data(), c.lengths.data(),
                    r.ids.data(), r.lengths.data(), prompts.size(), &options);
    }

    dpo_dataset_info info() const {
        dpo_dataset_info info{};
        info.struct_size = sizeof info;
        check(dpo_dataset_get_info(get(), &info));
        return info;
    }

  private:
    explicit dataset(dpo_dataset *handle) noexcept : owner(handle) {}

    template <typename Function, typename... Arguments> static dataset make(Function function, Arguments... arguments) {
        dpo_dataset *made = nullptr;
        check(function(arguments..., &made));
        return dataset(made);
    }
};

class classifier : public detail::owner<dpo_classifier, dpo_classifier_release> {
  public:
    explicit classifier(const std::string &path) {
        dpo_classifier *opened = nullptr;
        check(dpo_classifier_open(detail::c_text(path), &opened));
        owned.reset(opened);
    }
    /* `labels`: 1 or 0. */
    static classifier train(span<const std::string> texts, span<const int32_t> labels, double cost = 3,
                            int32_t folds = 5) {
        detail::same_length("labels", labels.size(), texts.size());
        const auto t = detail::c_texts(texts);
        dpo_classifier *made = nullptr;
        check(dpo_classifier_train(t.data(), labels.data(), t.size(), cost, folds, &made));
        return classifier(made);
    }
    void save(const std::string &path) const { check(dpo_classifier_save(get(), detail::c_text(path))); }

    /* Log-odds of label 1. */
    std::vector<double> score(span<const std::string> texts) const {
        const auto t = detail::c_texts(texts);
        std::vector<double> log_odds(t.size());
        check(dpo_classifier_score(get(), t.data(), t.size(), log_odds.data()));
        return log_odds;
    }

  private:
    explicit classifier(dpo_classifier *handle) noexcept : owner(handle) {}
};

inline std::string model::evaluate(const std::string &data, const dpo_train_options &options, const model *reference,
                                   const dpo_generation_options *samples, const classifier *judge,
                                   const model *reward_model) {
    char *json = nullptr;
    check(dpo_model_evaluate(get(), reference ? reference->get() : nullptr, detail::c_text(data), &options, samples,
                             judge ? judge->get() : nullptr, reward_model ? reward_model->get() : nullptr, &json));
    return detail::take(json);
}

/* Log-probs of rows. */
struct forward_logps {
    std::vector<double> policy_chosen, policy_rejected, reference_chosen, reference_rejected;

    forward_logps() = default;
    explicit forward_logps(size_t rows)
        : policy_chosen(rows), policy_rejected(rows), reference_chosen(rows), reference_rejected(rows) {}
};

struct parameter {
    std::string name;    /* Hugging Face's, or PEFT's for an adapter */
    size_t offset, size; /* in parameter_values() */
    std::vector<int64_t> shape;
};

/* What the ranks of a training talk through, if not MPI: a host's own engine. All ranks call its functions in the same
 * order, one at a time, from threads of the library. They throw where a rank does not answer. */
class collectives {
  public:
    virtual ~collectives() = default;
    virtual int32_t rank() const = 0; /* of this process, 0 … size() − 1 */
    virtual int32_t size() const = 0;
    virtual std::string name() const = 0; /* for messages */
    /* `receive` gets sizes[r] bytes of each rank r, one after the other; `send` are this rank's. */
    virtual void all_gather(span<const uint8_t> send, span<uint8_t> receive, span<const size_t> sizes) = 0;
    /* `send` holds send_sizes[r] bytes for each rank r; `receive` gets receive_sizes[r] from it. */
    virtual void all_to_all(span<const uint8_t> send, span<const size_t> send_sizes, span<uint8_t> receive,
                            span<const size_t> receive_sizes) = 0;
    /* Ends every rank, this one too. Returns only if it cannot. */
    virtual void abort(int32_t /* exit_status */) {}
};

/* Several processes that train one model together: docs/scaling.md. */
class communicator : public detail::owner<dpo_communicator, dpo_communicator_release> {
  public:
    /* Of processes that mpirun or srun started. `plugin`: "" for libdpo-mpi.so beside libdpo.so, or where the loader
     * finds it. `timeout`: seconds that a rank may keep the others waiting. */
    static communicator mpi(const std::string &plugin = "", double timeout = 1800) {
        dpo_communicator *made = nullptr;
        check(dpo_communicator_open_mpi(detail::optional_text(plugin), timeout, &made));
        return communicator(made);
    }
    explicit communicator(std::unique_ptr<collectives> engine) {
        auto own = std::make_unique<context>();
        own->engine = std::move(engine);
        const std::string name = own->engine->name();
        dpo_collectives functions{};
        functions.struct_size = sizeof functions;
        functions.version = DPO_COLLECTIVES_VERSION;
        functions.rank = own->engine->rank();
        functions.size = own->engine->size();
        functions.name = detail::c_text(name);
        functions.context = own.get();
        functions.all_gather = context::all_gather;
        functions.all_to_all = context::all_to_all;
        functions.last_error = context::last_error;
        functions.abort = context::abort;
        functions.release = context::release;
        dpo_communicator *made = nullptr;
        check(dpo_communicator_create(&functions, &made));
        own.release(); /* context::release has it from now on */
        owned.reset(made);
    }

    int32_t rank() const { return ranks().first; }
    int32_t size() const { return ranks().second; }
    /* Ends every rank, this one too, where the engine can; throws if it cannot. */
    void abort(int32_t exit_status) const { check(dpo_communicator_abort(get(), exit_status)); }

  private:
    explicit communicator(dpo_communicator *handle) noexcept : owner(handle) {}

    std::pair<int32_t, int32_t> ranks() const {
        int32_t rank = 0, size = 0;
        check(dpo_communicator_ranks(get(), &rank, &size));
        return {rank, size};
    }

    struct context {
        std::unique_ptr<collectives> engine;
        std::string failure;

        template <typename Function> int32_t call(Function &&function) noexcept {
            try {
                function();
                return 0;
            } catch (const std::exception &error) {
                failure = error.what();
            } catch (...) {
                failure = "an exception that is no std::exception";
            }
            return 1;
        }

        static size_t total(const size_t *sizes, size_t count) {
            size_t sum = 0;
            for (size_t i = 0; i < count; i++) sum += sizes[i];
            return sum;
        }
        static int32_t all_gather(void *of, const void *send, void *receive, const size_t *sizes) {
            auto &own = *static_cast<context *>(of);
            return own.call([&] {
                const auto count = static_cast<size_t>(own.engine->size());
                const auto rank = static_cast<size_t>(own.engine->rank());
                own.engine->all_gather({static_cast<const uint8_t *>(send), sizes[rank]},
                                       {static_cast<uint8_t *>(receive), total(sizes, count)}, {sizes, count});
            });
        }
        static int32_t all_to_all(void *of, const void *send, const size_t *send_sizes, void *receive,
                                  const size_t *receive_sizes) {
            auto &own = *static_cast<context *>(of);
            return own.call([&] {
                const auto count = static_cast<size_t>(own.engine->size());
                own.engine->all_to_all(
                    {static_cast<const uint8_t *>(send), total(send_sizes, count)}, {send_sizes, count},
                    {static_cast<uint8_t *>(receive), total(receive_sizes, count)}, {receive_sizes, count});
            });
        }
        static const char *last_error(void *of) { return static_cast<context *>(of)->failure.c_str(); }
        static void abort(void *of, int32_t exit_status) {
            auto &own = *static_cast<context *>(of);
            try {
                own.engine->abort(exit_status);
            } catch (...) { /* it could not: the caller is told so */
            }
        }
        static void release(void *of, int32_t) { delete static_cast<context *>(of); }
    };
};

class trainer : public detail::owner<dpo_trainer, dpo_trainer_release> {
  public:
    /* Writes a finite reward for each answer. */
    using reward_function = std::function<void(const dpo_answers &answers, span<double> rewards)>;
    /* All-reduce of the flat gradient. */
    using reduce_function = std::function<void(span<float> gradients)>;

    trainer(const model &model, const dataset &rows, const dpo_train_options &options = train_options())
        : trainer(model, nullptr, rows, nullptr, options) {}
    /* With a reference model and evaluation rows, each of which may be nullptr. */
    trainer(const model &model, const dpo::model *reference, const dataset &rows, const dataset *evaluation,
            const dpo_train_options &options = train_options())
        : callbacks(std::make_shared<state>()) {
        dpo_trainer *made = nullptr;
        check(dpo_trainer_create(model.get(), reference ? reference->get() : nullptr, rows.get(),
                                 evaluation ? evaluation->get() : nullptr, &options, &made));
        owned.reset(made);
    }
    /* For one of several ranks: all of them make it, and call its functions in the same order. */
    trainer(const communicator &ranks, const model &model, const dpo::model *reference, const dataset &rows,
            const dataset *evaluation, const dpo_train_options &options = train_options())
        : callbacks(std::make_shared<state>()) {
        dpo_trainer *made = nullptr;
        check(dpo_trainer_create_distributed(ranks.get(), model.get(), reference ? reference->get() : nullptr,
                                             rows.get(), evaluation ? evaluation->get() : nullptr, &options, &made));
        owned.reset(made);
    }

    /* As JSON. */
    std::string plan() { return text(dpo_trainer_plan); }
    std::string last_metrics() { return text(dpo_trainer_last_metrics); }

    void set_reward(reward_function function) {
        check(dpo_trainer_set_reward(get(), enter_reward, callbacks.get()));
        callbacks->reward = std::move(function);
    }
    void set_reward(const model &reward_model) { check(dpo_trainer_set_reward_model(get(), reward_model.get())); }
    void set_reward(const classifier &judge, bool completion_only = false) {
        check(dpo_trainer_set_reward_classifier(get(), judge.get(), completion_only));
    }
    /* nullptr removes it. */
    void set_reduce(reduce_function function) {
        check(dpo_trainer_set_reduce(get(), function ? enter_reduce : nullptr, callbacks.get()));
        callbacks->reduce = std::move(function);
    }

    /* 4. Runs. `resume`: "", a checkpoint file, or "last". */
    void run(const std::string &output_dir, const event_callback &on_event = nullptr, const std::string &resume = "") {
        const auto kept = callbacks; /* a callback may destroy this trainer */
        detail::event_call call{kept->caught, on_event};
        kept->caught.finish(dpo_trainer_run(get(), detail::c_text(output_dir), detail::optional_text(resume),
                                            on_event ? detail::event_call::enter : nullptr, &call));
    }
    void cancel() noexcept { dpo_trainer_cancel(get()); }

    dpo_metrics step() { return metrics(dpo_trainer_step); }
    dpo_metrics evaluate() { return metrics(dpo_trainer_evaluate); }
    /* Of another data set than the trainer's own. */
    dpo_metrics evaluate(const dataset &rows) { return metrics(dpo_trainer_evaluate_data, rows.get()); }

    /* Of every row of a data set now; of a reward model its scores. No backward can follow. */
    forward_logps score(const dataset &rows) {
        const size_t count = rows.info().rows;
        forward_logps out(count);
        check(dpo_trainer_score_data(get(), rows.get(), count, out.policy_chosen.data(), out.policy_rejected.data(),
                                     out.reference_chosen.data(), out.reference_rejected.data()));
        return out;
    }

    forward_logps forward(span<const size_t> rows) {
        forward_logps out(rows.size());
        check(dpo_trainer_forward(get(), rows.data(), rows.size(), out.policy_chosen.data(), out.policy_rejected.data(),
                                  out.reference_chosen.data(), out.reference_rejected.data()));
        return out;
    }
    std::vector<float> token_logps() {
        size_t count = 0;
        check(dpo_trainer_token_count(get(), &count));
        std::vector<float> logps(count);
        check(dpo_trainer_token_logps(get(), logps.data(), count));
        return logps;
    }
    void backward(span<const double> gradient_chosen, span<const double> gradient_rejected) {
        detail::same_length("gradient_rejected", gradient_rejected.size(), gradient_chosen.size());
        check(dpo_trainer_backward(get(), gradient_chosen.data(), gradient_rejected.data(), gradient_chosen.size()));
    }
    void backward_tokens(span<const float> gradients) {
        check(dpo_trainer_backward_tokens(get(), gradients.data(), gradients.size()));
    }
    dpo_metrics apply() { return metrics(dpo_trainer_apply); }

    /* Valid while the trainer lives; not to be used while a call on it runs. */
    span<float> parameter_values() { return arrays().first; }
    span<float> parameter_gradients() { return arrays().second; }
    std::vector<parameter> parameters() {
        size_t count = 0;
        check(dpo_trainer_parameter_count(get(), &count));
        std::vector<parameter> out;
        for (size_t index = 0; index < count; index++) {
            const char *name = nullptr;
            size_t offset = 0, size = 0, dimensions = 0;
            int64_t shape[4] = {};
            check(dpo_trainer_parameter_at(get(), index, &name, &offset, &size, shape, &dimensions));
            out.push_back({name, offset, size, std::vector<int64_t>(shape, shape + dimensions)});
        }
        return out;
    }

    void save(const std::string &path) { check(dpo_trainer_save(get(), detail::c_text(path))); }
    void load(const std::string &path) { check(dpo_trainer_load(get(), detail::c_text(path))); }
    void save_model(const std::string &path) { check(dpo_trainer_save_model(get(), detail::c_text(path))); }

  private:
    /* Where it is does not change when the trainer moves: C holds its address. */
    struct state {
        detail::guard caught;
        reward_function reward;
        reduce_function reduce;
    };
    std::shared_ptr<state> callbacks;

    static int32_t enter_reward(const dpo_answers *answers, double *rewards, void *user_data) {
        auto &kept = *static_cast<state *>(user_data);
        return kept.caught.call([&] {
            kept.reward(*answers, span<double>(rewards, answers->count));
            return true;
        });
    }
    static int32_t enter_reduce(float *gradients, size_t count, void *user_data) {
        auto &kept = *static_cast<state *>(user_data);
        return kept.caught.call([&] {
            kept.reduce(span<float>(gradients, count));
            return true;
        });
    }

    std::string text(int32_t (*function)(dpo_trainer *, char **)) {
        char *json = nullptr;
        check(function(get(), &json));
        return detail::take(json);
    }
    template <typename Function, typename... Arguments> dpo_metrics metrics(Function function, Arguments... arguments) {
        const auto kept = callbacks;
        dpo_metrics out{};
        out.struct_size = sizeof out;
        kept->caught.finish(function(get(), arguments..., &out));
        return out;
    }
    std::pair<span<float>, span<float>> arrays() {
        float *values = nullptr, *gradients = nullptr;
        size_t count = 0;
        check(dpo_trainer_parameters(get(), &values, &gradients, &count));
        return {span<float>(values, count), span<float>(gradients, count)};
    }
};

/* -------------------------------------------------------------------------------------------------------- 5. around */

inline void train_tokenizer(span<const std::string> paths, const std::string &output_dir,
                            const dpo_tokenizer_options &options = tokenizer_options()) {
    const auto p = detail::c_texts(paths);
    check(dpo_tokenizer_train(p.data(), p.size(), &options, detail::c_text(output_dir)));
}

inline void create_model(const dpo_model_shape &shape, const std::string &output) {
    check(dpo_model_create(&shape, detail::c_text(output)));
}

/* dpo_export: `export` is a word of C++. */
inline void export_model(const std::string &input, dpo_export_format format, const std::string &output,
                         const dpo_export_options &options = export_options()) {
    check(dpo_export(detail::c_text(input), format, detail::c_text(output), &options));
}

/* As JSON. `reference`: "" for the adapter's base, or the model that the file names. */
inline std::string check_export(const std::string &input, const std::string &output, const std::string &data,
                                const std::string &reference = "",
                                const dpo_export_options &options = export_options()) {
    char *json = nullptr;
    check(dpo_export_check(detail::c_text(input), detail::c_text(output), detail::c_text(data),
                           detail::optional_text(reference), &options, &json));
    return detail::take(json);
}

/* ------------------------------------------------------------------------------------------------------ 6. feedback */

class feedback : public detail::owner<dpo_feedback, dpo_feedback_release> {
  public:
    explicit feedback(const std::string &path) {
        dpo_feedback *opened = nullptr;
        check(dpo_feedback_open(detail::c_text(path), &opened));
        owned.reset(opened);
    }

    /* Each returns the record's number. */
    uint64_t record_thumb(const std::string &prompt, const std::string &answer, bool up, double weight = 1) {
        uint64_t id = 0;
        check(dpo_feedback_record_thumb(get(), detail::c_text(prompt), detail::c_text(answer), up, weight, &id));
        return id;
    }
    uint64_t record_choice(const std::string &prompt, const std::string &chosen, const std::string &rejected,
                           double weight = 1) {
        uint64_t id = 0;
        check(dpo_feedback_record_choice(get(), detail::c_text(prompt), detail::c_text(chosen),
                                         detail::c_text(rejected), weight, &id));
        return id;
    }
    uint64_t record_json(const std::string &row) {
        uint64_t id = 0;
        check(dpo_feedback_record_json(get(), detail::c_text(row), &id));
        return id;
    }

    uint64_t count() const {
        uint64_t count = 0;
        check(dpo_feedback_count(get(), &count));
        return count;
    }
    /* As JSON. `output_dir`: "" for the file alone. */
    std::string status(const std::string &output_dir = "") const {
        char *json = nullptr;
        check(dpo_feedback_status(get(), detail::optional_text(output_dir), &json));
        return detail::take(json);
    }

    dpo_feedback_result train(const model &model, const std::string &output_dir,
                              const dpo_feedback_options &options = feedback_options(),
                              const event_callback &on_event = nullptr) {
        detail::guard caught;
        detail::event_call call{caught, on_event};
        dpo_feedback_result result{};
        result.struct_size = sizeof result;
        caught.finish(dpo_feedback_train(get(), model.get(), detail::c_text(output_dir), &options,
                                         on_event ? detail::event_call::enter : nullptr, &call, &result));
        return result;
    }
    void cancel() noexcept { dpo_feedback_cancel(get()); }
};

} // namespace dpo

#endif
