package libdpo;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;

/** The functions of libdpo_java.so: dpo.h with Java's arrays. Text is UTF-8, without the NUL at its end. */
final class Native {
  static final int MODEL = 1;
  static final int DATASET = 2;
  static final int TRAINER = 3;
  static final int CLASSIFIER = 5;
  static final int FEEDBACK = 6;
  static final int COMMUNICATOR = 8;
  static final int STEP = 0;
  static final int EVALUATE = 1;
  static final int APPLY = 2;
  /** Numbers in dpo_metrics. */
  static final int METRICS = 18;

  static {
    String directory = System.getProperty("libdpo.directory");
    if (directory == null) {
      System.loadLibrary("dpo_java");
    } else {
      System.load(Path.of(directory, "libdpo_java.so").toAbsolutePath().toString());
    }
  }

  private Native() {}

  static byte[] anyUtf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  /** For what C takes as text that ends in NUL. */
  static byte[] utf8(String text) {
    if (text == null) {
      return null;
    }
    if (text.indexOf('\0') >= 0) {
      throw failure(DpoException.INVALID_ARGUMENT, anyUtf8("DPO_ERROR_INVALID_ARGUMENT"), anyUtf8("a text holds a NUL character"));
    }
    return anyUtf8(text);
  }

  static byte[][] utf8(List<String> texts) {
    return texts.stream().map(Native::utf8).toArray(byte[][]::new);
  }

  static String text(byte[] utf8) {
    return utf8 == null ? "" : new String(utf8, StandardCharsets.UTF_8);
  }

  // Called by native code, which throws or returns what these make.

  private static DpoException failure(int status, byte[] name, byte[] sentence) {
    return new DpoException(status, text(name), text(sentence));
  }

  private static Completion completion(byte[] text, int[] ids, boolean stopped) {
    return new Completion(text(text), ids, stopped);
  }

  private static ModelInfo modelInfo(long[] n, byte[] architecture, byte[] format) {
    return new ModelInfo(
        n[0], n[1], (int) n[2], (int) n[3], (int) n[4], (int) n[5], (int) n[6], (int) n[7], n[8] != 0, n[9] != 0,
        n[10] != 0, text(architecture), text(format));
  }

  private static Parameter parameter(byte[] name, long offset, long size, long[] shape) {
    return new Parameter(text(name), offset, size, shape);
  }

  private static DatasetInfo datasetInfo(long[] n, double longerIsChosen) {
    return new DatasetInfo(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], longerIsChosen);
  }

  static native byte[] version();

  static native void release(int kind, long pointer);

  static native void setWait(Handle handle, double seconds);

  static native void cancel(int kind, Handle handle);

  static native double loss(
      double[] policyChosen, double[] policyRejected, double[] referenceChosen, double[] referenceRejected,
      int[] chosenTokens, int[] rejectedTokens, double[] weights, byte[][] options, double[][] out);

  static native double rankedLoss(
      double beta, int[] counts, double[] ranks, double[] policy, double[] reference, double[] weights, double[] losses,
      double[] gradients, double[] rewards);

  static native double policyOptimum(byte[][] options, double[] referenceLogps, double[] rewards, double[] policyLogps);

  static native void policyRewards(byte[][] options, double[] policyLogps, double[] referenceLogps, double[] rewards);

  static native double policyDivergence(byte[][] options, double[] policyLogps, double[] referenceLogps);

  static native void bradleyTerry(double[] firstRewards, double[] secondRewards, double[] probabilities);

  static native void gae(
      double[] rewards, double[] values, int[] counts, double gamma, double lam, double[] advantages, double[] returns);

  static native double ppoLoss(
      byte[][] options, float[] logps, float[] oldLogps, float[] advantages, float[] values, float[] oldValues,
      float[] returns, double[] gradientLogps, double[] gradientValues);

  static native byte[] inspect(byte[] path);

  static native byte[] describeOptions(byte[][] options);

  static native void trainTokenizer(byte[][] paths, byte[] directory, byte[][] options);

  static native void createModel(byte[][] shape, byte[] output);

  static native void exportModel(byte[] input, int format, byte[] output, byte[][] options);

  static native byte[] checkExport(byte[] input, byte[] output, byte[] data, byte[] reference, byte[][] options);

  static native long modelOpen(byte[] path, byte[] adapter, int threads, boolean copy);

  static native Object modelInfo(Model model);

  static native void modelSetEngine(Model model, byte[] engine);

  static native int[] modelEncode(Model model, byte[] text, boolean addSpecialTokens);

  static native byte[] modelDecode(Model model, int[] ids);

  static native byte[] modelApplyChatTemplate(Model model, byte[] messages, boolean addGenerationPrompt);

  static native void modelScore(Model model, byte[][] prompts, byte[][] completions, double[] sums, int[] counts);

  static native void modelScoreTokens(
      Model model, int[][] prompts, int[][] completions, int[] completionPrompts, double[] sums, float[] tokens);

  static native void modelReward(Model model, byte[][] prompts, byte[][] completions, double[] rewards);

  static native void modelRewardTokens(
      Model model, int[][] prompts, int[][] completions, int[] completionPrompts, double[] rewards);

  static native Object[][] modelGenerate(Model model, byte[][] prompts, byte[][] options, Callback callback);

  static native byte[] modelEvaluate(
      Model model, Model reference, byte[] data, byte[][] options, byte[][] samples, Classifier judge, Model rewardModel);

  static native long datasetOpen(Model model, byte[] path, byte[][] options);

  static native long datasetOpenAll(Model model, byte[][] paths, byte[][] options, Callback callback);

  static native long datasetOfJsonLines(Model model, byte[] rows, byte[][] options);

  static native long datasetOfPairs(
      Model model, byte[][] prompts, byte[][] chosen, byte[][] rejected, byte[][] options);

  static native long datasetOfTokens(int[][] prompts, int[][] chosen, int[][] rejected, byte[][] options);

  static native Object datasetInfo(Dataset dataset);

  static native long classifierOpen(byte[] path);

  static native long classifierTrain(byte[][] texts, int[] labels, double cost, int folds);

  static native void classifierSave(Classifier classifier, byte[] path);

  static native void classifierScore(Classifier classifier, byte[][] texts, double[] logOdds);

  static native long trainerCreate(
      Model model, Model reference, Dataset dataset, Dataset evaluation, byte[][] options);

  static native long trainerCreateDistributed(
      Communicator ranks, Model model, Model reference, Dataset dataset, Dataset evaluation, byte[][] options);

  static native long communicatorMpi(byte[] plugin, double timeout);

  static native long communicatorOf(int rank, int size, byte[] name, Engine engine);

  static native int[] communicatorRanks(Communicator communicator);

  static native void communicatorAbort(Communicator communicator, int exitStatus);

  static native byte[] trainerPlan(Trainer trainer);

  static native byte[] trainerLastMetrics(Trainer trainer);

  static native void trainerSetReward(Trainer trainer);

  static native void trainerSetReduce(Trainer trainer, boolean there);

  static native void trainerSetRewardModel(Trainer trainer, Model rewardModel);

  static native void trainerSetRewardClassifier(Trainer trainer, Classifier judge, boolean completionOnly);

  static native void trainerRun(
      Trainer trainer, byte[] directory, byte[] resume, Callback callback, Callback reward, Callback reduce);

  static native void trainerMeasure(Trainer trainer, int what, double[] metrics, Callback reward, Callback reduce);

  static native void trainerEvaluateData(
      Trainer trainer, Dataset dataset, double[] metrics, Callback reward, Callback reduce);

  static native void trainerScoreData(
      Trainer trainer, Dataset dataset, double[] policyChosen, double[] policyRejected, double[] referenceChosen,
      double[] referenceRejected, Callback reward, Callback reduce);

  static native void trainerForward(
      Trainer trainer, int[] rows, double[] policyChosen, double[] policyRejected, double[] referenceChosen,
      double[] referenceRejected);

  static native void trainerBackward(Trainer trainer, double[] chosen, double[] rejected);

  static native float[] trainerTokenLogps(Trainer trainer);

  static native void trainerBackwardTokens(Trainer trainer, float[] gradients);

  static native Object[] trainerParameters(Trainer trainer);

  static native float[] trainerValues(Trainer trainer, boolean gradients);

  static native void trainerSetValues(Trainer trainer, float[] values);

  static native void trainerSave(Trainer trainer, byte[] path);

  static native void trainerLoad(Trainer trainer, byte[] path);

  static native void trainerSaveModel(Trainer trainer, byte[] path);

  static native long feedbackOpen(byte[] path);

  static native long feedbackRecordThumb(Feedback feedback, byte[] prompt, byte[] answer, boolean up, double weight);

  static native long feedbackRecordChoice(
      Feedback feedback, byte[] prompt, byte[] chosen, byte[] rejected, double weight);

  static native long feedbackRecordJson(Feedback feedback, byte[] row);

  static native long feedbackCount(Feedback feedback);

  static native byte[] feedbackStatus(Feedback feedback, byte[] directory);

  static native void feedbackTrain(
      Feedback feedback, Model model, byte[] directory, byte[][] options, Callback callback, long[] result);
}
