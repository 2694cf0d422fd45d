/* Training with a loss of the host's own: forward → loss and gradient → backward → optimiser step.
 *
 * The loss here is a squared hinge on the margin between the log-ratios, max(0, 1 − β·(a − b))², which libdpo does not
 * have.
 *
 *   cc -std=c99 own_loss.c $(pkg-config --cflags --libs dpo) -o own_loss && ./own_loss model.gguf pairs.jsonl
 */
#include <dpo.h>
#include <stdio.h>

enum { BATCH = 4, STEPS = 8 };
static const double beta = 0.1;

/* Mean loss of the batch; gradients with respect to the policy's log-probs. a and b are log-ratios to the reference. */
static double squared_hinge(size_t count, const double *chosen, const double *rejected, const double *reference_chosen,
                            const double *reference_rejected, double *gradient_chosen, double *gradient_rejected) {
    double loss = 0;
    for (size_t i = 0; i < count; i++) {
        double a = chosen[i] - reference_chosen[i], b = rejected[i] - reference_rejected[i];
        double gap = 1 - beta * (a - b);
        if (gap < 0) gap = 0;
        loss += gap * gap / (double)count;
        gradient_chosen[i] = -2 * beta * gap / (double)count;
        gradient_rejected[i] = -gradient_chosen[i];
    }
    return loss;
}

static int train(dpo_trainer *trainer, size_t rows) {
    for (size_t step = 0; step < STEPS; step++) {
        size_t batch[BATCH], count = rows < BATCH ? rows : BATCH;
        for (size_t i = 0; i < count; i++) batch[i] = (step * count + i) % rows;

        double chosen[BATCH], rejected[BATCH], reference_chosen[BATCH], reference_rejected[BATCH];
        int32_t status =
            dpo_trainer_forward(trainer, batch, count, chosen, rejected, reference_chosen, reference_rejected);
        if (status) return status;

        double gradient_chosen[BATCH], gradient_rejected[BATCH];
        double loss = squared_hinge(count, chosen, rejected, reference_chosen, reference_rejected, gradient_chosen,
                                    gradient_rejected);

        status = dpo_trainer_backward(trainer, gradient_chosen, gradient_rejected, count);
        if (status) return status;
        dpo_metrics metrics;
        metrics.struct_size = sizeof metrics;
        status = dpo_trainer_apply(trainer, &metrics);
        if (status) return status;
        printf("step %d: loss %.6f, gradient norm %.4f, learning rate %.2e\n", (int)metrics.step, loss,
               metrics.grad_norm, metrics.learning_rate);
    }
    return DPO_OK;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL PAIRS.jsonl\n", argv[0]);
        return 2;
    }
    dpo_train_options options;
    dpo_train_options_init(&options, sizeof options);
    options.lora_r = 8;
    options.lora_target_modules = "all-linear";
    options.learning_rate = 1e-3;
    options.lr_scheduler_type = "constant";
    options.max_steps = STEPS;

    dpo_model *model = NULL;
    dpo_dataset *pairs = NULL;
    dpo_trainer *trainer = NULL;
    dpo_dataset_info info;
    info.struct_size = sizeof info;
    int32_t status = dpo_model_open(argv[1], NULL, 0, &model);
    if (!status) status = dpo_dataset_open_jsonl(model, argv[2], &options, &pairs);
    if (!status) status = dpo_dataset_get_info(pairs, &info);
    if (!status) status = dpo_trainer_create(model, NULL, pairs, NULL, &options, &trainer);
    if (!status) status = train(trainer, (size_t)info.rows);
    if (status) fprintf(stderr, "%s: %s\n", dpo_status_name(status), dpo_last_error());
    dpo_trainer_release(trainer);
    dpo_dataset_release(pairs);
    dpo_model_release(model);
    return status != DPO_OK;
}
