package libdpo;

import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;

/** Trains a model on a data set. Callbacks come on the thread that called; what they throw stops the call, which throws it. */
public final class Trainer extends Handle {
  private Callback reward;
  private Callback reduce;

  private Trainer(long pointer) {
    super(Native.TRAINER, pointer);
  }

  public static Trainer create(Model model, Dataset dataset, TrainOptions options) {
    return create(model, null, dataset, null, options);
  }

  /** `reference` (the model as it was opened), `evaluation` and `options` may be null. */
  public static Trainer create(
      Model model, Model reference, Dataset dataset, Dataset evaluation, TrainOptions options) {
    return new Trainer(
        Native.trainerCreate(model, reference, dataset, evaluation, Options.given("training", options)));
  }

  /**
   * For one of several ranks: all of them make it, and call its methods in the same order. An error of one is thrown on all.
   * `reference`, `evaluation` and `options` may be null.
   */
  public static Trainer createDistributed(
      Communicator ranks, Model model, Model reference, Dataset dataset, Dataset evaluation, TrainOptions options) {
    return new Trainer(Native.trainerCreateDistributed(
        ranks, model, reference, dataset, evaluation, Options.given("training", options)));
  }

  /** Steps, tokens and memory by part, as JSON. */
  public String plan() {
    return Native.text(Native.trainerPlan(this));
  }

  /** Everything that the last step or evaluation measured, as JSON. */
  public String lastMetrics() {
    return Native.text(Native.trainerLastMetrics(this));
  }

  /** For methods that learn from the policy's own answers. */
  public void setReward(RewardFunction function) {
    Native.trainerSetReward(this);
    reward = Callback.ofAnswers(function);
  }

  /** The place for the mean over machines of a step's flat gradient, which it changes where it is. null removes it. */
  public void setReduce(Consumer<float[]> function) {
    Native.trainerSetReduce(this, function != null);
    reduce = Callback.ofGradients(function);
  }

  public void setReward(Model rewardModel) {
    Native.trainerSetRewardModel(this, rewardModel);
  }

  public void setReward(Classifier judge, boolean completionOnly) {
    Native.trainerSetRewardClassifier(this, judge, completionOnly);
  }

  /**
   * What remains of the plan. `directory` gets checkpoints, final.h5 and report.html. `resume`: null, a checkpoint, or "last".
   * `onEvent` may be null. When it is stopped it writes a checkpoint first.
   */
  public void run(String directory, String resume, Consumer<Event> onEvent) {
    Callback callback = Callback.ofEvents(onEvent);
    Callback.during(
        () -> Native.trainerRun(this, Native.utf8(directory), Native.utf8(resume), callback, reward, reduce), callback,
        reward, reduce);
  }

  /** Ends a running call with DPO_ERROR_CANCELLED; if none is running, the next one. Any thread. */
  public void cancel() {
    Native.cancel(Native.TRAINER, this);
  }

  public Metrics step() {
    return measured(Native.STEP);
  }

  public Metrics evaluate() {
    return measured(Native.EVALUATE);
  }

  /** Metrics of another data set than the trainer's own, read with the options of this trainer. */
  public Metrics evaluate(Dataset dataset) {
    double[] metrics = new double[Native.METRICS];
    Callback.during(() -> Native.trainerEvaluateData(this, dataset, metrics, reward, reduce), reward, reduce);
    return Metrics.of(metrics, lastMetrics());
  }

  /** Log-probs of every row of a data set now; of a reward model its scores. No backward can follow. */
  public ForwardLogps score(Dataset dataset) {
    int count = Math.toIntExact(dataset.info().rows());
    ForwardLogps out = new ForwardLogps(new double[count], new double[count], new double[count], new double[count]);
    Callback.during(
        () -> Native.trainerScoreData(
            this, dataset, out.policyChosen(), out.policyRejected(), out.referenceChosen(), out.referenceRejected(), reward,
            reduce),
        reward, reduce);
    return out;
  }

  /** Log-probs of chosen rows, for a loss of your own: then backward and apply. */
  public ForwardLogps forward(int... rows) {
    int count = rows.length;
    ForwardLogps out = new ForwardLogps(new double[count], new double[count], new double[count], new double[count]);
    Native.trainerForward(
        this, rows, out.policyChosen(), out.policyRejected(), out.referenceChosen(), out.referenceRejected());
    return out;
  }

  public void backward(double[] gradientChosen, double[] gradientRejected) {
    Native.trainerBackward(this, gradientChosen, gradientRejected);
  }

  /** Of the last forward: for each row chosen, then rejected. */
  public float[] tokenLogps() {
    return Native.trainerTokenLogps(this);
  }

  public void backwardTokens(float[] gradients) {
    Native.trainerBackwardTokens(this, gradients);
  }

  public Metrics apply() {
    return measured(Native.APPLY);
  }

  public List<Parameter> parameters() {
    return Stream.of(Native.trainerParameters(this)).map(Parameter.class::cast).toList();
  }

  /** A copy of what is trained, flat. */
  public float[] parameterValues() {
    return Native.trainerValues(this, false);
  }

  public void setParameterValues(float[] values) {
    Native.trainerSetValues(this, values);
  }

  /** A copy. */
  public float[] parameterGradients() {
    return Native.trainerValues(this, true);
  }

  public void save(String path) {
    Native.trainerSave(this, Native.utf8(path));
  }

  public void load(String path) {
    Native.trainerLoad(this, Native.utf8(path));
  }

  /** The trained adapter or model alone. */
  public void saveModel(String path) {
    Native.trainerSaveModel(this, Native.utf8(path));
  }

  private Metrics measured(int what) {
    double[] metrics = new double[Native.METRICS];
    Callback.during(() -> Native.trainerMeasure(this, what, metrics, reward, reduce), reward, reduce);
    return Metrics.of(metrics, lastMetrics());
  }
}
