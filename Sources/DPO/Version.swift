import DPOKernels

public enum DPOVersion {
  public static let string = "0.1.0"

  /// The engine that computes unless another is asked for, and why.
  public static var engineReason: String {
    let engine = Engine.best
    let speed =
      engine.bf16IsFaster ? "bf16 products are faster than fp32" : "bf16 products take the time of fp32"
    return "\(engine.name): the first of this list that the processor can run; \(speed)"
  }
}
