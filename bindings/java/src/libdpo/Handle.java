package libdpo;

import java.lang.ref.Cleaner;

/**
 * Owns a handle of dpo.h. close() releases it; if it is never called, the garbage collector does. Objects may be closed in any
 * order, also while another thread's call uses them.
 *
 * <p>One call at a time runs on an object: from another thread, or from inside its own callback, a second one throws
 * DPO_ERROR_STATE, or waits after setWait.
 */
public abstract class Handle implements AutoCloseable {
  private static final Cleaner CLEANER = Cleaner.create();

  /** Read by native code, which keeps this object alive during a call. */
  private final long pointer;
  private final Cleaner.Cleanable cleanable;

  Handle(int kind, long pointer) {
    this.pointer = pointer;
    this.cleanable = CLEANER.register(this, () -> Native.release(kind, pointer));
  }

  /** A call waits so long for another thread's call to end; 0, the default: not at all; infinity: for ever. */
  public final void setWait(double seconds) {
    Native.setWait(this, seconds);
  }

  @Override
  public final void close() {
    cleanable.clean();
  }
}
