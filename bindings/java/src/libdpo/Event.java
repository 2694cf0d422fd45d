package libdpo;

/**
 * What a run tells. `text`: the path of a checkpoint, a note's sentence, or the phase of which `done` of `total` rows are done.
 * `metrics`: of steps and evaluations, else null.
 */
public record Event(Kind kind, String text, long done, long total, Metrics metrics) {
  public enum Kind {
    OTHER, STEP, EVALUATION, CHECKPOINT, NOTE, PROGRESS;

    static Kind of(int number) {
      return number > 0 && number < values().length ? values()[number] : OTHER;
    }
  }
}
