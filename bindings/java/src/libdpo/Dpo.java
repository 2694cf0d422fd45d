package libdpo;

import java.util.List;

/** Functions of libdpo that need no handle. */
public final class Dpo {
  private Dpo() {}

  /** Of the library that runs, such as "0.1.0". */
  public static String version() {
    return Native.text(Native.version());
  }

  /** The loss of preference pairs, its gradient and rewards. `options` may be null. */
  public static PairLosses loss(PairLogps logps, LossOptions options) {
    int pairs = logps.policyChosen().length;
    double[][] out = new double[5][pairs];
    double loss = Native.loss(
        logps.policyChosen(), logps.policyRejected(), logps.referenceChosen(), logps.referenceRejected(),
        logps.chosenTokens(), logps.rejectedTokens(), logps.weights(), Options.given("loss", options), out);
    return new PairLosses(loss, out[0], out[1], out[2], out[3], out[4]);
  }

  /**
   * The loss of ranked answers (Plackett-Luce). Row i has counts[i] answers, which stand one after the other; lower ranks are
   * better. `reference` and `weights` may be null.
   */
  public static RankedLosses rankedLoss(
      double beta, int[] counts, double[] ranks, double[] policy, double[] reference, double[] weights) {
    double[] losses = new double[counts.length];
    double[] gradients = new double[policy.length];
    double[] rewards = new double[policy.length];
    double loss = Native.rankedLoss(beta, counts, ranks, policy, reference, weights, losses, gradients, rewards);
    return new RankedLosses(loss, losses, gradients, rewards);
  }

  /** The closed form, where all answers can be listed: docs/closed-form.md. `options` may be null here and below. */
  public static Optimum policyOptimum(double[] referenceLogps, double[] rewards, LossOptions options) {
    double[] policy = new double[referenceLogps.length];
    double normalizer = Native.policyOptimum(Options.given("loss", options), referenceLogps, rewards, policy);
    return new Optimum(policy, normalizer);
  }

  public static double[] policyRewards(double[] policyLogps, double[] referenceLogps, LossOptions options) {
    double[] rewards = new double[policyLogps.length];
    Native.policyRewards(Options.given("loss", options), policyLogps, referenceLogps, rewards);
    return rewards;
  }

  public static double policyDivergence(double[] policyLogps, double[] referenceLogps, LossOptions options) {
    return Native.policyDivergence(Options.given("loss", options), policyLogps, referenceLogps);
  }

  /** Probabilities that the first answers are preferred. */
  public static double[] bradleyTerry(double[] firstRewards, double[] secondRewards) {
    double[] probabilities = new double[firstRewards.length];
    Native.bradleyTerry(firstRewards, secondRewards, probabilities);
    return probabilities;
  }

  /** Generalised advantage estimation over completions of counts[i] tokens. */
  public static Advantages gae(double[] rewards, double[] values, int[] counts, double gamma, double lam) {
    Advantages out = new Advantages(new double[rewards.length], new double[rewards.length]);
    Native.gae(rewards, values, counts, gamma, lam, out.advantages(), out.returns());
    return out;
  }

  public static PpoLosses ppoLoss(PpoTokens tokens, PpoOptions options) {
    int count = tokens.logps().length;
    double[] gradientLogps = new double[count];
    double[] gradientValues = new double[tokens.values() == null ? 0 : count];
    double loss = Native.ppoLoss(
        Options.given("ppo", options), tokens.logps(), tokens.oldLogps(), tokens.advantages(), tokens.values(),
        tokens.oldValues(), tokens.returns(), gradientLogps, gradientValues);
    return new PpoLosses(loss, gradientLogps, gradientValues);
  }

  /** What a model, adapter, checkpoint or data file holds, as JSON. */
  public static String inspect(String path) {
    return Native.text(Native.inspect(Native.utf8(path)));
  }

  public static void trainTokenizer(List<String> paths, String directory, TokenizerOptions options) {
    Native.trainTokenizer(Native.utf8(paths), Native.utf8(directory), Options.given("tokenizer", options));
  }

  public static void createModel(ModelShape shape, String output) {
    Native.createModel(Options.given("shape", shape), Native.utf8(output));
  }

  public static void exportModel(String input, ExportFormat format, String output, ExportOptions options) {
    Native.exportModel(
        Native.utf8(input), format.ordinal(), Native.utf8(output), Options.given("export", options));
  }

  /** Whether what was learned survives an export, as JSON. `reference` and `options` may be null. */
  public static String checkExport(
      String input, String output, String data, String reference, ExportOptions options) {
    return Native.text(Native.checkExport(
        Native.utf8(input), Native.utf8(output), Native.utf8(data), Native.utf8(reference),
        Options.given("export", options)));
  }

  /** Name, type, default, choices and help of every option, as JSON. `kind`: "training", "generation" and so on. */
  public static String describeOptions(String kind) {
    return Native.text(Native.describeOptions(Options.given(kind, null)));
  }
}
