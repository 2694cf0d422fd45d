import ArgumentParser
import DPO
import DPOPlatform

/// The processes among which a run is divided.
struct RankFlags: ParsableArguments {
  enum Engine: String, CaseIterable, ExpressibleByArgument {
    case auto, mpi, none
  }

  @Option(
    help: ArgumentHelp(
      "Divide the run among the processes that mpirun or srun started: auto (if they did), mpi or none. (default: auto)",
      valueName: "auto|mpi|none"))
  var distributed: Engine?

  @Option(
    help: ArgumentHelp("Most seconds that a process may keep the others waiting. (default: 1800)", valueName: "S"))
  var ddpTimeout: Double?

  /// What a file says and no flag does.
  mutating func take(engine: String?, timeout: String?) throws {
    if let engine, distributed == nil {
      guard let named = Engine(rawValue: engine) else {
        throw DPOError.argument("distributed is \(engine), expected auto, mpi or none")
      }
      distributed = named
    }
    if let timeout, ddpTimeout == nil {
      guard let seconds = Double(timeout) else {
        throw DPOError.argument("ddp_timeout is \(timeout), expected a number of seconds")
      }
      ddpTimeout = seconds
    }
  }

  /// nil: this process trains alone.
  func communicator() throws -> Communicator? {
    let engine = distributed ?? .auto
    guard engine == .mpi || (engine == .auto && RankFlags.isOneOfSeveral) else { return nil }
    return try .mpi(timeout: ddpTimeout ?? 1800)
  }

  /// Whether Open MPI's or MPICH's launcher, or Slurm's, says that it started several processes.
  private static var isOneOfSeveral: Bool {
    ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"].contains { (name: String) in
      (getenv(name).flatMap { Int(String(cString: $0)) } ?? 1) > 1
    }
  }
}

extension Communicator {
  /// Runs what this process does by itself. A failure ends all processes, which would wait for this one.
  static func guarded<Result>(_ communicator: Communicator?, _ body: () throws -> Result) throws -> Result {
    guard let communicator, communicator.size > 1 else { return try body() }
    do {
      return try body()
    } catch {
      Terminal.tell(Terminal.red("dpo: error:") + " rank \(communicator.rank) of \(communicator.size): \(error)")
      communicator.abort()
      throw ExitCode.failure
    }
  }

  /// Runs what all processes do together: their errors are the same, and the first process tells them.
  static func together<Result>(_ communicator: Communicator?, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as DPOError {
      guard let communicator, communicator.rank > 0 else { throw error }
      throw ExitCode(error.code == .cancelled ? 130 : 1)
    }
  }
}
