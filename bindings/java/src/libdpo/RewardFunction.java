package libdpo;

import java.util.List;

/** Gives a finite reward for each answer. */
@FunctionalInterface
public interface RewardFunction {
  double[] rewards(List<Answer> answers);
}
