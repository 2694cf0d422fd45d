/* Log-probs of completions under a model: how probable the model finds each answer to each question.
 *
 *   cc -std=c99 logps.c $(pkg-config --cflags --libs dpo) -o logps && ./logps model.gguf
 */
#include <dpo.h>
#include <stdio.h>
#include <stdlib.h>

static int failed(const char *what) {
    fprintf(stderr, "%s: %s\n", what, dpo_last_error());
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s MODEL\n", argv[0]);
        return 2;
    }
    dpo_model *model = NULL;
    if (dpo_model_open(argv[1], NULL, 0, &model)) return failed("open");

    dpo_model_info info;
    info.struct_size = sizeof info;
    if (dpo_model_get_info(model, &info)) return failed("info");
    printf("%s: %s, %.1f million parameters, %d layers, context of %d tokens\n\n", argv[1], info.architecture,
           (double)info.parameters / 1e6, info.layers, info.context_length);

    /* Texts: tokenised as in training, end of sequence included. */
    const char *prompts[] = {"The capital of France is", "The capital of France is"};
    const char *completions[] = {" Paris.", " a banana."};
    double sums[2];
    int32_t counts[2];
    if (dpo_model_score_texts(model, prompts, completions, 2, sums, counts)) return failed("score");
    for (int i = 0; i < 2; i++)
        printf("log p(\"%s\" | \"%s\") = %.4f over %d tokens\n", completions[i], prompts[i], sums[i], counts[i]);

    /* Token ids: the prompt is computed once for all its completions, and each token's log-prob comes back. */
    int32_t ids[64];
    size_t total, prompt_length;
    const char *text = "The capital of France is Paris.";
    if (dpo_model_encode(model, text, 31, 1, ids, 64, &total)) return failed("encode");
    if (dpo_model_encode(model, text, 24, 1, ids + total, 64 - total, &prompt_length)) return failed("encode");
    size_t completion_length = total - prompt_length, parent = 0;
    float *token_logps = calloc(completion_length, sizeof *token_logps);
    if (!token_logps) return 1;
    if (dpo_model_score_tokens(model, ids, &prompt_length, 1, ids + prompt_length, &completion_length, &parent, 1,
                               token_logps, NULL))
        return failed("score");
    printf("\nToken by token:\n");
    for (size_t i = 0; i < completion_length; i++) {
        char *piece = NULL;
        if (dpo_model_decode(model, &ids[prompt_length + i], 1, &piece, NULL)) return failed("decode");
        printf("%8d  %-12s %9.4f\n", ids[prompt_length + i], piece, token_logps[i]);
        dpo_string_free(piece);
    }
    free(token_logps);
    dpo_model_release(model);
    return 0;
}
