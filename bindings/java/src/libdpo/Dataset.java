package libdpo;

import java.util.List;

/** Rows to train on, read and tokenised. `options` may be null. */
public final class Dataset extends Handle {
  private Dataset(long pointer) {
    super(Native.DATASET, pointer);
  }

  /** A file of JSON lines. */
  public static Dataset open(Model model, String path, TrainOptions options) {
    return new Dataset(Native.datasetOpen(model, Native.utf8(path), Options.given("training", options)));
  }

  /** JSON lines in memory. */
  public static Dataset ofJsonLines(Model model, String rows, TrainOptions options) {
    return new Dataset(Native.datasetOfJsonLines(model, Native.anyUtf8(rows), Options.given("training", options)));
  }

  public static Dataset ofPairs(
      Model model, List<String> prompts, List<String> chosen, List<String> rejected, TrainOptions options) {
    return new Dataset(Native.datasetOfPairs(
        model, Native.utf8(prompts), Native.utf8(chosen), Native.utf8(rejected), Options.given("training", options)));
  }

  /** Token ids, the end-of-sequence token included where it shall count. */
  public static Dataset ofTokens(
      List<int[]> prompts, List<int[]> chosen, List<int[]> rejected, TrainOptions options) {
    return new Dataset(Native.datasetOfTokens(
        prompts.toArray(int[][]::new), chosen.toArray(int[][]::new), rejected.toArray(int[][]::new),
        Options.given("training", options)));
  }

  public DatasetInfo info() {
    return (DatasetInfo) Native.datasetInfo(this);
  }
}
