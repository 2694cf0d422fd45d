package libdpo;

/** The best policy, and its normaliser, for KL beta log Z. */
public record Optimum(double[] policyLogps, double normalizer) {}
