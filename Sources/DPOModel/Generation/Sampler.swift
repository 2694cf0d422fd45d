import CKernels
import DPOBase
import DPOPlatform
import HeapModule

/// Draws one token from a row of logits.
struct Sampler {
  let options: GenerationOptions
  private let kernels: UnsafePointer<ck_engine>
  /// Tokens that are never drawn.
  private let suppressed: [Int]
  private var probabilities: [Float] = []
  private var kept: [Int32] = []

  init(_ options: GenerationOptions, _ engine: Engine, _ configuration: DecoderConfiguration) {
    self.options = options
    kernels = engine.kernels
    suppressed = configuration.suppressedTokens
  }

  /// The token and its log-prob under the model itself. The draw is a function of logits, options and `draw` alone.
  mutating func sample(_ logits: UnsafePointer<Float>, _ count: Int, draw: CounterRandom) -> (
    token: Int32, logProb: Float
  ) {
    let best = Int(kernels.pointee.find_largest(logits, count).index)
    let top = logits[best]
    if probabilities.count < count {
      probabilities = [Float](repeating: 0, count: count)
      kept = [Int32](repeating: 0, count: count)
    }
    let token = suppressed.isEmpty ? choose(logits, count, best, draw) : chooseOfOthers(logits, count, draw)
    let sum = probabilities.withUnsafeMutableBufferPointer { p in
      p.baseAddress.map { kernels.pointee.shifted_exp_sum(logits, $0, count, top, 1) } ?? 1
    }
    return (token, Float(Double(logits[Int(token)]) - Double(top) - log(sum)))
  }

  /// Chooses as if the suppressed tokens were not there.
  private mutating func chooseOfOthers(_ logits: UnsafePointer<Float>, _ count: Int, _ draw: CounterRandom) -> Int32 {
    var others = Array(UnsafeBufferPointer(start: logits, count: count))
    for token in suppressed { others[token] = -.infinity }
    return others.withUnsafeBufferPointer { others in
      others.baseAddress.map { choose($0, count, Int(kernels.pointee.find_largest($0, count).index), draw) } ?? 0
    }
  }

  /// Temperature, top-k, top-p, min-p, in this order, then one draw.
  private mutating func choose(_ logits: UnsafePointer<Float>, _ count: Int, _ best: Int, _ draw: CounterRandom)
    -> Int32
  {
    guard options.temperature > 0 else { return Int32(best) }
    let top = logits[best]
    var draw = draw
    // Unnormalised: the largest is 1.
    var total = probabilities.withUnsafeMutableBufferPointer { p in
      p.baseAddress.map { kernels.pointee.shifted_exp_sum(logits, $0, count, top, Float(1 / options.temperature)) } ?? 0
    }
    for token in suppressed { probabilities[token] = 0 }
    var least: Float = 0
    if options.topK > 0, options.topK < count { least = smallest(of: options.topK, count) }
    guard least > 0 || options.topP < 1 || options.minP > 0 else {
      return Int32(kernels.pointee.pick(probabilities, count, draw.uniform() * total))
    }
    total = kernels.pointee.sum_from(probabilities, count, least)
    let surplus = (1 - options.topP) * total
    // All tokens below surplus / count together stay under the surplus: top-p removes them without sorting them.
    let floor = options.topP < 1 ? max(least, Float(surplus / Double(count))) : least
    var chosen = kept.withUnsafeMutableBufferPointer { kept in
      kept.baseAddress.map { Array(kept[..<kernels.pointee.collect(probabilities, count, floor, $0)]) } ?? []
    }
    if options.topP < 1 {
      keepNucleus(&chosen, removed: total - kernels.pointee.sum_from(probabilities, count, floor), surplus: surplus)
    }
    if options.minP > 0 { chosen.removeAll { probabilities[Int($0)] < Float(options.minP) } }
    var rest = draw.uniform() * chosen.reduce(0) { $0 + Double(probabilities[Int($1)]) }
    for token in chosen {
      rest -= Double(probabilities[Int(token)])
      if rest < 0 { return token }
    }
    return chosen.last ?? 0
  }

  /// The k-th largest probability, of more than k.
  private func smallest(of k: Int, _ count: Int) -> Float {
    var largest = Heap(probabilities[..<k])
    var least = largest.min ?? 0
    for probability in probabilities[k..<count] where probability > least {
      largest.replaceMin(with: probability)
      least = largest.min ?? 0
    }
    return least
  }

  /// From the least likely on, tokens go while their probabilities, with those `removed` already, add up to at most
  /// `surplus` = 1 − p of all; the likeliest always stays.
  private func keepNucleus(_ tokens: inout [Int32], removed: Double, surplus: Double) {
    // Among equals Hugging Face's descending sort is taken as stable: the higher id goes first.
    tokens.sort { a, b in
      let (p, q) = (probabilities[Int(a)], probabilities[Int(b)])
      return p == q ? a > b : p < q
    }
    var (removed, first) = (removed, 0)
    while first < tokens.count - 1 {
      removed += Double(probabilities[Int(tokens[first])])
      if removed > surplus { break }
      first += 1
    }
    tokens.removeFirst(first)
    tokens.sort()
  }
}
