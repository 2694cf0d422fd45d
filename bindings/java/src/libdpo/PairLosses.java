package libdpo;

/** `loss` is the mean; gradients are d loss / d log-prob of the policy. */
public record PairLosses(
    double loss, double[] losses, double[] gradientChosen, double[] gradientRejected, double[] rewardChosen,
    double[] rewardRejected) {}
