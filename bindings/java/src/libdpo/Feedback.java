package libdpo;

import java.util.function.Consumer;

/** A file of what people said of a model's answers. Any thread may call it at any time, also while it trains. */
public final class Feedback extends Handle {
  private Feedback(long pointer) {
    super(Native.FEEDBACK, pointer);
  }

  public static Feedback open(String path) {
    return new Feedback(Native.feedbackOpen(Native.utf8(path)));
  }

  /** The record's number; the record is on the disk then. */
  public long recordThumb(String prompt, String answer, boolean up, double weight) {
    return Native.feedbackRecordThumb(this, Native.utf8(prompt), Native.utf8(answer), up, weight);
  }

  public long recordChoice(String prompt, String chosen, String rejected, double weight) {
    return Native.feedbackRecordChoice(
        this, Native.utf8(prompt), Native.utf8(chosen), Native.utf8(rejected), weight);
  }

  /** A row as JSON: docs/feedback.md. */
  public long recordJson(String row) {
    return Native.feedbackRecordJson(this, Native.utf8(row));
  }

  public long count() {
    return Native.feedbackCount(this);
  }

  /** As JSON. `directory`: null for the file alone. */
  public String status(String directory) {
    return Native.text(Native.feedbackStatus(this, Native.utf8(directory)));
  }

  /**
   * Trains the adapter in `directory` on what is new; adapter.h5 and adapter.gguf are there afterwards. `options` and `onEvent`
   * may be null; what it throws stops the call.
   */
  public FeedbackResult train(Model model, String directory, FeedbackOptions options, Consumer<Event> onEvent) {
    Callback callback = Callback.ofEvents(onEvent);
    long[] r = new long[5];
    Callback.during(
        () -> Native.feedbackTrain(
            this, model, Native.utf8(directory), Options.given("feedback", options), callback, r),
        callback);
    return new FeedbackResult(FeedbackResult.Outcome.values()[(int) r[0]], r[1], r[2], r[3], r[4]);
  }

  /** Stops a running train. */
  public void cancel() {
    Native.cancel(Native.FEEDBACK, this);
  }
}
