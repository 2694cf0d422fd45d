package libdpo;

/** Numbers of the tokens of an update. values, oldValues and returns: all three, or null. */
public record PpoTokens(
    float[] logps, float[] oldLogps, float[] advantages, float[] values, float[] oldValues, float[] returns) {
  public PpoTokens(float[] logps, float[] oldLogps, float[] advantages) {
    this(logps, oldLogps, advantages, null, null, null);
  }
}
