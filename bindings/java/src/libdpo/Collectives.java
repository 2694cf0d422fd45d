package libdpo;

import java.nio.ByteBuffer;

/**
 * What the ranks of a training talk through, if not MPI: a host's own engine. All ranks call its functions in the same order, one at a
 * time, from threads of the library. What they throw says why a rank does not answer. The buffers are the library's memory: valid during
 * the call.
 */
public interface Collectives {
  /** Of this process, 0 … size() − 1. */
  int rank();

  int size();

  /** For messages. */
  String name();

  /** `receive` gets `sizes[r]` bytes of each rank r, one after the other; `send` are this rank's. */
  void allGather(ByteBuffer send, ByteBuffer receive, int[] sizes) throws Exception;

  /** `send` holds `sendSizes[r]` bytes for each rank r, and `receive` gets `receiveSizes[r]` from it. */
  void allToAll(ByteBuffer send, int[] sendSizes, ByteBuffer receive, int[] receiveSizes) throws Exception;

  /** Ends every rank, this one too. It returns only if it cannot. */
  default void abort(int exitStatus) {}
}
