import DPOPlatform

/// Rotary positions: pairs of numbers of each head of q and k are turned by angles p·f_i that grow with the position p, with
/// the frequencies f_i = base^(−2i/size), i = 0 … size/2 − 1.
public struct Rope: Sendable, Equatable {
  /// Of the frequencies.
  public package(set) var base: Double
  /// How the frequencies are changed.
  public package(set) var scaling: RopeScaling
  /// Numbers of a head that are turned, from its first on; the others stay. Even.
  public package(set) var size: Int
  /// Pairs are (2i, 2i + 1) rather than (i, i + size/2).
  public package(set) var interleaved: Bool

  package init(base: Double = 10_000, scaling: RopeScaling = .none, size: Int, interleaved: Bool = false) {
    self.base = base
    self.scaling = scaling
    self.size = size
    self.interleaved = interleaved
  }

  /// The frequencies; `beyond`: of sequences longer than the scaling's original context, where it tells them apart.
  package func frequencies(beyond: Bool = false) -> [Double] {
    let plain = (0..<size / 2).map { pow(base, -2 * Double($0) / Double(size)) }
    return scaling.scaled(plain, base: base, beyond: beyond)
  }
}

/// How the rotary frequencies f_i are changed for contexts longer than first trained on.
public enum RopeScaling: Sendable, Equatable {
  /// f_i
  case none
  /// f_i / factor
  case linear(factor: Double)
  /// With the wavelength λ = 2π/f_i and n = originalContext: f_i if λ < n/highFrequencyFactor; f_i/factor if
  /// λ > n/lowFrequencyFactor; between them (1−s)·f_i/factor + s·f_i with
  /// s = (n/λ − lowFrequencyFactor)/(highFrequencyFactor − lowFrequencyFactor).
  case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalContext: Int)
  /// f_i / factor of the first pairs of a head, 0 of the others: these are not turned.
  case proportional(pairs: Int, factor: Double)
  /// f_i / factors[i]: the tensor `rope_freqs.weight` of a GGUF file.
  case divisors([Float])
  /// YaRN, arXiv 2309.00071.
  case yarn(YaRN)
  /// LongRoPE, arXiv 2402.13753.
  case longrope(LongRoPE)

  /// The divisor that stands in a GGUF file for a pair that is not turned.
  package static let unturned: Float = 1e30

  func scaled(_ plain: [Double], base: Double, beyond: Bool) -> [Double] {
    switch self {
    case .none: return plain
    case .linear(let factor): return plain.map { $0 / factor }
    case .proportional(let pairs, let factor): return plain.enumerated().map { $0 < pairs ? $1 / factor : 0 }
    case .divisors(let divisors): return RopeScaling.divided(plain, by: divisors)
    case .llama3(let factor, let low, let high, let originalContext):
      return plain.map { frequency in
        let turns = Double(originalContext) * frequency / (2 * Double.pi)
        if turns > high { return frequency }
        if turns < low { return frequency / factor }
        let smooth = (turns - low) / (high - low)
        return (1 - smooth) * frequency / factor + smooth * frequency
      }
    case .yarn(let yarn): return yarn.scaled(plain, base: base)
    case .longrope(let rope): return RopeScaling.divided(plain, by: beyond ? rope.long : rope.short)
    }
  }

  private static func divided(_ plain: [Double], by divisors: [Float]) -> [Double] {
    plain.enumerated().map { $0 < divisors.count ? $1 / Double(divisors[$0]) : $1 }
  }

  /// What cosines and sines are multiplied by.
  package var attentionFactor: Double {
    switch self {
    case .yarn(let yarn): yarn.attentionFactor
    case .longrope(let rope): rope.attentionFactor
    default: 1
    }
  }

  /// Positions of a sequence from which on its frequencies are others; nil: they are the same for all.
  package var switchesBeyond: Int? {
    if case .longrope(let rope) = self { return rope.originalContext }
    return nil
  }
}

/// f_i/factor for those that turn at most `slow` times in the original context, f_i for those that turn at least `fast` times,
/// and a ramp between them.
public struct YaRN: Sendable, Equatable {
  /// Of the context.
  public package(set) var factor: Double
  /// Positions that the model was first trained on.
  public package(set) var originalContext: Int
  /// Turns at one end of the ramp.
  public package(set) var fast = 32.0
  /// Turns at the other one.
  public package(set) var slow = 1.0
  /// What cosines and sines are multiplied by.
  public package(set) var attentionFactor: Double
  /// The ends of the ramp are rounded outwards to whole indices.
  public package(set) var truncates = true

  /// 0.1·scale·log(factor) + 1
  package static func attentionFactor(_ factor: Double, scale: Double = 1) -> Double {
    factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1
  }

  func scaled(_ plain: [Double], base: Double) -> [Double] {
    let size = Double(2 * plain.count)
    /// The index whose frequency turns so often in the original context.
    func index(_ turns: Double) -> Double {
      size * log(Double(originalContext) / (turns * 2 * Double.pi)) / (2 * log(base))
    }
    var (low, high) = (index(fast), index(slow))
    if truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
    (low, high) = (max(low, 0), min(high, size - 1))
    if low == high { high += 0.001 }
    return plain.enumerated().map { index, frequency in
      let ramp = min(max((Double(index) - low) / (high - low), 0), 1)
      return frequency / factor * ramp + frequency * (1 - ramp)
    }
  }
}

/// f_i / short[i], and f_i / long[i] for sequences of more than `originalContext` tokens.
public struct LongRoPE: Sendable, Equatable {
  /// Divisors of sequences within the original context.
  public package(set) var short: [Float]
  /// Divisors of longer ones.
  public package(set) var long: [Float]
  /// Positions that the model was first trained on.
  public package(set) var originalContext: Int
  /// What cosines and sines are multiplied by.
  public package(set) var attentionFactor: Double

  /// √(1 + log(factor)/log(originalContext))
  package static func attentionFactor(_ factor: Double, originalContext: Int) -> Double {
    factor <= 1 || originalContext <= 1 ? 1 : (1 + log(factor) / log(Double(originalContext))).squareRoot()
  }
}
