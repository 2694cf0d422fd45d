package libdpo;

/** Log-probs of completions, and how many tokens each has. */
public record Scores(double[] sumLogps, int[] tokenCounts) {}
