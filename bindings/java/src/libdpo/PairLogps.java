package libdpo;

/**
 * Summed log-probs of pairs, all of one length. null: the references with referenceFree, token counts where the loss needs none,
 * weights of 1.
 */
public record PairLogps(
    double[] policyChosen, double[] policyRejected, double[] referenceChosen, double[] referenceRejected, int[] chosenTokens,
    int[] rejectedTokens, double[] weights) {
  public PairLogps(
      double[] policyChosen, double[] policyRejected, double[] referenceChosen, double[] referenceRejected) {
    this(policyChosen, policyRejected, referenceChosen, referenceRejected, null, null, null);
  }
}
