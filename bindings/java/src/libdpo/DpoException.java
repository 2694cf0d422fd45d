package libdpo;

/** What libdpo refuses or fails at. The message names the file, the place and what was expected. */
public final class DpoException extends RuntimeException {
  private static final long serialVersionUID = 1;

  public static final int INVALID_ARGUMENT = -1;
  public static final int IO = -2;
  public static final int FORMAT = -3;
  public static final int UNSUPPORTED = -4;
  public static final int MISMATCH = -5;
  public static final int MEMORY = -6;
  public static final int NON_FINITE = -7;
  public static final int CANCELLED = -8;
  public static final int STATE = -9;
  public static final int INTERNAL = -10;
  public static final int DIVERGED = -11;

  private final int status;
  private final String statusName;

  DpoException(int status, String statusName, String message) {
    super(message);
    this.status = status;
    this.statusName = statusName;
  }

  /** One of the constants above. */
  public int status() {
    return status;
  }

  /** Its name in dpo.h, such as DPO_ERROR_FORMAT. */
  public String statusName() {
    return statusName;
  }
}
