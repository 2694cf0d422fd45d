package libdpo;

/** Log-probs of completions, and of all their tokens, in order. */
public record TokenScores(double[] sumLogps, float[] tokenLogps) {}
