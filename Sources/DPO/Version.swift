import COpenBLAS

public enum DPOVersion {
  public static let string = "0.1.0"
  /// What computes matrix products on this machine.
  public static var engine: String { "OpenBLAS " + String(cString: openblas_get_corename()) }
}
