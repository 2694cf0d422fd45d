import COpenBLAS
import DPOKernels

public enum DPOVersion {
  public static let string = "0.1.0"
  /// What computes matrix products on this machine.
  public static var engine: String {
    guard ThreadTeam.packs(.fp32) else { return "OpenBLAS " + String(cString: openblas_get_corename()) }
    return Precision.bf16IsFaster ? "libdpo AVX-512, bf16" : "libdpo AVX-512"
  }
  /// Why.
  public static var engineReason: String {
    switch (ThreadTeam.packs(.fp32), Precision.bf16IsFaster) {
    case (true, true): "the processor has AVX-512 and AVX512_BF16: own inner loops for fp32 and bf16"
    case (true, false):
      "the processor has AVX-512, but no bf16 products that are faster than fp32: own inner loops, bf16 takes the time of fp32"
    default: "the processor lacks AVX-512: products go through OpenBLAS in fp32, no bf16"
    }
  }
}
