package libdpo;

/** Summed log-probs of chosen rows under the policy and the reference model. */
public record ForwardLogps(
    double[] policyChosen, double[] policyRejected, double[] referenceChosen, double[] referenceRejected) {}
