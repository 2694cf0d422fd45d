package libdpo;

/** What a training on feedback did. */
public record FeedbackResult(Outcome outcome, long newRecords, long replayed, long skipped, long steps) {
  /** WAITING: fewer new records than min_records. STOPPED: max_seconds are over, and the next call goes on. */
  public enum Outcome { NOTHING_NEW, WAITING, FINISHED, STOPPED }
}
