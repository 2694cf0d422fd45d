import CKernels
import DPOBase
import Glibc

/// Draws one token from a row of logits.
struct Sampler {
  let options: GenerationOptions
  private var probabilities: [Float] = []
  private var kept: [Int32] = []

  init(_ options: GenerationOptions) { self.options = options }

  /// The token and its log-prob under the model itself. The draw is a function of logits, options and `draw` alone.
  mutating func sample(_ logits: UnsafePointer<Float>, _ count: Int, draw: CounterRandom) -> (
    token: Int32, logProb: Float
  ) {
    var best = 0
    for token in 1..<max(count, 1) where logits[token] > logits[best] { best = token }
    let top = logits[best]
    if probabilities.count < count { probabilities = [Float](repeating: 0, count: count) }
    let token = options.temperature == 0 ? Int32(best) : choose(logits, count, top, draw)
    var sum = 0.0
    probabilities.withUnsafeMutableBufferPointer { p in
      guard let p = p.baseAddress else { return }
      ck_shifted_exp(logits, p, count, top, 1)
      for index in 0..<count { sum += Double(p[index]) }
    }
    return (token, Float(Double(logits[Int(token)]) - Double(top) - log(sum)))
  }

  /// Temperature, top-k, top-p, min-p, in this order, then one draw.
  private mutating func choose(_ logits: UnsafePointer<Float>, _ count: Int, _ top: Float, _ draw: CounterRandom)
    -> Int32
  {
    // Unnormalised: the largest is 1.
    probabilities.withUnsafeMutableBufferPointer { p in
      if let p = p.baseAddress { ck_shifted_exp(logits, p, count, top, Float(1 / options.temperature)) }
    }
    var least: Float = 0
    if options.topK > 0, options.topK < count { least = smallest(of: options.topK, count) }
    kept.removeAll(keepingCapacity: true)
    for token in 0..<count where probabilities[token] >= least && probabilities[token] > 0 { kept.append(Int32(token)) }
    if options.topP < 1 { keepNucleus() }
    if options.minP > 0 { kept.removeAll { probabilities[Int($0)] < Float(options.minP) } }
    let total = kept.reduce(0) { $0 + Double(probabilities[Int($1)]) }
    var draw = draw
    var rest = draw.uniform() * total
    for token in kept {
      rest -= Double(probabilities[Int(token)])
      if rest < 0 { return token }
    }
    return kept.last ?? 0
  }

  /// The k-th largest probability, by a heap of the k largest.
  private func smallest(of k: Int, _ count: Int) -> Float {
    var heap: [Float] = []
    heap.reserveCapacity(k)
    func sink(_ start: Int) {
      var at = start
      while true {
        var least = at
        for child in [2 * at + 1, 2 * at + 2] where child < heap.count && heap[child] < heap[least] { least = child }
        if least == at { return }
        heap.swapAt(at, least)
        at = least
      }
    }
    for token in 0..<count {
      let p = probabilities[token]
      if heap.count < k {
        heap.append(p)
        if heap.count == k { for index in (0..<k / 2 + 1).reversed() where index < k { sink(index) } }
      } else if p > heap[0] {
        heap[0] = p
        sink(0)
      }
    }
    return heap.first ?? 0
  }

  /// From the least likely on, tokens go while their probabilities add up to at most 1 − p; the likeliest always stays.
  private mutating func keepNucleus() {
    let total = kept.reduce(0) { $0 + Double(probabilities[Int($1)]) }
    let surplus = (1 - options.topP) * total
    // All tokens below surplus / count together stay under the surplus: they go without being sorted.
    let floor = Float(surplus / Double(max(kept.count, 1)))
    var candidates: [Int32] = []
    var removed = 0.0
    for token in kept {
      if probabilities[Int(token)] < floor {
        removed += Double(probabilities[Int(token)])
      } else {
        candidates.append(token)
      }
    }
    // Among equals Hugging Face's descending sort is taken as stable: the higher id goes first.
    candidates.sort { a, b in
      let (p, q) = (probabilities[Int(a)], probabilities[Int(b)])
      return p == q ? a > b : p < q
    }
    var first = 0
    while first < candidates.count - 1 {
      removed += Double(probabilities[Int(candidates[first])])
      if removed > surplus { break }
      first += 1
    }
    kept = candidates[first...].sorted()
  }
}
