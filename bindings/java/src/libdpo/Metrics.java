package libdpo;

/** Metrics of one optimiser step or evaluation; NaN where a method has none. `json`: all that was measured, by TRL's names. */
public record Metrics(
    long step, long totalSteps, double epoch, double loss, double gradNorm, double learningRate, double rewardsChosen,
    double rewardsRejected, double rewardsAccuracies, double rewardsMargins, double logpsChosen, double logpsRejected,
    double logitsChosen, double logitsRejected, double entropy, double meanTokenAccuracy, double numTokens, double seconds,
    String json) {

  /** Of the fields of dpo_metrics, in their order. */
  static Metrics of(double[] m, String json) {
    return m == null ? null : new Metrics(
        (long) m[0], (long) m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8], m[9], m[10], m[11], m[12], m[13], m[14], m[15],
        m[16], m[17], json);
  }
}
