/*
 * libdpo – preference-tune the language model that your program already runs, inside your program.
 *
 * Preference tuning teaches a model which of two answers people like better. DPO (direct preference optimisation) does it
 * without a reward model: it raises the probability of the chosen answer against the rejected one, compared with a frozen
 * copy of the model, by the loss -log sigmoid(beta * (log-ratio of chosen - log-ratio of rejected)).
 *
 * This header is the manual. The library is used at six levels, sections 1 to 6 below; each works without the
 * ones after it. Section 0 has errors and options by name. (`check` stands for your error handling.)
 *
 *   1. Losses    You have log-probabilities from any engine: get losses, their gradients and rewards.
 *
 *                    dpo_loss_options options;
 *                    check(dpo_loss_options_init(&options, sizeof options));
 *                    options.beta = 0.1;
 *                    check(dpo_loss_compute(&options, pairs, chosen, rejected, ref_chosen, ref_rejected, NULL, NULL, NULL,
 *                                           &loss, NULL, gradient_chosen, gradient_rejected, NULL, NULL));
 *
 *   2. Scoring   Open a GGUF file, a Hugging Face directory or an HDF5 file: get log-probs of completions, or rewards.
 *
 *                    dpo_model *model;
 *                    check(dpo_model_open("model.gguf", NULL, 0, &model));
 *                    check(dpo_model_score_texts(model, prompts, completions, count, logps, NULL));
 *                    dpo_model_release(model);
 *
 *   3. Steps     One optimiser step at a time, or forward, your own loss, backward, optimiser step.
 *
 *                    check(dpo_train_options_init(&options, sizeof options));
 *                    check(dpo_dataset_open_jsonl(model, "pairs.jsonl", &options, &data));
 *                    check(dpo_trainer_create(model, NULL, data, NULL, &options, &trainer));
 *                    while (dpo_trainer_step(trainer, &metrics) == DPO_OK) printf("%f\n", metrics.loss);
 *                    check(dpo_trainer_save_model(trainer, "adapter.h5"));
 *
 *   4. Runs      A whole training over a data set: evaluation, checkpoints, progress, cancel, resume, report.
 *
 *                    check(dpo_train_options_init(&options, sizeof options));
 *                    options.lora_r = 16;
 *                    check(dpo_trainer_create(model, NULL, data, NULL, &options, &trainer));
 *                    check(dpo_trainer_run(trainer, "run", "last", on_event, user_data));
 *
 *   5. Around    Generate, judge and evaluate; make tokenizers and models; export to GGUF, GGUF LoRA, PEFT, Hugging Face.
 *
 *                    check(dpo_model_generate(model, prompts, count, NULL, NULL, NULL, &completions));
 *                    check(dpo_completions_get(completions, 0, 0, &text, NULL, NULL, NULL));
 *                    puts(text);
 *                    check(dpo_export("run/final.h5", DPO_EXPORT_GGUF_LORA, "adapter.gguf", NULL));
 *
 *   6. Feedback  Record what people say of answers; in idle minutes, turn it into an adapter.
 *
 *                    check(dpo_feedback_open("feedback.jsonl", &feedback));
 *                    check(dpo_feedback_record_thumb(feedback, prompt, answer, 1, 1.0, NULL));
 *                    check(dpo_feedback_train(feedback, model, "feedback", NULL, NULL, NULL, NULL));
 *                    // feedback/adapter.gguf is for llama.cpp
 *
 * Conventions
 *
 *   Names      dpo_noun_verb. Inputs come first, outputs last.
 *   Status     Every call that can fail returns int32_t: DPO_OK (0) or a negative DPO_ERROR_… code. dpo_last_error()
 *              then holds one sentence about it for the calling thread. Outputs are written only on success.
 *   Errors     Any call may give INVALID_ARGUMENT for a required pointer that is NULL, STATE for a handle that cannot be
 *              used now (see Handles, Threads), MEMORY, and INTERNAL. What else it may give stands at each function, after
 *              "Errors:", without the prefix DPO_ERROR_.
 *   Handles    dpo_model, dpo_dataset, dpo_trainer, dpo_completions and so on are opaque. Each is released with its
 *              _release function; NULL is fine there. Handles keep alive what they need: release in any order, even
 *              while another thread's call uses them (the object is freed when that call returns). NULL, a pointer
 *              that is no handle, or a handle of another kind gives DPO_ERROR_INVALID_ARGUMENT; a released handle, and
 *              one that was opened before fork(), DPO_ERROR_STATE. A further model handle on the same file shares its
 *              mapped weights and takes memory for its tokenizer alone, 2.4 MB (SmolLM2 135M) to 10 MB (Gemma 3), and when it
 *              computes for what it works with (15 to 60 MB there for short texts): a server may open one for each thread.
 *   Threads    Different handles may be used from different threads at once. Two calls on one handle at once, from two
 *              threads or from inside its own callback: the second one fails with DPO_ERROR_STATE, except where "any
 *              thread" is said; dpo_handle_set_wait makes it wait instead. Compute threads are the library's own: they
 *              inherit the priority of the thread that starts them, and block all signals.
 *              A thread needs 128 KiB of stack. Where that is too little for a call, it waits while a thread with 1 MiB,
 *              made for the call, does the work; callbacks come on the thread that called all the same.
 *   Callbacks  They may use other handles, the _cancel functions and dpo_last_error, and may release their own handle, which
 *              then goes when the call returns. They must return: after one is left by a C++ exception, longjmp or LuaJIT's
 *              error(), its handle gives DPO_ERROR_STATE and can only be released; memory and files of the call stay taken
 *              until the process ends. (On another stack than the thread's own, such as a coroutine's, and where the call
 *              had to go to a thread with more stack, the handle stays in use for ever.)
 *   Strings    UTF-8. `const char *` ends in NUL; text with an explicit length may hold any character.
 *   Structs    A struct starts with its own size. dpo_…_options_init sets it, and every default; for structs that the
 *              library fills, the caller sets it. Later versions append fields: programs compiled against this header go
 *              on working, and never have more written than they have room for. A NULL pointer to options means every
 *              default.
 *   Numbers    Log-probabilities are natural logarithms. Arrays are dense and row-major.
 *   Bounds     Bad input gives an error, never a crash; sizes in files are checked before memory is taken.
 *   Host       The library installs no signal handlers, prints nothing, never exits, and changes neither locale nor
 *              floating-point mode. Its own threads sleep between calls. A child of fork() opens its own handles; the
 *              parent's are refused there. fork() waits while a model is being opened. dlclose()
 *              leaves the library where it is: threads that used it may end later.
 *
 * What may change. This is version 0: functions may change between minor versions; DPO_ABI_VERSION and the soname then
 * change, too. Meant to stay as they are: sections 0 to 4 and export of section 5. Experimental, and likelier to change:
 * generation, classifiers, evaluation, tokenizers and new models of section 5, section 6, and of section 3 the rewards of a
 * trainer, dpo_trainer_set_reduce and communicators.
 *
 * Text and struct layouts of options are made of the tables in options/ (docs/options.md shows them as tables). The paper is
 * Rafailov et al., "Direct Preference Optimization", arXiv 2305.18290; names are those of TRL 1.16.
 */
#ifndef DPO_H
#define DPO_H

#include <stddef.h>
#include <stdint.h>

/* Before a function that a later version will not have, with what to use instead. */
#if defined(__GNUC__) || defined(__clang__)
#define DPO_DEPRECATED(instead) __attribute__((deprecated(instead)))
#else
#define DPO_DEPRECATED(instead)
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define DPO_VERSION_MAJOR 0
#define DPO_VERSION_MINOR 1
#define DPO_VERSION_PATCH 0
/* To compare versions: 10000 major + 100 minor + patch. */
#define DPO_VERSION_NUMBER (DPO_VERSION_MAJOR * 10000 + DPO_VERSION_MINOR * 100 + DPO_VERSION_PATCH)
/* Equals the number in the soname, libdpo.so.0. */
#define DPO_ABI_VERSION 0

/* ----------------------------------------------------------------------------------------------- 0. errors, version */

enum {
    DPO_OK = 0,
    DPO_ERROR_INVALID_ARGUMENT = -1, /* an argument or option is out of range, NULL, or does not go with another */
    DPO_ERROR_IO = -2,               /* the operating system refused to read or write a file */
    DPO_ERROR_FORMAT = -3,           /* a file or text is damaged or of another kind than expected */
    DPO_ERROR_UNSUPPORTED = -4,      /* valid, but not served by this version */
    DPO_ERROR_MISMATCH = -5,         /* things that do not belong together: an adapter of another model, … */
    DPO_ERROR_MEMORY = -6,           /* the plan exceeds the limit, or memory could not be had */
    DPO_ERROR_NON_FINITE = -7,       /* NaN or infinity in a loss, gradient or weight; the step was not applied */
    DPO_ERROR_CANCELLED = -8,        /* a callback or a _cancel function asked to stop */
    DPO_ERROR_STATE = -9,            /* the call does not fit the handle's state, or another thread is using it */
    DPO_ERROR_INTERNAL = -10,        /* a defect in libdpo */
    DPO_ERROR_DIVERGED = -11         /* training left its bounds: the policy went too far from its reference (max_kl) */
};

/* "0.1.0"; static. Any thread. */
const char *dpo_version(void);

/* The DPO_VERSION_NUMBER of the library that runs. Any thread. */
int32_t dpo_version_number(void);

/* The DPO_ABI_VERSION of the library that runs. Any thread. */
int32_t dpo_abi_version(void);

/* What went wrong in the last failed call of this thread: one sentence that names the file, the place and what was
 * expected. Never NULL; "" before the first failure. Valid until the thread's next failing call. */
const char *dpo_last_error(void);

/* "DPO_ERROR_FORMAT" and so on; "unknown status" for other numbers. Static. Any thread. */
const char *dpo_status_name(int32_t status);

/* The same for a handle of any kind, whatever thread's call failed: for hosts whose tasks move from thread to thread, such
 * as Go's. Calls that return a handle have none yet: for them take dpo_last_error on the thread that called. "" before the
 * first failure. Free *text with dpo_string_free. Any thread, also while the handle is in use.
 * Errors: none but the common ones. */
int32_t dpo_handle_last_error(const void *handle, char **text);

/* How many seconds a call on this handle waits while another thread's call has it, instead of failing with
 * DPO_ERROR_STATE; 0, as handles begin: not at all; INFINITY: for ever. Who waits longest does not always come first. Inside
 * a callback calls never wait. Any thread.
 * Errors: INVALID_ARGUMENT (NaN, less than 0). */
int32_t dpo_handle_set_wait(void *handle, double seconds);

/* Frees text that a function returned through a `char **`. NULL is fine. Any thread. */
void dpo_string_free(char *text);

/* Options by name, for languages that do not read this header: a handle instead of a struct whose fields have to be counted.
 *
 *     dpo_options *options;
 *     check(dpo_options_create("training", &options));
 *     check(dpo_options_set(options, "lora_r", "16"));
 *     check(dpo_options_set_json(options, "{\"lora_target_modules\": [\"q_proj\", \"v_proj\"], \"learning_rate\": 1e-4}"));
 *     check(dpo_trainer_create(model, NULL, data, NULL, dpo_options_struct(options), &trainer));
 *     dpo_options_release(options);
 */
typedef struct dpo_options dpo_options;

/* Every default. kind: the struct they stand for, "training" (dpo_train_options), "feedback_training" (the same with the
 * defaults of dpo_feedback_training_init), "feedback", "generation", "tokenizer", "shape", "export", "loss" or "ppo".
 * Errors: INVALID_ARGUMENT (another kind). */
int32_t dpo_options_create(const char *kind, dpo_options **options);

/* Sets an option. value: a number, "true" or "false", a text, items of a list joined by commas; "none" for a number that may
 * be unset; NULL: the default. The runs' options of "feedback" are "training.lora_r" and so on.
 * Errors: INVALID_ARGUMENT (no such option, or a value of another kind or out of range). The options are then as they were. */
int32_t dpo_options_set(dpo_options *options, const char *name, const char *value);

/* The same for every member of a JSON object, all or nothing. null: unset, or the default of what cannot be unset. "feedback"
 * has the runs' options as an object under "training".
 * Errors: FORMAT (no JSON object), INVALID_ARGUMENT as above. */
int32_t dpo_options_set_json(dpo_options *options, const char *json);

/* The options as JSON: [{"name", "type", "default", "value", "choices", "help"}], "type" being "bool", "int", "float",
 * "string", "strings" or "floats". Free *json with dpo_string_free.
 * Errors: none but the common ones. */
int32_t dpo_options_describe(dpo_options *options, char **json);

/* The struct, for the functions that take one; they copy it. It and what it points to are valid until the options are set again
 * or released. Of a handle that cannot be used: a struct that every function refuses. Never NULL. */
const void *dpo_options_struct(dpo_options *options);
void dpo_options_release(dpo_options *options);

/* -------------------------------------------------------------------------------------------------------- 1. losses */

/* DPO losses by TRL's names. Formulas: docs/losses.md; SIGMOID is the paper's equation 7. */
typedef enum dpo_loss_type {
/* made by options/generate.py: dpo_loss_type */
    DPO_LOSS_SIGMOID = 0, /* DPO (Rafailov et al. 2023, equation 7) */
    DPO_LOSS_HINGE = 1, /* SLiC-HF's hinge on the DPO margin (Zhao et al. 2023) */
    DPO_LOSS_IPO = 2, /* IPO (Azar et al. 2023, equation 17), on length-normalised log-ratios as in TRL */
    DPO_LOSS_EXO_PAIR = 3, /* EXO for pairs (Ji et al. 2024, equation 16) */
    DPO_LOSS_NCA_PAIR = 4, /* NCA for pairs (Chen et al. 2024) */
    DPO_LOSS_ROBUST = 5, /* Robust DPO, unbiased under flipped labels (Chowdhury et al. 2024) */
    DPO_LOSS_BCO_PAIR = 6, /* BCO on pairs (Jung et al. 2024), without the running mean */
    DPO_LOSS_SPPO_HARD = 7, /* SPPO with hard labels (Wu et al. 2024) */
    DPO_LOSS_AOT = 8, /* AOT: stochastic dominance over the batch, paired (Melnyk et al. 2024) */
    DPO_LOSS_AOT_UNPAIRED = 9, /* AOT over unpaired samples */
    DPO_LOSS_APO_ZERO = 10, /* APO-zero (D'Oosterlinck et al. 2024): raises chosen, lowers rejected */
    DPO_LOSS_APO_DOWN = 11, /* APO-down: lowers both, the rejected more */
    DPO_LOSS_DISCOPOP = 12, /* DiscoPOP, the log-ratio modulated loss (Lu et al. 2024) */
    DPO_LOSS_SFT = 13, /* Negative log-likelihood of the chosen completion, token mean over the micro-batch (the RPO term) */
    DPO_LOSS_SIGMOID_NORM = 14, /* DPO on length-normalised log-ratios */
    DPO_LOSS_CONSERVATIVE = 15 /* cDPO: sigmoid with labels flipped with probability label_smoothing (Mitchell 2023) */
} dpo_loss_type;

typedef enum dpo_f_divergence {
/* made by options/generate.py: dpo_f_divergence */
    DPO_F_REVERSE_KL = 0, /* f(t) = t: the divergence of DPO itself */
    DPO_F_FORWARD_KL = 1, /* f(t) = 1 − e^−t */
    DPO_F_JS_DIVERGENCE = 2, /* f(t) = log 2 + log σ(t) */
    DPO_F_ALPHA_DIVERGENCE = 3 /* f(t) = (e^((c−1)t) − 1)/(c − 1), c = f_alpha_divergence_coef; t itself where c is 1 */
} dpo_f_divergence;

typedef struct dpo_loss_options {
/* made by options/generate.py: dpo_loss_options */
    size_t struct_size; /* sizeof, set by the init function */
    /* β, how strongly the policy is held to the reference model: the smaller, the further it may go. More than 0.
     * Default 0.1. */
    double beta;
    /* ε, the share of labels that are assumed to be swapped. For the losses exo_pair, which needs (0, 1), robust,
     * which needs [0, 0.5), aot, aot_unpaired and conservative. 0 to 1. Default 0. */
    double label_smoothing;
    /* Temperature of the discopop loss. More than 0. Default 0.05. */
    double discopop_tau;
    /* Coefficient of alpha_divergence. Default 0.5. */
    double f_alpha_divergence_coef;
    /* The divergence from the reference model that the loss assumes. The paper's is reverse_kl. One of
     * dpo_f_divergence. Default DPO_F_REVERSE_KL. */
    int32_t f_divergence;
    /* Reference log-probs count as 0, and may be left out. Default 0. */
    int32_t reference_free;
    /* The losses, summed. Values of dpo_loss_type. Default NULL: DPO_LOSS_SIGMOID. */
    const int32_t *loss_types;
    /* Weight of each of the loss_types; empty: 1 each. Default NULL. */
    const double *loss_weights;
    size_t loss_count; /* length of both; 0 when loss_types is NULL */
} dpo_loss_options;

/* Every default. struct_size: sizeof(dpo_loss_options); DPO_ERROR_INVALID_ARGUMENT if it is smaller than in any version, or
 * above 4096. What only a newer header's struct has becomes zero.
 * Errors: INVALID_ARGUMENT. */
int32_t dpo_loss_options_init(dpo_loss_options *options, size_t struct_size);

/* The loss of `pairs` preference pairs and its gradient.
 *
 * Inputs, each [pairs]: summed log-probs of the chosen and rejected completions under the policy and the reference;
 * their token counts (needed by IPO, SIGMOID_NORM and SFT, else they may be NULL); pair weights (NULL: 1 each), by which
 * a pair's loss is multiplied before the mean.
 *
 * Outputs: *loss, the mean over the pairs; and, each [pairs] or NULL when not wanted: losses (before the mean),
 * gradients d loss / d policy log-prob (the mean's 1/pairs included), and rewards β·log(π/π_ref).
 *
 * Every completion token receives its sequence's gradient: d loss / d logp(token) = gradient of the sum.
 * Errors: INVALID_ARGUMENT (an option out of range, or one that the losses do not use; token counts that are missing), NON_FINITE. */
int32_t dpo_loss_compute(const dpo_loss_options *options, size_t pairs,
                         const double *policy_chosen, const double *policy_rejected,
                         const double *reference_chosen, const double *reference_rejected,
                         const int32_t *chosen_tokens, const int32_t *rejected_tokens, const double *weights,
                         double *loss, double *losses, double *gradient_chosen, double *gradient_rejected,
                         double *reward_chosen, double *reward_rejected);

/* The loss of ranked answers by the Plackett-Luce model (the paper's appendix A.3, equation 20), of which a pair is the case
 * of two. `rows` prompts; row i has counts[i] >= 2 completions, whose numbers stand one after the other, row after row:
 * log-probs under policy and reference (NULL: 0) and ranks, of which only the order counts: lower is better, equal ranks
 * are not compared with each other. weights: [rows] or NULL.
 *
 * Outputs: *loss, the mean over the rows; losses: [rows]; gradients d loss / d policy log-prob and rewards
 * beta * log(pi / pi_ref), one for each completion. All but loss may be NULL.
 * Errors: INVALID_ARGUMENT (beta, a row of fewer than two completions), NON_FINITE. */
int32_t dpo_loss_compute_ranked(double beta, size_t rows, const size_t *counts, const double *ranks, const double *policy,
                                const double *reference, const double *weights, double *loss, double *losses,
                                double *gradients, double *rewards);

/* The closed form of what RLHF and DPO maximise, where all answers to a prompt can be listed: the policy that maximises
 * E[r] - beta D_f(policy || reference). Of the options these functions read beta, f_divergence and f_alpha_divergence_coef;
 * NULL: defaults, with which D_f is the KL divergence. Distributions are `count` log-probs whose probabilities sum to 1
 * (within 1e-4), -INFINITY where an answer has none. Equations: docs/closed-form.md.
 *
 * Outputs, NULL when not wanted: the best policy's log-probs [count], reference * f'^-1((r - lambda) / beta), for KL
 * reference * exp(r / beta) / Z; and its normaliser lambda, for KL beta log Z.
 * Errors: INVALID_ARGUMENT (beta, probabilities that do not sum to 1), NON_FINITE. */
int32_t dpo_policy_optimum(const dpo_loss_options *options, size_t count, const double *reference_logps,
                           const double *rewards, double *policy_logps, double *normalizer);

/* The rewards for which a policy is the best one, up to lambda: beta f'(policy / reference), for KL beta log(policy /
 * reference). rewards: [count]. DPO_ERROR_NON_FINITE where one of the two never gives an answer.
 * Errors: INVALID_ARGUMENT, NON_FINITE. */
int32_t dpo_policy_rewards(const dpo_loss_options *options, size_t count, const double *policy_logps,
                           const double *reference_logps, double *rewards);

/* D_f(policy || reference), for KL the sum of policy * log(policy / reference); INFINITY is possible.
 * Errors: INVALID_ARGUMENT. */
int32_t dpo_policy_divergence(const dpo_loss_options *options, size_t count, const double *policy_logps,
                              const double *reference_logps, double *divergence);

/* Bradley-Terry: probabilities that answers of the first rewards are preferred to those of the second, [count];
 * sigmoid(first - second).
 * Errors: INVALID_ARGUMENT. */
int32_t dpo_bradley_terry(size_t count, const double *first_rewards, const double *second_rewards,
                          double *probabilities);

/* Generalised advantage estimation over completions that stand one after the other; completion i has counts[i] tokens, all
 * arrays but counts one number a token. With v and A beyond a completion's last token 0:
 *
 *     delta_t = reward_t + gamma v_{t+1} - v_t;  A_t = delta_t + gamma lam A_{t+1};  return_t = A_t + v_t
 * Errors: INVALID_ARGUMENT (gamma or lam outside 0 to 1, counts). */
int32_t dpo_gae(const double *rewards, const double *values, const size_t *counts, size_t completions, double gamma,
                double lam, double *advantages, double *returns);

typedef struct dpo_ppo_options {
/* made by options/generate.py: dpo_ppo_options */
    size_t struct_size; /* sizeof, set by the init function */
    /* ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0. Default 0.2. */
    double cliprange;
    /* How far a value may move from the rollout's before the loss stops following. At least 0. Default 0.2. */
    double cliprange_value;
    /* Weight of the value function's loss. At least 0. Default 0.1. */
    double vf_coef;
} dpo_ppo_options;

/* Every default. struct_size: sizeof(dpo_ppo_options).
 * Errors: INVALID_ARGUMENT. */
int32_t dpo_ppo_options_init(dpo_ppo_options *options, size_t struct_size);

/* PPO's loss over `tokens` tokens and its gradient, with r = exp(logp - old_logp), means over the tokens:
 *
 *     mean max(-A r, -A clip(r, 1 - cliprange, 1 + cliprange))
 *       + vf_coef / 2 mean max((V - return)^2, (clip(V, old - cliprange_value, old + cliprange_value) - return)^2)
 *
 * Inputs, each [tokens]: log-probs now and when the tokens were drawn, and advantages; values now and then, and returns
 * (all three NULL: no value function). Outputs: *loss; each [tokens] or NULL: d loss / d logp and d loss / d value.
 * Errors: INVALID_ARGUMENT (an option, or only some of values, old_values and returns), NON_FINITE. */
int32_t dpo_ppo_loss(const dpo_ppo_options *options, size_t tokens, const float *logps, const float *old_logps,
                     const float *advantages, const float *values, const float *old_values, const float *returns,
                     double *loss, double *gradient_logps, double *gradient_values);

/* ------------------------------------------------------------------------------------------------------- 2. scoring */

typedef struct dpo_model dpo_model;

typedef struct dpo_model_info {
    size_t struct_size;       /* set by the caller to sizeof(dpo_model_info) */
    uint64_t parameters;      /* numbers in the model, tied ones once */
    uint64_t mapped_bytes;    /* size of the weights as they lie in the file */
    int32_t vocabulary_size;
    int32_t hidden_size;
    int32_t layers;
    int32_t context_length;   /* tokens */
    int32_t eos_token;        /* -1: none */
    int32_t bos_token;        /* -1: none */
    int32_t has_chat_template;
    int32_t has_adapter;
    char architecture[32];    /* the family: "llama", "qwen3", "gemma3", ... (docs/models.md) */
    char format[16];          /* "gguf", "huggingface", "hdf5" */
    int32_t is_reward_model;  /* it scores text (dpo_model_reward_…) and has no log-probs */
} dpo_model_info;

/* Opens a GGUF file, a Hugging Face directory or a libdpo HDF5 file. Weights stay where they are, memory-mapped,
 * and the file must not be written to while the handle lives. Each pass over the model looks before it starts: if size or
 * time of change differ, the call fails with DPO_ERROR_IO and a message that names the file. A file that is cut while a pass
 * reads it ends the process with SIGBUS, as the library installs no handlers (dpo_model_load avoids that). Removing the
 * file or renaming another one over it is safe: the handle keeps the old one. `adapter`: a PEFT directory, a libdpo adapter
 * (HDF5) or a GGUF LoRA that is put on top; NULL: none. `threads`: 0 = one a core, and at most that many.
 * Errors: IO, FORMAT (a damaged file), UNSUPPORTED (a family, tokenizer or number format that is not served),
 * MISMATCH (an adapter of another model). */
int32_t dpo_model_open(const char *path, const char *adapter, int32_t threads, dpo_model **model);

/* The same with the weights copied into memory, as llama.cpp does with --no-mmap: what is done to the file afterwards does
 * not matter. It takes mapped_bytes that are shared with no other process that has the file mapped.
 * Errors: as dpo_model_open. */
int32_t dpo_model_load(const char *path, const char *adapter, int32_t threads, dpo_model **model);

/* Computes with another engine from now on: the inner loops for one kind of processor. "auto": the best that this processor
 * has, which is what a model starts with; "avx512", "avx2", "neon", "portable" (any processor); "openblas": products through
 * OpenBLAS, which is loaded when it is first asked for and has its process-wide thread count set to 1. One engine gives the
 * same bits on every machine and for any number of threads; engines differ in the last bits.
 * Errors: INVALID_ARGUMENT (there is no such engine), UNSUPPORTED (the processor cannot run it, OpenBLAS cannot be loaded). */
int32_t dpo_model_set_engine(dpo_model *model, const char *engine);
void dpo_model_release(dpo_model *model);

/* Ends a running dpo_model_score_…, _reward_…, _generate or _evaluate of this handle with DPO_ERROR_CANCELLED, before its next
 * pass over the model or its next token. Does nothing if none is running. Any thread, and safe in a signal handler. */
void dpo_model_cancel(dpo_model *model);
/* Errors: INVALID_ARGUMENT (struct_size). */
int32_t dpo_model_get_info(const dpo_model *model, dpo_model_info *info);

/* What a model, adapter, checkpoint or data file holds, as JSON ({"kind", "format", "architecture", "parameters",
 * "tensors": [{"name", "dtype", "shape"}], …}; of rows {"kind": "data", "format": "jsonl", "json", "csv" or "tsv", "rows",
 * "row_kind", "conversational", "columns"}). Free *json with dpo_string_free.
 * Errors: IO, FORMAT, UNSUPPORTED. */
int32_t dpo_inspect(const char *path, char **json);

/* Token ids of `size` bytes of text. `add_special_tokens`: as the tokenizer does by default (BOS, where it has one).
 * Writes at most `capacity` ids; *count is the number there are: call again with more room if it is larger.
 * Errors: INVALID_ARGUMENT (not UTF-8), UNSUPPORTED (the model has no tokenizer). */
int32_t dpo_model_encode(dpo_model *model, const char *text, size_t size, int32_t add_special_tokens,
                         int32_t *ids, size_t capacity, size_t *count);

/* The text of token ids, special tokens included. Free *text with dpo_string_free; *size is its length in bytes.
 * Errors: INVALID_ARGUMENT (an id beyond the vocabulary), UNSUPPORTED (the model has no tokenizer). */
int32_t dpo_model_decode(dpo_model *model, const int32_t *ids, size_t count, char **text, size_t *size);

/* The model's chat template over messages, a JSON array of {"role", "content"}. Free *text with dpo_string_free.
 * Errors: FORMAT (not JSON, or the template refuses the messages), UNSUPPORTED (no template). */
int32_t dpo_model_apply_chat_template(dpo_model *model, const char *messages_json, int32_t add_generation_prompt,
                                      char **text, size_t *size);

/* Log-probs of completions given their prompts, all in one pass; a prompt is computed once for all its completions.
 *
 * prompts:     `prompt_count` lists of token ids, one after the other in prompt_ids; list i has prompt_lengths[i].
 * completions: `completion_count` lists likewise; completion j continues prompt completion_prompts[j]. Append the EOS
 *              token if its probability shall count.
 * token_logps: NULL or one number for each completion token, in order. The first token of a completion whose prompt is
 *              empty is not predicted by anything: it counts 0.
 * sum_logps:   NULL or [completion_count] sums.
 * Errors: INVALID_ARGUMENT (an id beyond the vocabulary, a prompt that does not exist, a row beyond the context),
 * UNSUPPORTED (a reward model), IO (the file was changed), CANCELLED. */
int32_t dpo_model_score_tokens(dpo_model *model, const int32_t *prompt_ids, const size_t *prompt_lengths,
                               size_t prompt_count, const int32_t *completion_ids, const size_t *completion_lengths,
                               const size_t *completion_prompts, size_t completion_count,
                               float *token_logps, double *sum_logps);

/* Sums of log-probs for texts: completion i after prompt i, EOS appended, boundaries as in training. token_counts may
 * be NULL.
 * Errors: as dpo_model_score_tokens, and UNSUPPORTED without a tokenizer. */
int32_t dpo_model_score_texts(dpo_model *model, const char *const *prompts, const char *const *completions, size_t count,
                              double *sum_logps, int32_t *token_counts);

/* A reward model's scores of completions after their prompts, [completion_count]; arguments as in dpo_model_score_tokens.
 * A higher score is a better answer to the same prompt; zero and unit mean nothing by themselves. The score is read at the
 * last token that is not the model's padding token. DPO_ERROR_UNSUPPORTED for a model that is no reward model.
 * Errors: as dpo_model_score_tokens, and NON_FINITE. */
int32_t dpo_model_reward_tokens(dpo_model *model, const int32_t *prompt_ids, const size_t *prompt_lengths,
                                size_t prompt_count, const int32_t *completion_ids, const size_t *completion_lengths,
                                const size_t *completion_prompts, size_t completion_count, double *rewards);

/* The same for texts: completion i after prompt i, EOS appended, tokenised together as in training. rewards: [count].
 * Errors: as dpo_model_reward_tokens, and UNSUPPORTED without a tokenizer. */
int32_t dpo_model_reward_texts(dpo_model *model, const char *const *prompts, const char *const *completions, size_t count,
                               double *rewards);

/* ---------------------------------------------------------------------------------------------- 3. steps: data sets */

typedef struct dpo_dataset dpo_dataset;

typedef struct dpo_dataset_info {
    size_t struct_size;          /* set by the caller */
    uint64_t rows;
    uint64_t dropped_rows;       /* prompt not shorter than max_length */
    uint64_t truncated_rows;
    uint64_t identical_rows;     /* chosen equals rejected, or all ranked tie: no gradient from them */
    uint64_t duplicate_rows;
    uint64_t contradicting_rows; /* the same pair the other way round */
    uint64_t tokens;             /* distinct tokens, prompts counted once a pair */
    uint64_t longest_row;        /* tokens of the longest prompt + completion */
    double longer_is_chosen;     /* fraction of pairs; 0.5 is no length bias */
} dpo_dataset_info;

typedef struct dpo_train_options dpo_train_options;

/* Reads and tokenises rows for the options' method, max_length and truncation_mode (NULL: defaults). `path`: a file of JSON
 * lines, a JSON array (.json), comma- or tab-separated values (.csv, .tsv), each perhaps packed by gzip (.gz), or a directory
 * of such files, which are read by name. A row is
 * {"prompt", "chosen", "rejected"} as text or chat messages, {"prompt", "completion"}, {"text"} or {"messages"}; kto and bco:
 * {"prompt", "completion", "label"}; ranked: {"prompt", "completions", "ranks"} (lower is better) or {…, "scores"} (higher is
 * better); methods that answer prompts: {"prompt"}. For the method pretrain `path` may
 * also be a text file, and the directory may hold .txt files.
 * Errors: IO, FORMAT (a row that is damaged or has another form than the method reads; the message names file and
 * line), INVALID_ARGUMENT (options), UNSUPPORTED (no tokenizer). */
int32_t dpo_dataset_open_jsonl(const dpo_model *model, const char *path, const dpo_train_options *options,
                               dpo_dataset **dataset);

/* Is told how far rows were read, a few times a second, on the calling thread. `phase`: "tokenising" and others; bytes done and
 * of all, 0 where they are unknown; rows done. What it returns other than 0 ends the reading (CANCELLED). */
typedef int32_t (*dpo_reading_callback)(const char *phase, uint64_t done, uint64_t total, uint64_t rows, void *user_data);

/* The same of `count` files or directories, one after the other, and with a callback (NULL: none). Rows that do not fit into
 * memory are read from a file: see data_cache.
 * Errors: as dpo_dataset_open_jsonl; CANCELLED; IO also where data_cache names a directory that cannot be written, or is full. */
int32_t dpo_dataset_open(const dpo_model *model, const char *const *paths, size_t count, const dpo_train_options *options,
                         dpo_reading_callback callback, void *user_data, dpo_dataset **dataset);

/* The same from `size` bytes of JSON lines in memory.
 * Errors: as dpo_dataset_open_jsonl, without IO. */
int32_t dpo_dataset_from_jsonl(const dpo_model *model, const char *text, size_t size, const dpo_train_options *options,
                               dpo_dataset **dataset);

/* The same from arrays of NUL-terminated texts.
 * Errors: as dpo_dataset_open_jsonl, without IO. */
int32_t dpo_dataset_from_pairs(const dpo_model *model, const char *const *prompts, const char *const *chosen,
                               const char *const *rejected, size_t count, const dpo_train_options *options,
                               dpo_dataset **dataset);

/* The same from token ids (EOS included where it shall count): row i is prompt_lengths[i], chosen_lengths[i] and
 * rejected_lengths[i] ids, taken from the three arrays in order. No model is needed. Methods that answer prompts themselves
 * take the prompts; the other lengths are then 0.
 * Errors: INVALID_ARGUMENT. */
int32_t dpo_dataset_from_tokens(const int32_t *prompt_ids, const size_t *prompt_lengths, const int32_t *chosen_ids,
                                const size_t *chosen_lengths, const int32_t *rejected_ids,
                                const size_t *rejected_lengths, size_t count, const dpo_train_options *options,
                                dpo_dataset **dataset);

/* Errors: none but the common ones. */
int32_t dpo_dataset_get_info(const dpo_dataset *dataset, dpo_dataset_info *info);
void dpo_dataset_release(dpo_dataset *dataset);

/* -------------------------------------------------------------------------------------- 3. steps: options, trainers */

/* Names, defaults and ranges are those of `dpo train --help` and of TrainingOptions in Swift. Leave options that the method
 * does not use at their defaults. */
struct dpo_train_options {
/* made by options/generate.py: dpo_train_options */
    size_t struct_size; /* sizeof, set by the init function */

    /* ---- Method and loss ---- */

    /* What is trained, and on which rows. "dpo" on pairs; "ranked" on ranked answers; "sft" on demonstrations, or on
     * the chosen side of pairs; "pretrain" on plain text; "kto" on thumbs up and down; "bco" on thumbs up and down;
     * "cpo" CPO, SimPO or AlphaPO on pairs without a reference model; "orpo" on pairs without a reference model;
     * "unlikelihood" on pairs, the DPO paper's baseline; "reward" a reward model on pairs; "ppo" on the policy's own
     * answers to prompts, by a reward; "rloo" the same without a value function, by leave-one-out means; "grpo" the
     * same by standardised groups; "online_dpo" DPO on its best and worst answers. Default "dpo". */
    const char *method;

    /* The loss; several are summed with loss_weights. dpo and online_dpo: the DPO losses. cpo: sigmoid, hinge, ipo,
     * simpo or alphapo. kto: kto or apo_zero_unpaired. sft: nll or dft. A method that finds the default here takes
     * its own. Source: paper, equation 7: sigmoid. Names are joined by commas. Default "sigmoid". For dpo, sft, kto,
     * cpo and online_dpo. */
    const char *loss_type;

    /* Weight of each loss in loss_type; empty: 1 each. Default NULL. For dpo and online_dpo. */
    const double *loss_weights;
    size_t loss_weight_count;

    /* β, how strongly the policy is held to the reference model: the smaller, the further it may go. orpo: the
     * paper's λ. Source: paper, equation 3. More than 0. Default 0.1. For dpo, ranked, kto, bco, cpo, orpo and
     * online_dpo. */
    double beta;

    /* ε, the share of labels that are assumed to be swapped. For the losses exo_pair, robust, aot, aot_unpaired and
     * conservative, and for cpo. 0 to 1. Default 0. For dpo, cpo and online_dpo. */
    double label_smoothing;

    /* The divergence from the reference model that the loss assumes. The paper's is reverse_kl. One of "reverse_kl",
     * "forward_kl", "js_divergence", "alpha_divergence". Default "reverse_kl". For dpo and online_dpo. */
    const char *f_divergence_type;

    /* Coefficient of alpha_divergence. Default 0.5. For dpo and online_dpo. */
    double f_alpha_divergence_coef;

    /* Temperature of the discopop loss. More than 0. Default 0.05. For dpo and online_dpo. */
    double discopop_tau;

    /* LD-DPO: weight of the tokens that the longer completion has beyond the shorter one. 0 to 1. Default NaN: 1.
     * For dpo and online_dpo. */
    double ld_alpha;

    /* WPO: weight each pair by how likely the policy is to write it. Default 0. For dpo and online_dpo. */
    int32_t use_weighting;

    /* On rows of prompt and completion: learn the completion only. Default 1. For sft. */
    int32_t completion_only_loss;

    /* On rows of messages: learn only what the chat template writes inside {% generation %}. Default 0. For sft. */
    int32_t assistant_only_loss;

    /* Fill sequences of max_length tokens with as many rows as fit, in TRL's order. Rows of one sequence never see
     * each other. Batches then count such sequences. Default 0. For sft. */
    int32_t packing;

    /* Factor on the loss of rows with a thumb up. At least 0. Default 1. For kto. */
    double desirable_weight;

    /* Factor on the loss of rows with a thumb down. At least 0. Default 1. For kto. */
    double undesirable_weight;

    /* Weight of the chosen completions' negative log-likelihood. SimPO as published has none: 0. At least 0. Default
     * 1. For cpo. */
    double cpo_alpha;

    /* simpo's γ: the margin between the rewards that the loss asks for. Default 0.5. For cpo. */
    double simpo_gamma;

    /* AlphaPO's shape of the reward, (1 − p^−alpha) / alpha; 0: the log-prob. Default 0. For cpo. */
    double alpha;

    /* Weight of the rejected completions' log-likelihood, which is taken from that of the chosen ones. Source:
     * paper, appendix C.2; not in TRL. 0 to 1. Default 1. For unlikelihood. */
    double unlikelihood_alpha;

    /* Weight of the mean of (chosen + rejected)², which keeps a reward model's scores near 0. At least 0. Default
     * NaN: none; 0.01 is usual. For reward. */
    double center_rewards_coefficient;

    /* ---- Reference model ---- */

    /* Take the reference model's log-probs as 0. Default 0. For dpo, ranked, kto and bco. */
    int32_t reference_free;

    /* Compute the reference log-probs of all rows before the first step, and keep them in the output directory.
     * Default 0. For dpo, ranked, kto and bco. */
    int32_t precompute_ref_log_probs;

    /* TR-DPO: move the reference model towards the policy every ref_model_sync_steps. Full training only. Default 0.
     * For dpo, ranked, kto and bco. */
    int32_t sync_ref_model;

    /* TR-DPO: weight of the policy in the new reference model. 0 to 1. Default 0.6. For dpo, ranked, kto and bco. */
    double ref_model_mixup_alpha;

    /* TR-DPO: optimiser steps between two syncs. At least 1. Default 512. For dpo, ranked, kto and bco. */
    int32_t ref_model_sync_steps;

    /* ---- Rollouts: methods that learn from the policy's own answers ---- */

    /* β, the weight of the KL penalty: ppo takes it from the reward of every token, rloo from that of a completion,
     * grpo adds it to the loss. At least 0. Default NaN: 0.05 for ppo and rloo, 0 for grpo. For ppo, rloo and grpo. */
    double kl_coef;

    /* KL of a token from k = log π − log π_ref. k1 is k, k3 is e^−k − 1 + k. One of "k1", "k3". Default "k1". For
     * ppo. */
    const char *kl_estimator;

    /* KL of a completion, in nats, that kl_coef is steered towards after each rollout. Source: Ziegler et al. 2019;
     * not in TRL 1.16. At least 1e-9. Default NaN: kl_coef is fixed. For ppo and rloo. */
    double kl_target;

    /* Completions over which kl_coef adapts to kl_target. More than 0. Default 10000. For ppo and rloo. */
    double kl_horizon;

    /* Stop the run when the mean KL of a rollout's completions, in nats, is above this. Source: not in TRL. At least
     * 0. Default 200; NaN: never. For ppo, rloo, grpo and online_dpo. */
    double max_kl;

    /* ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0. Default 0.2. For ppo, rloo and
     * grpo. */
    double cliprange;

    /* How far a value may move from the rollout's before the loss stops following. At least 0. Default 0.2. For ppo. */
    double cliprange_value;

    /* Weight of the value function's loss. At least 0. Default 0.1. For ppo. */
    double vf_coef;

    /* γ, discount of later rewards. 0 to 1. Default 1. For ppo. */
    double gamma;

    /* λ of generalised advantage estimation. 0 to 1. Default 0.95. For ppo. */
    double lam;

    /* Scale the rewards of a rollout to variance 1. Default 0. For ppo. */
    int32_t whiten_rewards;

    /* Passes over each rollout. 1 to 1000. Default 0: 4 for ppo, 1 for rloo, grpo and online_dpo. For ppo, rloo,
     * grpo and online_dpo. */
    int32_t num_ppo_epochs;

    /* Optimiser steps that a pass over a rollout is divided into. A rollout has per_device_train_batch_size ×
     * gradient_accumulation_steps rows. 1 to 1000000. Default 1. For ppo, rloo, grpo and online_dpo. */
    int32_t num_mini_batches;

    /* Completions of each prompt. 2 to 1024. Default 0: 2 for rloo and online_dpo, 8 for grpo. For rloo, grpo and
     * online_dpo. */
    int32_t num_generations;

    /* Most tokens of a completion that the policy draws. At least 1. Default 0: 53 for ppo, 512 for rloo and grpo,
     * 64 for online_dpo. For ppo, rloo, grpo and online_dpo. */
    int32_t max_completion_length;

    /* Temperature of the policy's draws. ppo, rloo and grpo take all log-probs at it. 0.001 to 1000. Default NaN:
     * 0.7 for ppo, 1 for rloo and grpo, 0.9 for online_dpo. For ppo, rloo, grpo and online_dpo. */
    double temperature;

    /* Taken from the score of a completion that does not end by itself. At least 0. Default NaN: none. For ppo,
     * rloo, grpo and online_dpo. */
    double missing_eos_penalty;

    /* ---- Optimisation ---- */

    /* Peak learning rate. With LoRA, 1e-4 to 2e-4 is usual for every method. At least 0. Default NaN: 2e-5 for sft,
     * 5e-4 for pretrain, 1e-4 for reward, 3e-6 for ppo, 5e-7 for online_dpo, 1e-6 for the others. */
    double learning_rate;

    /* How the learning rate changes over the steps. One of "linear", "cosine", "constant", "constant_with_warmup",
     * "cosine_with_restarts", "polynomial", "inverse_sqrt". Default "linear". */
    const char *lr_scheduler_type;

    /* Steps over which the rate rises from 0; below 1: that fraction of all steps. 0 to 2147483647. Default 0. */
    double warmup_steps;

    /* Decoupled weight decay; sgd adds it to the gradients. Biases and norms are exempt. At least 0. Default 0. */
    double weight_decay;

    /* Decay of AdamW's first moment; Lion's β1. 0 to 0.999999999. Default 0.9. */
    double adam_beta1;

    /* Decay of AdamW's second moment; Lion's β2, which its paper has at 0.99. 0 to 0.999999999. Default 0.999. */
    double adam_beta2;

    /* Added to AdamW's denominator. At least 0. Default 1e-8. */
    double adam_epsilon;

    /* The optimiser. adamw_torch, also called adamw_torch_fused, keeps 8 bytes for each number that is trained;
     * adamw_8bit, also called adamw_bnb_8bit, 2; adafactor next to none; lion_32bit 4; lion_8bit 1; sgd none, or 4
     * with momentum. Others than AdamW want other learning rates: Lion a third to a tenth of AdamW's, sgd a far
     * higher one. One of "adamw_torch", "adamw_torch_fused", "adamw_8bit", "adamw_bnb_8bit", "adafactor",
     * "lion_32bit", "lion_8bit", "sgd". Default "adamw_torch". */
    const char *optim;

    /* Settings of sgd: momentum=0.9, dampening=0, nesterov=true. The other optimisers have none. Names are joined by
     * commas. Default NULL. */
    const char *optim_args;

    /* What adamw_torch, lion_32bit and sgd keep their states in: bf16 takes half as much memory. Numbers are rounded
     * up or down by chance, the same in every run. Source: not in TRL. One of "fp32", "bf16". Default "fp32". */
    const char *optim_state_dtype;

    /* Gradients are scaled down to this global norm; 0: never. At least 0. Default 1. */
    double max_grad_norm;

    /* ---- Batches and steps ---- */

    /* Rows of a micro-batch. pretrain, and sft with packing: sequences of max_length tokens. At least 1. Default 8. */
    int32_t per_device_train_batch_size;

    /* Rows of an evaluation batch. At least 1. Default 8. */
    int32_t per_device_eval_batch_size;

    /* Micro-batches of an optimiser step. At least 1. Default 1. */
    int32_t gradient_accumulation_steps;

    /* Passes over the data, unless max_steps is set. More than 0, at most 1000000. Default 3. */
    double num_train_epochs;

    /* Optimiser steps; -1: as many as num_train_epochs gives. At least -1. Default -1. */
    int32_t max_steps;

    /* A new order of rows each epoch, as TRL draws it. Source: TRL: shuffle_dataset. Default 1. */
    int32_t shuffle;

    /* Seed of the row order, of LoRA's first weights and of dropout. 0 to 4294967295. Default 42. */
    uint32_t seed;

    /* Seed of the row order alone. 0 to 4294967295. Default -1: seed. */
    int64_t data_seed;

    /* ---- Rows ---- */

    /* Tokens of prompt and completion that are kept. pretrain: longer documents are cut into such pieces. At least
     * 1. Default 1024; 0: all of them. */
    int32_t max_length;

    /* Where the tokens of files of rows are kept, so that the next run reads them from there, with hardly any
     * memory: a directory; none: rows are in memory; auto: files of more than 256 MB are cached in .dpo-cache beside
     * them. Results do not depend on it. Default "auto". */
    const char *data_cache;

    /* Which end of a row longer than max_length is kept. One of "keep_start", "keep_end". Default "keep_start". */
    const char *truncation_mode;

    /* ---- LoRA ---- */

    /* Rank of a new LoRA adapter; 0: train every weight. Source: PEFT: r. 0 to 65536. Default 0. */
    int32_t lora_r;

    /* The adapter is scaled by lora_alpha / lora_r. At least 0. Default NaN: lora_r. */
    double lora_alpha;

    /* Dropout before the adapter's matrix A. Needs disable_dropout off. 0 to 0.999999. Default 0. */
    double lora_dropout;

    /* Modules that get an adapter: names such as q_proj, or all-linear; empty: PEFT's choice for the family. Source:
     * PEFT: target_modules. Names are joined by commas. Default NULL. */
    const char *lora_target_modules;

    /* Scale by lora_alpha / √lora_r instead. Default 0. */
    int32_t use_rslora;

    /* What the adapter's matrix A is drawn from. B starts at 0. One of "kaiming", "gaussian". Default "kaiming". */
    const char *init_lora_weights;

    /* No dropout in policy and reference model. Default 1. */
    int32_t disable_dropout;

    /* ---- Evaluation and files ---- */

    /* Steps between evaluations; 0: at the end of every epoch. At least 0. Default 0. */
    int32_t eval_steps;

    /* Steps between checkpoints; 0: only the final model. At least 0. Default 500. */
    int32_t save_steps;

    /* Checkpoints that are kept; the oldest go first. At least 1. Default 0: all. */
    int32_t save_total_limit;

    /* Steps between writes of the one file that a crashed run resumes from; 0: never, -1: every step for LoRA, never
     * for full training. Source: not in TRL. At least -1. Default -1. */
    int32_t autosave_steps;

    /* Start anew in a directory that holds an earlier run. Default 0. */
    int32_t overwrite_output_dir;

    /* ---- Machine ---- */

    /* Keep each block's input alone and compute the rest again in the backward pass: less memory, the same numbers.
     * Default 0. */
    int32_t gradient_checkpointing;

    /* Directory on a disk for the optimizer's states and for what the forward pass keeps for the backward pass:
     * memory holds of them what it has room for. Nothing remains there. Changes no number. Default NULL: all is in
     * memory. */
    const char *offload;

    /* Update the weights of a layer as soon as the backward pass has its gradients, whose memory the next layer then
     * takes: full training without 4 bytes of gradients for each number. Needs max_grad_norm 0 and steps of one
     * micro-batch. Source: torchtune: optimizer_in_bwd. Default 0. */
    int32_t optimizer_in_backward;

    /* Arithmetic of the linear layers. Weights, sums and log-probs are fp32 in both; bf16 is faster on processors
     * that have instructions for it and takes the time of fp32 elsewhere. One of "fp32", "bf16". Default "fp32". */
    const char *precision;

    /* Compute threads; 0: one a core, and at most that many. Results do not depend on it. 0 to 1024. Default 0. */
    int32_t threads;

    /* Refuse a run whose plan needs more MiB; 0: what the machine has free. At least 0. Default 0. */
    int32_t memory_limit_mb;

    /* Inner loops to compute with; auto: the best for this processor. Engines differ in the last bits of their
     * results. One of "auto", "avx512", "avx2", "neon", "portable", "openblas". Default "auto". */
    const char *engine;

    /* ---- Batches and steps ---- */

    /* Adds up the gradients of a step's micro-batches in one order, so that a run ends in the same bits on any
     * number of ranks. Takes another buffer for them where a rank has several micro-batches a step. false: each rank
     * adds up its own first. Source: libdpo. Default 1. */
    int32_t reproducible_sums;

    /* ---- Method and loss ---- */

    /* Weight of the auxiliary loss of a mixture's routers, which is the lower the more evenly they use the experts;
     * 0: without it. Other models have none. At least 0. Default NaN: what the model's config.json says, 0.01 or
     * 0.001 without it. For dpo, sft, pretrain, kto, rloo and grpo. */
    double router_aux_loss_coef;

    /* ---- Rollouts: methods that learn from the policy's own answers ---- */

    /* Multiply the KL penalty of each token by its ratio π/π_old, so that its gradient is that of the KL from the
     * reference, without bias. Source: TRL; DeepSeek-V3.2. Default 1. For grpo. */
    int32_t use_bias_correction_kl;
};

/* Every default. struct_size: sizeof(dpo_train_options). Text that is NULL later means its default, too.
 * Errors: INVALID_ARGUMENT. */
int32_t dpo_train_options_init(dpo_train_options *options, size_t struct_size);

/* The option table as JSON: [{"name", "type", "default", "choices", "help"}]. Static. Any thread. */
const char *dpo_train_options_describe(void);

typedef struct dpo_trainer dpo_trainer;
typedef struct dpo_classifier dpo_classifier; /* section 5 */

/* A trainer of `model` on `dataset`. If the model was opened with an adapter, training goes on from it and its own frozen
 * copy is the reference; otherwise lora_r decides between a new adapter and every weight.
 * `reference`: another model to compare with; NULL: the model as it was opened (adapter off, or the mapped file).
 * The rows are cut as they were read: a max_length in `options` that is not the default has to be the data set's.
 * `evaluation` may be NULL. The plan is made here: DPO_ERROR_MEMORY before any large allocation if it does not fit.
 * Errors: INVALID_ARGUMENT (options that do not go together, or data of another kind than the method reads), MISMATCH
 * (tokenizers that differ), UNSUPPORTED, MEMORY, IO. */
int32_t dpo_trainer_create(dpo_model *model, dpo_model *reference, dpo_dataset *dataset, dpo_dataset *evaluation,
                           const dpo_train_options *options, dpo_trainer **trainer);
void dpo_trainer_release(dpo_trainer *trainer);

/* Ranks: several processes that train one model together, on one machine or many (data parallelism). Every rank opens the same
 * model and data and makes a trainer with the same options; the micro-batches of each optimiser step are dealt to the ranks,
 * and what they find is put together in one fixed order: a run ends in the same bits for any number of ranks, if the
 * micro-batches of a step, ranks × gradient_accumulation_steps, are as many. Calls on a distributed trainer are made by all
 * ranks, in the same order; an error on one is returned on all. Rank 0 writes the files. docs/scaling.md tells more. */
#define DPO_COLLECTIVES_VERSION 1

/* `receive` gets bytes[r] bytes of each rank r, one after the other; `send` are this rank's. */
typedef int32_t (*dpo_all_gather_callback)(void *context, const void *send, void *receive, const size_t *bytes);
/* `send` holds send_bytes[r] bytes for each rank r, one after the other; `receive` gets receive_bytes[r] from it. */
typedef int32_t (*dpo_all_to_all_callback)(void *context, const void *send, const size_t *send_bytes, void *receive,
                                           const size_t *receive_bytes);
/* Why the last call failed, valid until the next; NULL: nothing is known. */
typedef const char *(*dpo_collectives_error_callback)(void *context);
/* Ends every rank, this one too. */
typedef void (*dpo_abort_callback)(void *context, int32_t exit_status);
/* Called once, when nothing uses the context any more. `healthy`: no function has failed. */
typedef void (*dpo_collectives_release_callback)(void *context, int32_t healthy);

/* What ranks talk through: libdpo-mpi.so's, or a host's own. The first two functions are called by all ranks in the same order,
 * one at a time, from threads of the library's own; each returns 0, or another number when it failed or a rank did not answer
 * in time: the ranks are then lost to each other. A call moves at most 1 GiB in each direction. */
typedef struct dpo_collectives {
    size_t struct_size;                       /* sizeof(dpo_collectives) */
    int32_t version;                          /* DPO_COLLECTIVES_VERSION */
    int32_t rank;                             /* of this process, 0 … size − 1 */
    int32_t size;                             /* number of ranks */
    const char *name;                         /* the engine and its version, for messages; NULL: none */
    void *context;                            /* what the functions are called with */
    dpo_all_gather_callback all_gather;
    dpo_all_to_all_callback all_to_all;
    dpo_collectives_error_callback last_error; /* may be NULL */
    dpo_abort_callback abort;                 /* may be NULL: cannot be */
    dpo_collectives_release_callback release; /* may be NULL: nothing to do */
} dpo_collectives;

typedef struct dpo_communicator dpo_communicator;

/* From a host's own engine, whose functions are copied. The communicator owns the context once this has returned DPO_OK.
 * Errors: INVALID_ARGUMENT (a rank outside of 0 … size − 1, or a function that is missing), UNSUPPORTED (version). */
int32_t dpo_communicator_create(const dpo_collectives *collectives, dpo_communicator **communicator);
/* MPI, by the plug-in libdpo-mpi.so: for processes that mpirun or srun started. It calls MPI_Init_thread unless the host has, and
 * uses a duplicate of MPI_COMM_WORLD. path: the plug-in's file; NULL: libdpo-mpi.so beside libdpo.so, or where the loader
 * finds it. timeout: seconds that a rank may keep the others waiting, more than 0.
 * Errors: IO (no plug-in, or it cannot be loaded), UNSUPPORTED (a plug-in of another version), STATE (processes started by
 * another make of MPI than the plug-in's), INVALID_ARGUMENT. */
int32_t dpo_communicator_open_mpi(const char *path, double timeout, dpo_communicator **communicator);
/* This process's rank and the number of ranks. Either may be NULL.
 * Errors: none but the common ones. */
int32_t dpo_communicator_ranks(dpo_communicator *communicator, int32_t *rank, int32_t *size);
/* Ends every rank, this one too, where the engine can: for a host that cannot go on. Returns only if it cannot.
 * Errors: none but the common ones. */
int32_t dpo_communicator_abort(dpo_communicator *communicator, int32_t exit_status);
/* Trainers that use it keep it. */
void dpo_communicator_release(dpo_communicator *communicator);

/* dpo_trainer_create for one of several ranks. threads = 0: the processors of the machine, divided among the ranks on it.
 * dpo_trainer_apply sums the gradients of all ranks; the callback of dpo_trainer_set_reduce comes after that, on every rank. In
 * full training each rank then has the gradients that it updates, and 0 for the others; such a callback is UNSUPPORTED there.
 * Errors: those of dpo_trainer_create, and MISMATCH (ranks with other data, models, options, engines or versions). */
int32_t dpo_trainer_create_distributed(dpo_communicator *communicator, dpo_model *model, dpo_model *reference,
                                       dpo_dataset *dataset, dpo_dataset *evaluation, const dpo_train_options *options,
                                       dpo_trainer **trainer);

/* The plan as JSON: steps, tokens (distinct and as padded trainers count them), memory by part in bytes, options. Free
 * *json with dpo_string_free.
 * Errors: none but the common ones. */
int32_t dpo_trainer_plan(dpo_trainer *trainer, char **json);

/* Metrics of one optimiser step, under TRL's names. Means over the step's micro-batches. NaN where a method has none. */
typedef struct dpo_metrics {
    size_t struct_size; /* set by the caller, or by the library in events */
    int64_t step;       /* optimiser steps done */
    int64_t total_steps;
    double epoch;
    double loss;
    double grad_norm; /* before clipping */
    double learning_rate;
    double rewards_chosen;
    double rewards_rejected;
    double rewards_accuracies; /* ties count as wrong */
    double rewards_margins;
    double logps_chosen;
    double logps_rejected;
    double logits_chosen;
    double logits_rejected;
    double entropy; /* nats a token */
    double mean_token_accuracy;
    double num_tokens;
    double seconds; /* wall time of the step */
} dpo_metrics;

/* Everything that the last step or evaluation measured, as a JSON object by TRL's names (evaluations with the prefix
 * eval_): also what dpo_metrics has no field for. "{}" before the first. Free *json with dpo_string_free.
 * Errors: none but the common ones. */
int32_t dpo_trainer_last_metrics(dpo_trainer *trainer, char **json);

/* Methods that learn from the policy's own completions (ppo, rloo, grpo, online_dpo) need a reward, by one of the three functions
 * below, before the first step; the last one that was set counts.
 *
 * Answers that the policy gave. Pointers are valid during the callback. */
typedef struct dpo_answers {
    size_t struct_size; /* set by the library */
    size_t count;
    const char *const *prompts;     /* text, or a JSON array of chat messages; NULL entries where the model has no tokenizer */
    const char *const *completions; /* text without special tokens; NULL entries likewise */
    const int32_t *prompt_is_chat;  /* [count]: 1 where the prompt is messages */
    const int32_t *stopped;         /* [count]: 1 if the completion ended by itself, 0 if at max_completion_length */
    const int32_t *const *prompt_ids; /* [count] lists of token ids and their lengths */
    const size_t *prompt_lengths;
    const int32_t *const *completion_ids;
    const size_t *completion_lengths;
    const size_t *rows;    /* [count]: the prompt's row in the data, from 1; of a file its line */
    int32_t is_evaluation; /* 1 while the trainer evaluates: the rows are those of the evaluation data */
    const char *const *columns; /* [count]: the other columns of the prompt's row, a JSON object */
} dpo_answers;

/* Writes a finite reward for each answer, [count]. Non-zero fails the step with DPO_ERROR_CANCELLED, unapplied; a reward
 * that is not finite with DPO_ERROR_FORMAT. Called on the thread that takes the step. */
typedef int32_t (*dpo_reward_callback)(const dpo_answers *answers, double *rewards, void *user_data);
/* Errors: INVALID_ARGUMENT (a method that draws no completions). */
int32_t dpo_trainer_set_reward(dpo_trainer *trainer, dpo_reward_callback callback, void *user_data);

/* A reward model with the policy's tokenizer (DPO_ERROR_MISMATCH for another), or a classifier's log-odds; with
 * `completion_only` the classifier does not see the prompt. The trainer keeps what it needs: the handles may be released.
 * Errors: INVALID_ARGUMENT (a method that draws no completions), MISMATCH. */
int32_t dpo_trainer_set_reward_model(dpo_trainer *trainer, dpo_model *reward_model);
/* Errors: INVALID_ARGUMENT (a method that draws no completions). */
int32_t dpo_trainer_set_reward_classifier(dpo_trainer *trainer, dpo_classifier *classifier, int32_t completion_only);

/* The next optimiser step of the plan. After the last one: DPO_ERROR_STATE. `metrics` may be NULL.
 * Errors: NON_FINITE, CANCELLED, DIVERGED (max_kl), STATE (the plan is done), IO (the model's file was changed). On
 * any error no parameter has changed. */
int32_t dpo_trainer_step(dpo_trainer *trainer, dpo_metrics *metrics);

/* The same in parts, for a host with its own loss:
 *
 *   dpo_trainer_forward     policy log-probs of chosen rows of the data set
 *   your loss               d loss / d log-prob for each completion
 *   dpo_trainer_backward    adds to the gradients; forward and backward may repeat, that is gradient accumulation
 *   dpo_trainer_apply       clip, AdamW with the schedule's next rate, gradients to zero
 *
 * forward: rows [count] of the data set; outputs, each [count] or NULL: summed log-probs of chosen and rejected under the
 * policy and the reference. (For sft rows: the completion under "chosen", rejected 0. Rows of ranked answers have no place
 * here: DPO_ERROR_UNSUPPORTED.)
 * Errors: INVALID_ARGUMENT (a row that does not exist), UNSUPPORTED, CANCELLED, IO. */
int32_t dpo_trainer_forward(dpo_trainer *trainer, const size_t *rows, size_t count, double *policy_chosen,
                            double *policy_rejected, double *reference_chosen, double *reference_rejected);

/* Number of scored tokens of the last forward, and, [that many], their log-probs: for each row chosen, then rejected.
 * Errors: STATE (no forward before it). */
int32_t dpo_trainer_token_count(dpo_trainer *trainer, size_t *count);
/* Errors: STATE, INVALID_ARGUMENT (count). */
int32_t dpo_trainer_token_logps(dpo_trainer *trainer, float *token_logps, size_t count);

/* Gradients of your loss with respect to the summed log-probs, [count] as in the last forward.
 * Errors: STATE (no forward before it), INVALID_ARGUMENT (count), NON_FINITE. */
int32_t dpo_trainer_backward(dpo_trainer *trainer, const double *gradient_chosen, const double *gradient_rejected,
                             size_t count);

/* The same with one gradient for each scored token, as dpo_trainer_token_logps orders them.
 * Errors: as dpo_trainer_backward. */
int32_t dpo_trainer_backward_tokens(dpo_trainer *trainer, const float *gradients, size_t count);

/* Metrics without loss and rewards: those are your loss's own.
 * Errors: STATE (nothing was accumulated), NON_FINITE, CANCELLED (by the reduce callback). */
int32_t dpo_trainer_apply(dpo_trainer *trainer, dpo_metrics *metrics);

/* Parameters: the trained ones, flat. Pointers are valid while the trainer lives, and must not be used while a call on it
 * runs. *values and *gradients have *count elements each.
 * Errors: none but the common ones. */
int32_t dpo_trainer_parameters(dpo_trainer *trainer, float **values, float **gradients, size_t *count);

/* Where a parameter lies in them. Names are Hugging Face's, or PEFT's for an adapter. shape has room for 4 numbers.
 * Errors: none but the common ones. */
int32_t dpo_trainer_parameter_count(dpo_trainer *trainer, size_t *count);
/* Errors: INVALID_ARGUMENT (index). */
int32_t dpo_trainer_parameter_at(dpo_trainer *trainer, size_t index, const char **name, size_t *offset, size_t *size,
                                 int64_t *shape, size_t *dimensions);
/* Errors: INVALID_ARGUMENT (no parameter of this name). */
int32_t dpo_trainer_parameter_find(dpo_trainer *trainer, const char *name, size_t *index);

/* Called once an optimiser step with the flat gradient, before clipping: the place for an all-reduce over machines (make
 * it the mean). Non-zero stops the step with DPO_ERROR_CANCELLED, unapplied. NULL removes it. */
typedef int32_t (*dpo_reduce_callback)(float *gradients, size_t count, void *user_data);
/* Errors: none but the common ones. */
int32_t dpo_trainer_set_reduce(dpo_trainer *trainer, dpo_reduce_callback callback, void *user_data);

/* ---------------------------------------------------------------------------------------------------------- 4. runs */

typedef enum dpo_event_kind {
    DPO_EVENT_STEP = 1,       /* metrics of the step */
    DPO_EVENT_EVALUATION = 2, /* metrics of the evaluation */
    DPO_EVENT_CHECKPOINT = 3, /* text is the file's path */
    DPO_EVENT_NOTE = 4,       /* text is a sentence for the user */
    DPO_EVENT_PROGRESS = 5    /* rows done of total, in a long phase that text names */
} dpo_event_kind;

typedef struct dpo_event {
    size_t struct_size; /* set by the library */
    int32_t kind;
    const dpo_metrics *metrics; /* NULL where there are none. Pointers are valid during the callback */
    const char *text;           /* "" where there is none */
    uint64_t done;
    uint64_t total;
    const char *metrics_json;   /* all metrics by name, as dpo_trainer_last_metrics has them; NULL where there are none */
} dpo_event;

/* Non-zero stops the run cleanly after a checkpoint; the run returns DPO_ERROR_CANCELLED. Called on the thread that called
 * dpo_trainer_run. */
typedef int32_t (*dpo_event_callback)(const dpo_event *event, void *user_data);

/* Runs what remains of the plan. `output_dir` gets metrics.jsonl, checkpoints, final.h5 and report.html; it must be empty
 * or new unless the run is resumed or overwrite_output_dir is set. `resume`: NULL, a checkpoint file, or "last", which
 * starts from the beginning where there is none yet. `callback` may be NULL.
 * A resumed run ends in the same bits as one that was never stopped.
 * Errors: those of dpo_trainer_step, and STATE (output_dir holds another run), IO, FORMAT and MISMATCH (the
 * checkpoint), CANCELLED (after a checkpoint). */
int32_t dpo_trainer_run(dpo_trainer *trainer, const char *output_dir, const char *resume, dpo_event_callback callback,
                        void *user_data);

/* Asks a running dpo_trainer_run, _step, _forward or _evaluate to stop: it does within one micro-batch and returns
 * DPO_ERROR_CANCELLED. If none is running, the next one stops at once. Any thread, and safe in a signal handler. */
void dpo_trainer_cancel(dpo_trainer *trainer);

/* Metrics of the evaluation data set now.
 * Errors: STATE (no evaluation data), CANCELLED, IO. */
int32_t dpo_trainer_evaluate(dpo_trainer *trainer, dpo_metrics *metrics);

/* The same of another data set, read with the options of this trainer.
 * Errors: INVALID_ARGUMENT (data of another kind than the method reads), CANCELLED, IO. */
int32_t dpo_trainer_evaluate_data(dpo_trainer *trainer, dpo_dataset *dataset, dpo_metrics *metrics);

/* Summed log-probs of every row of a data set now, under the policy and the reference: the outputs of
 * dpo_trainer_forward, each [count] or NULL; of a reward model its scores. `count` is the number of rows
 * (dpo_dataset_get_info). A forward before it cannot be followed by its backward.
 * Errors: INVALID_ARGUMENT (count, or data of another kind than the method reads), UNSUPPORTED (ranked answers;
 * methods that answer prompts), CANCELLED, IO. */
int32_t dpo_trainer_score_data(dpo_trainer *trainer, dpo_dataset *dataset, size_t count, double *policy_chosen,
                               double *policy_rejected, double *reference_chosen, double *reference_rejected);

/* Writes parameters, optimiser, position and options crash-safely; reads them back. A checkpoint of another model,
 * reference or data set, or with another value of an option that decides the run, is refused with DPO_ERROR_MISMATCH.
 * Errors: IO. */
int32_t dpo_trainer_save(dpo_trainer *trainer, const char *path);
/* Errors: IO, FORMAT, MISMATCH; the trainer is then as it was. */
int32_t dpo_trainer_load(dpo_trainer *trainer, const char *path);

/* Writes the trained adapter or model alone, as dpo_trainer_run does in final.h5. dpo_export converts it.
 * Errors: IO. */
int32_t dpo_trainer_save_model(dpo_trainer *trainer, const char *path);

/* -------------------------------------------------------------------------------------------------------- 5. around */

typedef struct dpo_generation_options {
/* made by options/generate.py: dpo_generation_options */
    size_t struct_size; /* sizeof, set by the init function */
    /* Most tokens of a completion. At least 1. Default 128. */
    int32_t max_new_tokens;
    /* Sampling temperature; 0: greedy. At least 0. Default 1. */
    double temperature;
    /* Sample among so many of the likeliest tokens; 0: all. At least 0. Default 0. */
    int32_t top_k;
    /* Sample among the likeliest tokens that have this probability together; 1: all. More than 0, at most 1. Default
     * 1. */
    double top_p;
    /* Leave out tokens less likely than this share of the likeliest one's probability; 0: none. 0 to 1. Default 0. */
    double min_p;
    /* A completion depends on the seed and its indices alone, not on what else is in the batch. At least 0. Default
     * 42. */
    uint64_t seed;
    /* Completions of each prompt. 1 to 4096. Default 1. */
    int32_t num_return_sequences;
    /* Off for prompts that a chat template wrote: they hold their special tokens already. Default 1. */
    int32_t add_special_tokens;
    /* Arithmetic of the products with weights; bf16 rounds both factors and reads half the bytes. One of "fp32",
     * "bf16". Default "fp32". */
    const char *precision;
} dpo_generation_options;

/* Every default. struct_size: sizeof(dpo_generation_options).
 * Errors: INVALID_ARGUMENT. */
int32_t dpo_generation_options_init(dpo_generation_options *options, size_t struct_size);

/* A token as it is made; text may be empty while a character is incomplete. Non-zero stops all generation. */
typedef int32_t (*dpo_token_callback)(size_t prompt, size_t completion, int32_t token, const char *text,
                                      void *user_data);

typedef struct dpo_completions dpo_completions;

/* Completions of NUL-terminated prompts. Generation ends at an end-of-sequence token of the model or at max_new_tokens.
 * `callback` may be NULL.
 * Errors: INVALID_ARGUMENT (an option, an empty prompt or one that fills the context), UNSUPPORTED (a reward model,
 * no tokenizer), IO, CANCELLED (by the callback or dpo_model_cancel). */
int32_t dpo_model_generate(dpo_model *model, const char *const *prompts, size_t count,
                           const dpo_generation_options *options, dpo_token_callback callback, void *user_data,
                           dpo_completions **completions);

/* Completion `index` of prompt `prompt`: text without special tokens, ids, and whether it ended by itself (1) or at the
 * length (0). Any output may be NULL. Pointers live as long as the handle.
 * Errors: INVALID_ARGUMENT (indices). */
int32_t dpo_completions_get(const dpo_completions *completions, size_t prompt, size_t index, const char **text,
                            const int32_t **ids, size_t *count, int32_t *stopped);
void dpo_completions_release(dpo_completions *completions);

/* A text classifier (dpo_classifier): tf-idf of words and characters under logistic regression, a judge of answers
 * (`dpo classifier`).
 *
 * Learns from `count` texts and their labels, 1 or 0, and calibrates the probabilities on `folds` (2 or more, 5 is usual)
 * held-out folds; 0: without calibration. `cost` is the weight of the data against the regulariser, 3 is usual.
 * Errors: INVALID_ARGUMENT (labels other than 0 and 1, one label only, folds, cost). */
int32_t dpo_classifier_train(const char *const *texts, const int32_t *labels, size_t count, double cost, int32_t folds,
                             dpo_classifier **classifier);

/* What `dpo classifier train` or dpo_classifier_save wrote.
 * Errors: IO, FORMAT. */
int32_t dpo_classifier_open(const char *path, dpo_classifier **classifier);
/* Errors: IO. */
int32_t dpo_classifier_save(const dpo_classifier *classifier, const char *path);

/* ln(p / (1 - p)) of label 1 for each text; log_odds: [count].
 * Errors: INVALID_ARGUMENT (not UTF-8). */
int32_t dpo_classifier_score(const dpo_classifier *classifier, const char *const *texts, size_t count, double *log_odds);
void dpo_classifier_release(dpo_classifier *classifier);

/* Measures a model on pairs of a JSON-lines file (or on the rows of another method of `options`; NULL: defaults), against
 * `reference` (NULL: the model without its adapter), as JSON: metrics by TRL's names, and "standard_errors" of those that are
 * means over rows.
 *
 * `samples` (NULL: none) tells how to draw num_return_sequences answers to each distinct prompt of the pairs; its
 * add_special_tokens is not looked at. "samples" of the JSON then tells "kl", the mean of log policy - log reference over
 * answers, in nats (null unless temperature is 1 and nothing is cut off), "prediction_kl", the same from whole predictions with
 * less error, "length" in tokens and "finished", the share that ended by itself. With a judge, `classifier` or `reward_model`
 * (at most one; else NULL): "win_rate" of answers against the chosen ones, where a tie counts half, the share of "ties", mean
 * "score" and "chosen_score". Each is {"value", "standard_error", "low", "high"}, with a 95 % interval, bootstrapped over prompts.
 * Free *json with dpo_string_free.
 * Errors: INVALID_ARGUMENT, IO, FORMAT (the rows), MISMATCH, UNSUPPORTED (methods that draw their own answers),
 * CANCELLED. */
int32_t dpo_model_evaluate(dpo_model *model, dpo_model *reference, const char *data, const dpo_train_options *options,
                           const dpo_generation_options *samples, dpo_classifier *classifier, dpo_model *reward_model,
                           char **json);

/* Learns a byte-level BPE tokenizer from text, as Hugging Face's BpeTrainer does: special tokens, 256 bytes, merges. */
typedef struct dpo_tokenizer_options {
/* made by options/generate.py: dpo_tokenizer_options */
    size_t struct_size; /* sizeof, set by the init function */
    /* Tokens, special ones and the 256 bytes included. There are fewer where the text has no more pairs. At least 1.
     * Default 8192. */
    int32_t vocabulary_size;
    /* Pairs that occur less often become no token. At least 0. Default 2. */
    int32_t minimum_frequency;
    /* How text is cut into words. One of "gpt2", "smollm", "llama3", "qwen2". Default "gpt2". */
    const char *pre_tokenizer;
    /* "chatml", or Jinja. chatml also makes <|im_end|> the token that ends answers. Default NULL: none. */
    const char *chat_template;
    /* Begins a sequence. Default NULL: <|endoftext|>. */
    const char *bos_token;
    /* Ends documents and answers. Default NULL: <|endoftext|>, with chatml <|im_end|>. */
    const char *eos_token;
    /* Fills up batches in other programs. Default NULL: <|endoftext|>. */
    const char *pad_token;
    /* More tokens that are never part of a word, in the order of their ids. Default NULL. */
    const char *const *special_tokens;
    size_t special_token_count;
    /* Replace what stands there. Default 0. */
    int32_t overwrite;
} dpo_tokenizer_options;

/* Every default. struct_size: sizeof(dpo_tokenizer_options).
 * Errors: INVALID_ARGUMENT. */
int32_t dpo_tokenizer_options_init(dpo_tokenizer_options *options, size_t struct_size);

/* paths, [count]: .jsonl files with "text" in their rows, text files, or directories of such files. Writes tokenizer.json
 * and tokenizer_config.json, which transformers loads as well. The result has fewer tokens where the text has no more
 * pairs. `options` may be NULL.
 * Errors: INVALID_ARGUMENT (an option), IO, FORMAT (no text, a template that cannot be read), STATE (output_dir is
 * there and overwrite is 0). */
int32_t dpo_tokenizer_train(const char *const *paths, size_t count, const dpo_tokenizer_options *options,
                            const char *output_dir);

/* The sizes of a new model. */
typedef struct dpo_model_shape {
/* made by options/generate.py: dpo_model_shape */
    size_t struct_size; /* sizeof, set by the init function */
    /* Family of the model, by the model_type of Hugging Face's config.json. Default "llama". */
    const char *family;
    /* A directory with tokenizer.json, or a model: the new model gets its tokenizer. Default NULL: none. */
    const char *tokenizer;
    /* Tokens of the vocabulary. At least 1. Default 0: the tokenizer's. */
    int32_t vocabulary_size;
    /* Width of the hidden states. At least 1. Default 256. */
    int32_t hidden_size;
    /* Number of blocks. At least 1. Default 4. */
    int32_t layers;
    /* Attention heads. At least 1. Default 0: one for every 64 of hidden_size. */
    int32_t heads;
    /* Heads of keys and values. At least 1. Default 0: heads. */
    int32_t kv_heads;
    /* Width of the MLP. At least 1. Default 0: 8/3 of hidden_size, rounded up to a multiple of 32; gpt2: 4 times
     * hidden_size. */
    int32_t intermediate_size;
    /* Tokens that the model reads at most. At least 1. Default 1024. */
    int32_t context_length;
    /* The head is the token embedding. Default 1. */
    int32_t tie_word_embeddings;
    /* Standard deviation of the weights. At least 0. Default 0.02. */
    double initializer_range;
    /* Seed of the weights: equal shapes and seeds give equal files. At least 0. Default 42. */
    uint64_t seed;
    /* Replace what stands there. Default 0. */
    int32_t overwrite;
} dpo_model_shape;

/* Every default. struct_size: sizeof(dpo_model_shape).
 * Errors: INVALID_ARGUMENT. */
int32_t dpo_model_shape_init(dpo_model_shape *shape, size_t struct_size);

/* Writes a model with fresh weights, drawn as transformers does, to be trained with the method "pretrain": a Hugging Face
 * directory, or libdpo's file if `output` ends in .h5. Equal shapes and seeds give equal files.
 * Errors: INVALID_ARGUMENT (sizes that do not go together), IO, FORMAT (the tokenizer). */
int32_t dpo_model_create(const dpo_model_shape *shape, const char *output);

typedef enum dpo_export_format {
    DPO_EXPORT_HDF5 = 0,
    DPO_EXPORT_SAFETENSORS = 1, /* a Hugging Face directory */
    DPO_EXPORT_GGUF = 2,
    DPO_EXPORT_PEFT = 3,     /* an adapter directory for PEFT */
    DPO_EXPORT_GGUF_LORA = 4 /* an adapter that llama.cpp loads */
} dpo_export_format;

typedef struct dpo_export_options {
/* made by options/generate.py: dpo_export_options */
    size_t struct_size; /* sizeof, set by the init function */
    /* An adapter to put on the model. Default NULL: none. */
    const char *adapter;
    /* The model of an adapter whose file names it no more. Default NULL: the one that the adapter's file names. */
    const char *base;
    /* Number format of the weights. q8_0 is for GGUF models only; HDF5 is always f32. One of "f32", "f16", "bf16",
     * "q8_0". Default "f32". */
    const char *dtype;
    /* Add the adapter into the weights. Default 0. */
    int32_t merge;
    /* Replace what stands there. Default 0. */
    int32_t overwrite;
} dpo_export_options;

/* Every default. struct_size: sizeof(dpo_export_options).
 * Errors: INVALID_ARGUMENT. */
int32_t dpo_export_options_init(dpo_export_options *options, size_t struct_size);

/* Converts a model, adapter or checkpoint file. The output appears whole or not at all. `options` may be NULL.
 * Errors: INVALID_ARGUMENT, IO, FORMAT, UNSUPPORTED (what the format cannot hold), MISMATCH. The output is then as it
 * was. */
int32_t dpo_export(const char *input, int32_t format, const char *output, const dpo_export_options *options);

/* Does what was learned survive an export? Scores pairs of a JSON-lines file under the trained model (`input` and options as
 * for dpo_export; dtype, merge and overwrite are not looked at) and under `output`, which dpo_export wrote of it. `reference`: the
 * model that was trained from; NULL: the adapter's base, or the model that the file names.
 *
 * JSON: "pairs"; "trained" and "exported", each {"rewards/accuracies", "rewards/margins"} at beta 0.1 ({"accuracy", "margin"} of
 * reward models); "mean_abs_logp_change" and "kl", of a token; "lost" = sqrt(sum (e - m)^2 / sum m^2), where m is what training
 * added to a pair's margin and e what of that the output has (null: training changed nothing here); "survives", whether that is
 * at most the "limit". Free *json with dpo_string_free.
 * Errors: INVALID_ARGUMENT, IO, FORMAT, MISMATCH, UNSUPPORTED. */
int32_t dpo_export_check(const char *input, const char *output, const char *data, const char *reference,
                         const dpo_export_options *options, char **json);

/* ------------------------------------------------------------------------------------------------------ 6. feedback */

/* A file of what people said of a model's answers: JSON lines, {"id", "time", "prompt", "completion", "label"} for a thumb,
 * {"id", "time", "prompt", "chosen", "rejected"} for a choice, each perhaps with a "weight". It only grows. The last word on
 * an answer counts, and one of weight 0 takes back what was said before. docs/feedback.md tells more.
 *
 * Every function below may be called from any thread at any time, also on one handle at once and while it trains. Other
 * processes may record into the same file. */
typedef struct dpo_feedback dpo_feedback;

/* Reads the file and checks every line, if it is there; the first record makes it. What a crash left of a last line is passed
 * over, and goes with the next record.
 * Errors: IO, FORMAT (a line that is no record). */
int32_t dpo_feedback_open(const char *path, dpo_feedback **feedback);
void dpo_feedback_release(dpo_feedback *feedback);

/* Records a thumb on an answer: up 1, down 0. The record is on the disk when the call returns (fsync: some milliseconds).
 * `prompt` and `answer` are what the model read and wrote, NUL-terminated, the answer without its end-of-sequence token.
 * `weight` multiplies the record's loss; 1 is usual. `id`: NULL, or where the record's number goes.
 * Errors: INVALID_ARGUMENT, IO. */
int32_t dpo_feedback_record_thumb(dpo_feedback *feedback, const char *prompt, const char *answer, int32_t up, double weight,
                                  uint64_t *id);

/* Records that the answer `chosen` was liked better than `rejected`.
 * Errors: INVALID_ARGUMENT, IO. */
int32_t dpo_feedback_record_choice(dpo_feedback *feedback, const char *prompt, const char *chosen, const char *rejected,
                                   double weight, uint64_t *id);

/* Records a row, a JSON object with the keys above but "id": for chat prompts ("prompt": [{"role", "content"}, …], answers as
 * text or messages), for a "time" of your own (seconds since 1970), and with whatever other keys you want to keep.
 * Errors: INVALID_ARGUMENT, FORMAT (not JSON, or no record), IO. */
int32_t dpo_feedback_record_json(dpo_feedback *feedback, const char *row, uint64_t *id);

/* Records in the file.
 * Errors: IO. */
int32_t dpo_feedback_count(dpo_feedback *feedback, uint64_t *count);

/* What the file holds and, with `output_dir` (NULL: without), what of it is trained on, as JSON: {"records", "thumbs_up",
 * "thumbs_down", "choices", "replaced", "taken_back", "new", "unfinished", "trained_to", "sessions", "adapter",
 * "gguf_adapter"}. Free *json with dpo_string_free.
 * Errors: IO, FORMAT. */
int32_t dpo_feedback_status(dpo_feedback *feedback, const char *output_dir, char **json);

typedef struct dpo_feedback_options {
/* made by options/generate.py: dpo_feedback_options */
    size_t struct_size; /* sizeof, set by the init function */
    /* Stop after so many seconds. What was learned is kept, and the next call goes on. More than 0. Default 0: no
     * limit. */
    double max_seconds;
    /* Older records that a session mixes in, drawn at random, for each new one; 1: as many old as new. 0 to 1000.
     * Default 0. */
    double replay;
    /* New records to wait for before a session begins. At least 1. Default 8. */
    int32_t min_records;
    /* Start anew: a new adapter, to which every record is new. Default 0. */
    int32_t retrain;
    /* Options of the runs; NULL: as dpo_feedback_training_init sets them. The records decide the method. */
    const dpo_train_options *training;
} dpo_feedback_options;

/* Every default. struct_size: sizeof(dpo_feedback_options).
 * Errors: INVALID_ARGUMENT. */
int32_t dpo_feedback_options_init(dpo_feedback_options *options, size_t struct_size);

/* dpo_train_options_init with the defaults of feedback: learning_rate 2e-4, num_train_epochs 4, per_device_train_batch_size 4,
 * lora_r 16, lora_alpha 32, lora_target_modules "all-linear". threads 0 leaves the host a core. The records decide the
 * method: choices train with DPO, then thumbs with KTO.
 * Errors: INVALID_ARGUMENT. */
int32_t dpo_feedback_training_init(dpo_train_options *training, size_t struct_size);

typedef enum dpo_feedback_outcome {
    DPO_FEEDBACK_NOTHING_NEW = 0, /* nothing was changed */
    DPO_FEEDBACK_WAITING = 1,     /* fewer new records than min_records: nothing was changed */
    DPO_FEEDBACK_FINISHED = 2,    /* everything is trained on */
    DPO_FEEDBACK_STOPPED = 3      /* max_seconds are over: the next call goes on */
} dpo_feedback_outcome;

typedef struct dpo_feedback_result {
    size_t struct_size; /* set by the caller */
    int32_t outcome;    /* DPO_FEEDBACK_… */
    uint64_t new_records; /* of the session, or waiting for one */
    uint64_t replayed;    /* older ones that the session mixed in */
    uint64_t skipped;     /* new ones that cannot be trained on, such as a prompt longer than max_length */
    int64_t steps;        /* optimiser steps of this call */
} dpo_feedback_result;

/* Trains the adapter in `output_dir` on what is new in the file, within max_seconds and training->memory_limit_mb. Meant for a
 * thread of its own, at a priority that the host chooses.
 *
 * Afterwards output_dir holds adapter.h5 and, for llama.cpp, adapter.gguf. Each is replaced at once: a reader sees the old or
 * the new one whole. DPO_EVENT_CHECKPOINT tells when, with the path. Records that come in meanwhile are for the next call.
 *
 * The call stops within one micro-batch when max_seconds are over (DPO_OK, outcome STOPPED) and when the callback returns
 * non-zero or dpo_feedback_cancel was called (DPO_ERROR_CANCELLED). What was learned is in the adapter then, and the next call
 * goes on in the same bits; a killed process loses at most the step it was in. What a finished session has seen is not trained
 * on again, unless `replay` or `retrain` says so. The losses compare with the model itself, without any adapter, however
 * often the adapter is trained on.
 *
 * `model` may be used by other calls meanwhile (if one is running when training begins, its end is waited for); an adapter that
 * it was opened with does not matter. One call at a time trains in a
 * directory: DPO_ERROR_STATE for others. DPO_ERROR_MISMATCH if the directory belongs to another model or file. `options`,
 * `callback` and `result` may be NULL.
 * Errors: INVALID_ARGUMENT (options), IO, FORMAT, MISMATCH (the directory belongs to another model or file), STATE
 * (another call trains there), CANCELLED, and those of dpo_trainer_step. */
int32_t dpo_feedback_train(dpo_feedback *feedback, dpo_model *model, const char *output_dir,
                           const dpo_feedback_options *options, dpo_event_callback callback, void *user_data,
                           dpo_feedback_result *result);

/* Asks a running dpo_feedback_train of this handle to stop; if none is running, the next one stops at once. Safe in a signal
 * handler. */
void dpo_feedback_cancel(dpo_feedback *feedback);

#ifdef __cplusplus
}
#endif

#endif
