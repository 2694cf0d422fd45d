package libdpo;

import java.nio.ByteBuffer;

/** What native code calls of a host's engine. */
final class Engine {
  private final Collectives collectives;

  Engine(Collectives collectives) {
    this.collectives = collectives;
  }

  private interface Call {
    void run() throws Exception;
  }

  // Called by native code: null, or why the call failed.

  private byte[] allGather(ByteBuffer send, ByteBuffer receive, int[] sizes) {
    return failure(() -> collectives.allGather(send.asReadOnlyBuffer(), receive, sizes));
  }

  private byte[] allToAll(ByteBuffer send, int[] sendSizes, ByteBuffer receive, int[] receiveSizes) {
    return failure(() -> collectives.allToAll(send.asReadOnlyBuffer(), sendSizes, receive, receiveSizes));
  }

  private void abort(int exitStatus) {
    failure(() -> collectives.abort(exitStatus));
  }

  private static byte[] failure(Call call) {
    try {
      call.run();
      return null;
    } catch (Throwable error) {
      return Native.anyUtf8(error.getMessage() == null ? error.toString() : error.getMessage());
    }
  }
}
