import CKernels
import DPOBase

/// The inner loops for one kind of processor. With one engine every result has the same bits on every machine and for any
/// number of threads; engines differ in the last bits.
public struct Engine: Sendable, Equatable {
  /// One of `names`.
  public let name: String
  package nonisolated(unsafe) let kernels: UnsafePointer<ck_engine>

  private init(_ kernels: UnsafePointer<ck_engine>) {
    name = String(cString: kernels.pointee.name)
    self.kernels = kernels
  }

  /// The one that is used unless another is asked for: the first of `names` whose instructions this processor has.
  ///
  /// Computed, as a child of fork would wait for ever for a constant that another thread was just making.
  public static var best: Engine { Engine(ck_engine_best()) }

  /// Those of this build, whether this machine can run them or not.
  public static let names = (0..<Int32(CK_ENGINES)).map { String(cString: ck_engine_name($0)) }

  /// Those that this machine can run.
  public static var available: [Engine] { names.compactMap { try? Engine(named: $0) } }

  /// What an engine needs, in words.
  public static func needs(_ name: String) -> String {
    names.firstIndex(of: name).map { String(cString: ck_engine_needs(Int32($0))) } ?? ""
  }

  /// - Parameter name: one of `names`, or "auto": the best one.
  /// - Throws: `.invalidArgument` if there is no such engine, `.unsupported` if this machine cannot run it.
  public init(named name: String) throws {
    guard name != "auto" else {
      self = .best
      return
    }
    guard let index = Engine.names.firstIndex(of: name) else {
      throw DPOError.argument("engine: \"\(name)\", expected auto or one of \(Engine.names.joined(separator: ", "))")
    }
    guard let kernels = ck_engine_at(Int32(index)) else {
      let reason = name == "openblas" ? String(cString: ck_openblas_error()) : "it needs \(Engine.needs(name))"
      let others = Engine.names.indices.filter {
        Engine.names[$0] != "openblas" && ck_engine_at(Int32($0)) != nil
      }.map { Engine.names[$0] }
      throw DPOError.unsupported(
        "engine: \"\(name)\" does not run here (\(reason)); expected one of \(others.joined(separator: ", "))")
    }
    self.init(kernels)
  }

  /// Whether bf16 products take less time than those of fp32, rather than as much.
  package var bf16IsFaster: Bool { kernels.pointee.bf16 == CK_GEMM_BF16 }
}
