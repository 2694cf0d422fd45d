package libdpo;

/** The ranks of a training: several processes that train one model together (docs/scaling.md). Trainers that use it keep it. */
public final class Communicator extends Handle {
  private Communicator(long pointer) {
    super(Native.COMMUNICATOR, pointer);
  }

  /**
   * The ranks that mpirun or srun started. `plugin` is the file of libdpo-mpi.so; null: beside libdpo.so, or where the loader finds it.
   * A rank may keep the others waiting for `timeout` seconds.
   */
  public static Communicator mpi(String plugin, double timeout) {
    return new Communicator(Native.communicatorMpi(Native.utf8(plugin), timeout));
  }

  /** The ranks of a host's own engine. */
  public static Communicator of(Collectives engine) {
    return new Communicator(
        Native.communicatorOf(engine.rank(), engine.size(), Native.utf8(engine.name()), new Engine(engine)));
  }

  public int rank() {
    return Native.communicatorRanks(this)[0];
  }

  public int size() {
    return Native.communicatorRanks(this)[1];
  }

  /** Ends every rank, this one too, for a program that cannot go on. Throws DPO_ERROR_UNSUPPORTED where the engine cannot. */
  public void abort(int exitStatus) {
    Native.communicatorAbort(this, exitStatus);
  }
}
