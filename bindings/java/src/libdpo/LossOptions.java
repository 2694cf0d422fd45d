// Made by options/generate.py from the tables beside it.
package libdpo;

/** How losses of pairs, and the closed form of what they maximise, are computed. What is not set keeps its default. */
public final class LossOptions extends Options {
  public LossOptions() {
    super("loss");
  }

  /**
   * β, how strongly the policy is held to the reference model: the smaller, the further it may go. More than 0.
   * Default: 0.1.
   */
  public LossOptions beta(double value) {
    set("beta", value);
    return this;
  }

  /**
   * ε, the share of labels that are assumed to be swapped. For the losses exo_pair, which needs (0, 1), robust, which
   * needs [0, 0.5), aot, aot_unpaired and conservative. 0 to 1. Default: 0.
   */
  public LossOptions labelSmoothing(double value) {
    set("label_smoothing", value);
    return this;
  }

  /** Temperature of the discopop loss. More than 0. Default: 0.05. */
  public LossOptions discopopTau(double value) {
    set("discopop_tau", value);
    return this;
  }

  /** Coefficient of alpha_divergence. Default: 0.5. */
  public LossOptions fAlphaDivergenceCoef(double value) {
    set("f_alpha_divergence_coef", value);
    return this;
  }

  /**
   * The divergence from the reference model that the loss assumes. The paper's is reverse_kl. One of "reverse_kl",
   * "forward_kl", "js_divergence", "alpha_divergence". Default: "reverse_kl".
   */
  public LossOptions fDivergence(String value) {
    set("f_divergence", value);
    return this;
  }

  /** Reference log-probs count as 0, and may be left out. Default: off. */
  public LossOptions referenceFree(boolean value) {
    set("reference_free", value);
    return this;
  }

  /** The losses, summed. Default: "sigmoid". */
  public LossOptions lossTypes(String... value) {
    set("loss_types", value);
    return this;
  }

  /** Weight of each of the loss_types; empty: 1 each. */
  public LossOptions lossWeights(double... value) {
    set("loss_weights", value);
    return this;
  }
}
