package libdpo;

/** Of every token. */
public record Advantages(double[] advantages, double[] returns) {}
