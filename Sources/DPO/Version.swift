import COpenBLAS
import DPOKernels

public enum DPOVersion {
  public static let string = "0.1.0"
  /// What computes matrix products on this machine.
  public static var engine: String {
    switch (ThreadTeam.packs(.fp32), ThreadTeam.packs(.bf16)) {
    case (true, true): "libdpo AVX-512, bf16"
    case (true, false): "libdpo AVX-512"
    default: "OpenBLAS " + String(cString: openblas_get_corename())
    }
  }
  /// Why.
  public static var engineReason: String {
    switch (ThreadTeam.packs(.fp32), ThreadTeam.packs(.bf16)) {
    case (true, true): "the processor has AVX-512 and AVX512_BF16: own inner loops for fp32 and bf16"
    case (true, false): "the processor has AVX-512, but not AVX512_BF16: own inner loops for fp32, no bf16"
    default: "the processor lacks AVX-512: products go through OpenBLAS in fp32, no bf16"
    }
  }
}
