package libdpo;

import java.util.List;

/** tf-idf and logistic regression: a judge of answers. */
public final class Classifier extends Handle {
  private Classifier(long pointer) {
    super(Native.CLASSIFIER, pointer);
  }

  public static Classifier open(String path) {
    return new Classifier(Native.classifierOpen(Native.utf8(path)));
  }

  /** `labels`: 1 or 0. `cost`: 3 is usual; `folds`: 5 is usual, 0 is without calibration. */
  public static Classifier train(List<String> texts, int[] labels, double cost, int folds) {
    return new Classifier(Native.classifierTrain(Native.utf8(texts), labels, cost, folds));
  }

  public void save(String path) {
    Native.classifierSave(this, Native.utf8(path));
  }

  /** Log-odds of label 1. */
  public double[] score(List<String> texts) {
    double[] logOdds = new double[texts.size()];
    Native.classifierScore(this, Native.utf8(texts), logOdds);
    return logOdds;
  }
}
