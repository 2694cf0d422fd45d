/// How the elements of a stored tensor are encoded. Raw values are the names that GGUF and safetensors use.
public enum DType: String, Sendable, CaseIterable {
  /// IEEE 754, 32 bits
  case f32 = "F32"
  /// IEEE 754, 16 bits
  case f16 = "F16"
  /// The upper half of an F32
  case bf16 = "BF16"
  /// ggml blocks of 32: 4 bits and a scale
  case q4_0 = "Q4_0"
  /// ggml blocks of 32: 4 bits, a scale and a minimum
  case q4_1 = "Q4_1"
  /// ggml blocks of 32: 5 bits and a scale
  case q5_0 = "Q5_0"
  /// ggml blocks of 32: 5 bits, a scale and a minimum
  case q5_1 = "Q5_1"
  /// ggml blocks of 32: 8 bits and a scale
  case q8_0 = "Q8_0"
  /// ggml blocks of 256: 2 bits; scales and minimums of 4 bits
  case q2_k = "Q2_K"
  /// ggml blocks of 256: 3 bits; scales of 6 bits
  case q3_k = "Q3_K"
  /// ggml blocks of 256: 4 bits; scales and minimums of 6 bits
  case q4_k = "Q4_K"
  /// ggml blocks of 256: 5 bits; scales and minimums of 6 bits
  case q5_k = "Q5_K"
  /// ggml blocks of 256: 6 bits; scales of 8 bits
  case q6_k = "Q6_K"
  /// ggml blocks of 32: 4 bits that stand for one of 16 numbers, and a scale
  case iq4_nl = "IQ4_NL"
  /// ggml blocks of 256: the same; scales of 6 bits
  case iq4_xs = "IQ4_XS"
  /// ggml blocks of 256: eights of a grid of 2048, each shifted by ± 1/8; scales of 3 bits
  case iq1_s = "IQ1_S"
  /// ggml blocks of 256: the same with twice as many scales and shifts
  case iq1_m = "IQ1_M"
  /// ggml blocks of 256: eights of a grid of 256 with signs; scales of 4 bits
  case iq2_xxs = "IQ2_XXS"
  /// ggml blocks of 256: the same with a grid of 512 and twice as many scales
  case iq2_xs = "IQ2_XS"
  /// ggml blocks of 256: the same with a grid of 1024
  case iq2_s = "IQ2_S"
  /// ggml blocks of 256: fours of a grid of 256 with signs; scales of 4 bits
  case iq3_xxs = "IQ3_XXS"
  /// ggml blocks of 256: the same with a grid of 512
  case iq3_s = "IQ3_S"
  /// ggml blocks of 256: −1, 0 or 1, five a byte, and a scale
  case tq1_0 = "TQ1_0"
  /// ggml blocks of 256: −1, 0 or 1 in 2 bits, and a scale
  case tq2_0 = "TQ2_0"
  /// ggml blocks of 32: E2M1 floats and a power of two
  case mxfp4 = "MXFP4"
  /// ggml blocks of 64: E2M1 floats; four scales of 8 bits (E4M3)
  case nvfp4 = "NVFP4"

  /// Elements a block; a row is a whole number of blocks.
  package var blockElements: Int {
    switch self {
    case .f32, .f16, .bf16: 1
    case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .iq4_nl, .mxfp4: 32
    case .nvfp4: 64
    case .q2_k, .q3_k, .q4_k, .q5_k, .q6_k, .iq4_xs, .iq1_s, .iq1_m, .iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s,
      .tq1_0, .tq2_0:
      256
    }
  }

  package var blockBytes: Int {
    switch self {
    case .f32: 4
    case .f16, .bf16: 2
    case .q4_0, .iq4_nl: 18
    case .q4_1: 20
    case .q5_0: 22
    case .q5_1: 24
    case .q8_0: 34
    case .q2_k: 84
    case .q3_k, .iq3_s: 110
    case .q4_k: 144
    case .q5_k: 176
    case .q6_k: 210
    case .iq4_xs: 136
    case .iq1_s: 50
    case .iq1_m: 56
    case .iq2_xxs, .tq2_0: 66
    case .iq2_xs: 74
    case .iq2_s: 82
    case .iq3_xxs: 98
    case .tq1_0: 54
    case .mxfp4: 17
    case .nvfp4: 36
    }
  }
}
