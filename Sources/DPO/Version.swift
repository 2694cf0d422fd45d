internal import CDPO
import DPOKernels

/// Which libdpo this is.
public enum DPOVersion {
  /// As dpo.h has it, such as "0.1.0".
  public static let string = "\(DPO_VERSION_MAJOR).\(DPO_VERSION_MINOR).\(DPO_VERSION_PATCH)"

  /// The engine that computes unless another is asked for, and why.
  public static var engineReason: String {
    let engine = Engine.best
    let speed =
      engine.bf16IsFaster ? "bf16 products are faster than fp32" : "bf16 products take the time of fp32"
    return "\(engine.name): the first of this list that the processor can run; \(speed)"
  }
}
