internal import CDPO
import CKernels
import DPOBase
import DPOPlatform

extension Communicator {
  /// The ranks that mpirun or srun started, by the plug-in libdpo-mpi.so.
  ///
  /// It calls MPI_Init_thread unless the program has, and uses a duplicate of MPI_COMM_WORLD.
  ///
  /// - Parameters:
  ///   - plugin: Its file. nil: libdpo-mpi.so beside this library, in lib beside the program's bin, or where the loader finds it.
  ///   - timeout: Seconds that a rank may keep the others waiting, more than 0.
  /// - Throws: `.io` where there is no plug-in or it cannot be loaded, `.unsupported` for one of another version, `.state` for
  ///   processes that another make of MPI started than the plug-in's, `.invalidArgument`.
  public static func mpi(plugin: String? = nil, timeout: Double = 1800) throws -> Communicator {
    guard timeout > 0 else { throw DPOError.argument("ddp_timeout must be above 0 seconds, not \(timeout)") }
    let (file, open) = try loadPlugin(plugin)
    var functions = dpo_collectives()
    var message = [CChar](repeating: 0, count: 1024)
    let status = open(Int32(DPO_COLLECTIVES_VERSION), timeout, &functions, &message, message.count - 1)
    guard status == DPO_OK else {
      let reason = message.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
      throw DPOError(DPOError.Code(rawValue: status) ?? .internal, "\(file): \(reason)")
    }
    let foreign = try ForeignCollectives(functions)
    foreign.takeOver()
    return try Communicator(foreign)
  }

  /// dpo_mpi_open of plugins/mpi/dpo_mpi.c.
  private typealias Opener =
    @convention(c) (
      Int32, Double, UnsafeMutablePointer<dpo_collectives>, UnsafeMutablePointer<CChar>, Int
    ) -> Int32

  private static func loadPlugin(_ path: String?) throws -> (file: String, open: Opener) {
    let file = path ?? pluginPlaces().first { access($0, R_OK) == 0 } ?? pluginName
    // Its names are for all: Open MPI loads parts of itself that need them.
    guard let library = dlopen(file, RTLD_NOW | RTLD_GLOBAL) else {
      let reason = dlerror().map { String(cString: $0) } ?? "dlopen failed"
      throw DPOError(
        .io,
        "cannot load libdpo's plug-in for MPI: \(reason). It needs an MPI library (Debian: openmpi-bin), and comes from Debian's package "
          + "libdpo-mpi or, beside libdpo.so, from make build (or make mpi) where mpicc is (Debian: libopenmpi-dev)")
    }
    guard let symbol = dlsym(library, "dpo_mpi_open") else {
      throw DPOError.format(file, "no plug-in of libdpo's: it has no function dpo_mpi_open")
    }
    return (file, unsafeBitCast(symbol, to: Opener.self))
  }

  private static let pluginName = "libdpo-mpi.so"

  /// Beside the file that holds this code, and in the folder lib beside its folder.
  private static func pluginPlaces() -> [String] {
    guard let name = ck_own_file() else { return [] }
    // Of a program the loader tells what it was called by, which need not be a path.
    let own = String(cString: name)
    guard let resolved = realpath(own.contains("/") ? own : "/proc/self/exe", nil) else { return [] }
    defer { free(resolved) }
    let folder = String(cString: resolved).split(separator: "/", omittingEmptySubsequences: false).dropLast()
      .joined(separator: "/")
    return ["\(folder)/\(pluginName)", "\(folder)/../lib/\(pluginName)"]
  }
}
