package libdpo;

/** How losses are computed. What is not set keeps its default. */
public final class LossOptions extends Options {
  public LossOptions() {
    super("loss");
  }

  /** How strongly the policy is held to the reference model. More than 0. Default: 0.1. */
  public LossOptions beta(double value) {
    set("beta", value);
    return this;
  }

  /** Names such as "sigmoid" and "ipo" (docs/losses.md), summed. Default: "sigmoid". */
  public LossOptions lossTypes(String... value) {
    set("loss_types", value);
    return this;
  }

  /** Weight of each loss. Default: 1 each. */
  public LossOptions lossWeights(double... value) {
    set("loss_weights", value);
    return this;
  }

  /** The share of labels that are assumed to be swapped. Default: 0. */
  public LossOptions labelSmoothing(double value) {
    set("label_smoothing", value);
    return this;
  }

  /** Temperature of discopop. More than 0. Default: 0.05. */
  public LossOptions discopopTau(double value) {
    set("discopop_tau", value);
    return this;
  }

  /** "reverse_kl", "forward_kl", "js_divergence" or "alpha_divergence". Default: "reverse_kl". */
  public LossOptions fDivergence(String value) {
    set("f_divergence", value);
    return this;
  }

  /** Coefficient of alpha_divergence. Default: 0.5. */
  public LossOptions fAlphaDivergenceCoef(double value) {
    set("f_alpha_divergence_coef", value);
    return this;
  }

  /** Reference log-probs count as 0. Default: off. */
  public LossOptions referenceFree(boolean value) {
    set("reference_free", value);
    return this;
  }
}
