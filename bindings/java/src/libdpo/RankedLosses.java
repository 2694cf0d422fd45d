package libdpo;

/** `loss` is the mean over the rows; `losses` has one number a row, `gradients` and `rewards` one a completion. */
public record RankedLosses(double loss, double[] losses, double[] gradients, double[] rewards) {}
