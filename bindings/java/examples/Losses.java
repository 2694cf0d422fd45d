import libdpo.Dpo;
import libdpo.LossOptions;
import libdpo.PairLogps;
import libdpo.PairLosses;

/**
 * Every DPO loss of six pairs, beside the numbers of TRL 1.16's own code, and what its gradient says.
 *
 *   java -cp libdpo.jar -Dlibdpo.directory=DIRECTORY-OF-libdpo_java.so Losses.java
 */
public class Losses {
  /** TRL's loss, and d loss / d log-prob of the first chosen answer. */
  record Row(String name, double labelSmoothing, double loss, double gradient) {}

  static final Row[] ROWS = {
    new Row("sigmoid", 0, 0.7768796493, -0.007917013542),
    new Row("hinge", 0, 1.086666667, -0.01666666667),
    new Row("ipo", 0, 23.08215154, -0.3211111111),
    new Row("exo_pair", 0.001, 2.908173382, -0.02829069255),
    new Row("nca_pair", 0, 1.427022091, -0.003854231755),
    new Row("robust", 0.1, 0.7835463159, -0.01000034688),
    new Row("bco_pair", 0, 1.443936804, -0.008125043392),
    new Row("sppo_hard", 0, 80.53333333, -1.5),
    new Row("aot", 0.1, 0.7166279173, -0.006250346875),
    new Row("aot_unpaired", 0.1, 0.7162914202, -0.006999822336),
    new Row("apo_zero", 0, 1.01382824, -0.004164063585),
    new Row("apo_down", 0, 0.9972287163, 7.796248137e-6),
    new Row("discopop", 0, 0.8486249926, -0.005111830724),
    new Row("sft", 0, 1.988613861, -0.009900990099),
    new Row("sigmoid_norm", 0, 0.6725016384, -0.001651389317),
  };

  /** Summed log-probs of six chosen and six rejected answers, under the policy and the reference model, and their tokens. */
  static final PairLogps LOGPS = new PairLogps(
      new double[] {-12.5, -40.1, -3.2, -101.3, -22.75, -21.0}, new double[] {-14.25, -35.6, -9.9, -120.8, -22.75, -18.0},
      new double[] {-13.0, -38.7, -7.4, -99.9, -22.75, -15.0}, new double[] {-13.75, -36.9, -2.1, -121.4, -22.75, -23.5},
      new int[] {5, 17, 2, 48, 9, 20}, new int[] {6, 12, 4, 51, 9, 7}, null);

  static boolean near(double found, double expected) {
    return Math.abs(found - expected) <= 1e-9 * Math.max(1, Math.abs(expected));
  }

  public static void main(String[] arguments) {
    boolean good = true;
    System.out.printf("%-14s%14s%14s%14s%n", "loss", "libdpo", "TRL", "gradient");
    for (Row row : ROWS) {
      PairLosses result =
          Dpo.loss(LOGPS, new LossOptions().lossTypes(row.name()).labelSmoothing(row.labelSmoothing()));
      boolean same = near(result.loss(), row.loss()) && near(result.gradientChosen()[0], row.gradient());
      System.out.printf("%-14s%14.9f%14.9f%14.9f%s%n", row.name(), result.loss(), row.loss(), result.gradientChosen()[0],
          same ? "" : "   differs");
      good &= same;
    }
    System.out.println(good ? "All losses are TRL's." : "Some losses are not TRL's.");
    System.exit(good ? 0 : 1);
  }
}
