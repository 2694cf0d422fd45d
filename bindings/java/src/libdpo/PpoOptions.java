// Made by options/generate.py from the tables beside it.
package libdpo;

/** How PPO's loss of tokens is computed. What is not set keeps its default. */
public final class PpoOptions extends Options {
  public PpoOptions() {
    super("ppo");
  }

  /** ε of PPO's clipped objective: how far the ratio π/π_old counts. At least 0. Default: 0.2. */
  public PpoOptions cliprange(double value) {
    set("cliprange", value);
    return this;
  }

  /** How far a value may move from the rollout's before the loss stops following. At least 0. Default: 0.2. */
  public PpoOptions cliprangeValue(double value) {
    set("cliprange_value", value);
    return this;
  }

  /** Weight of the value function's loss. At least 0. Default: 0.1. */
  public PpoOptions vfCoef(double value) {
    set("vf_coef", value);
    return this;
  }
}
