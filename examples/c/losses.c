/* DPO loss, gradient and rewards of three preference pairs whose log-probs come from any engine.
 *
 *   cc -std=c99 losses.c $(pkg-config --cflags --libs dpo) -o losses && ./losses
 */
#include <dpo.h>
#include <stdio.h>

int main(void) {
    /* Log-probs of whole completions: chosen and rejected, under the model in training and under the frozen reference.
     */
    const double policy_chosen[] = {-12.50, -40.10, -3.20}, policy_rejected[] = {-14.25, -35.60, -9.90};
    const double reference_chosen[] = {-13.00, -38.70, -7.40}, reference_rejected[] = {-13.75, -36.90, -2.10};
    enum { PAIRS = 3 };

    dpo_loss_options options;
    dpo_loss_options_init(&options, sizeof options);
    options.beta = 0.1;

    double loss, gradient_chosen[PAIRS], gradient_rejected[PAIRS], reward_chosen[PAIRS], reward_rejected[PAIRS];
    if (dpo_loss_compute(&options, PAIRS, policy_chosen, policy_rejected, reference_chosen, reference_rejected, NULL,
                         NULL, NULL, &loss, NULL, gradient_chosen, gradient_rejected, reward_chosen, reward_rejected)) {
        fprintf(stderr, "%s\n", dpo_last_error());
        return 1;
    }

    printf("DPO loss %.6f (log 2 = 0.693147 when nothing is learnt yet)\n\n", loss);
    printf("pair  reward chosen  reward rejected   d loss/d logp chosen      rejected\n");
    for (int i = 0; i < PAIRS; i++)
        printf("%4d  %13.4f  %15.4f   %20.6f  %12.6f\n", i + 1, reward_chosen[i], reward_rejected[i],
               gradient_chosen[i], gradient_rejected[i]);
    printf(
        "\nGive each token of a completion its gradient as d loss / d log-prob and run your engine's backward pass.\n");
    return 0;
}
