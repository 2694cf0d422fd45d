package libdpo;

/** `gradientValues` is empty without a value function. */
public record PpoLosses(double loss, double[] gradientLogps, double[] gradientValues) {}
