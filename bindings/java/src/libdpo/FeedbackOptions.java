// Made by options/generate.py from the tables beside it.
package libdpo;

/** How feedback is trained on. What is not set keeps its default. */
public final class FeedbackOptions extends Options {
  public FeedbackOptions() {
    super("feedback");
  }

  /**
   * Stop after so many seconds. What was learned is kept, and the next call goes on. More than 0. Default: no limit.
   */
  public FeedbackOptions maxSeconds(double value) {
    set("max_seconds", value);
    return this;
  }

  /**
   * Older records that a session mixes in, drawn at random, for each new one; 1: as many old as new. 0 to 1000.
   * Default: 0.
   */
  public FeedbackOptions replay(double value) {
    set("replay", value);
    return this;
  }

  /** New records to wait for before a session begins. At least 1. Default: 8. */
  public FeedbackOptions minRecords(int value) {
    set("min_records", value);
    return this;
  }

  /** Start anew: a new adapter, to which every record is new. Default: off. */
  public FeedbackOptions retrain(boolean value) {
    set("retrain", value);
    return this;
  }

  /** Options of the runs, with feedback's own defaults. The records decide the method. */
  public FeedbackOptions training(TrainOptions value) {
    set("training", value);
    return this;
  }
}
