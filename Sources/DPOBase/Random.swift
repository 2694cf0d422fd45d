/// Standard 32-bit MT19937 (Matsumoto and Nishimura 1998), seeded by init_genrand: the order of TRL's shuffled data.
public struct MersenneTwister: Sendable {
  private var state: [UInt32]
  private var next = 624

  /// Equal seeds draw equal numbers.
  public init(seed: UInt32) {
    state = [seed]
    state.reserveCapacity(624)
    for index in 1..<624 {
      let last = state[index - 1]
      state.append(1_812_433_253 &* (last ^ (last >> 30)) &+ UInt32(index))
    }
  }

  /// The next number, any of 2³² with equal chances.
  public mutating func nextUInt32() -> UInt32 {
    if next == 624 {
      for k in 0..<624 {
        let y = (state[k] & 0x8000_0000) | (state[(k + 1) % 624] & 0x7FFF_FFFF)
        state[k] = state[(k + 397) % 624] ^ (y >> 1) ^ (y & 1 == 0 ? 0 : 0x9908_B0DF)
      }
      next = 0
    }
    var y = state[next]
    next += 1
    y ^= y >> 11
    y ^= (y << 7) & 0x9D2C_5680
    y ^= (y << 15) & 0xEFC6_0000
    return y ^ (y >> 18)
  }

  /// Row order of an epoch as in losses.md section 2: for i = 0…n−2 swap r[i] with r[i + u32 mod (n−i)].
  public static func permutation(_ count: Int, seed: UInt32) -> [Int] {
    var generator = MersenneTwister(seed: seed)
    var rows = Array(0..<count)
    for i in 0..<max(0, count - 1) { rows.swapAt(i, i + Int(generator.nextUInt32()) % (count - i)) }
    return rows
  }
}

/// SplitMix64 (Steele, Lea, Flood 2014) as a counter-based generator: value number `counter` of stream `key` is a pure
/// function of both, so a resumed run draws what an uninterrupted one would.
package struct CounterRandom: Sendable, Equatable {
  package let key: UInt64
  package var counter: UInt64

  package init(key: UInt64, counter: UInt64 = 0) {
    self.key = key
    self.counter = counter
  }

  /// A stream of its own for a purpose: `parts` are, say, seed, step, layer.
  package init(stream parts: [UInt64]) {
    self.init(key: parts.reduce(0x6A09_E667_F3BC_C908) { CounterRandom.mix($0 ^ CounterRandom.mix($1)) })
  }

  static func mix(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  package mutating func next() -> UInt64 {
    counter &+= 1
    return CounterRandom.mix(key &+ counter &* 0x9E37_79B9_7F4A_7C15)
  }

  /// Uniform in [0, 1).
  package mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }
}
