package libdpo;

import java.util.List;
import java.util.function.Consumer;

/** Rows to train on, read and tokenised. `options` may be null. */
public final class Dataset extends Handle {
  private Dataset(long pointer) {
    super(Native.DATASET, pointer);
  }

  /** A file or directory: JSON lines, or what else docs/data.md tells of. */
  public static Dataset open(Model model, String path, TrainOptions options) {
    return new Dataset(Native.datasetOpen(model, Native.utf8(path), Options.given("training", options)));
  }

  /** Several files or directories, one after the other. `onReading` may be null; what it throws ends the reading, which throws it. */
  public static Dataset openAll(Model model, List<String> paths, TrainOptions options, Consumer<Reading> onReading) {
    Callback callback = Callback.ofReading(onReading);
    long[] made = {0};
    Callback.during(
        () -> made[0] = Native.datasetOpenAll(model, Native.utf8(paths), Options.given("training", options), callback),
        callback);
    return new Dataset(made[0]);
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
