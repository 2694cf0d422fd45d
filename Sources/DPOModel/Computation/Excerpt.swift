import DPOKernels
import DPOPlatform

/// Passes over a forest that only a few of a decoder's blocks take part in, one of each kind, to know what passes through all of
/// them take. Such a block begins with the embeddings; what comes out is of no use.
final class Excerpt {
  /// Blocks that are computed, ascending, each with the number of those that take as long.
  let layers: [(layer: Int, stands: Int)]
  private let team: ThreadTeam
  private var profile = Profile()
  private var seconds = PassSeconds()
  /// What the blocks that were computed took.
  private var measured = 0.0

  init(_ run: ModelRun) {
    team = run.team
    let c = run.c
    let ranks = Dictionary(grouping: run.adapter?.places ?? [], by: \.module.layer).mapValues { $0.map(\.rank) }
    var kinds: [(kind: String, layers: [Int])] = []
    for layer in 0..<c.layerCount {
      // The last block's gate and up are still there when its backward pass begins.
      let keeps = layer < run.layout.keptGateUps || layer == c.layerCount - 1
      let mixer = c.layersWithRecurrence.contains(layer) ? "recurrence" : "\(c.attention(layer))"
      let kind = "\(mixer) \(c.mlpWidth(layer)) \(keeps || run.recomputes || !run.trains) \(ranks[layer] ?? [])"
      if let index = kinds.firstIndex(where: { $0.kind == kind }) {
        kinds[index].layers.append(layer)
      } else {
        kinds.append((kind, [layer]))
      }
    }
    // One from the middle: the ends have less to do.
    layers = kinds.map { ($0.layers[$0.layers.count / 2], $0.layers.count) }.sorted { $0.layer < $1.layer }
  }

  func time(_ layer: Int, _ body: () -> Void) {
    let (start, attention) = (monotonicSeconds(), attentionSeconds)
    body()
    let (whole, inAttention) = (monotonicSeconds() - start, attentionSeconds - attention)
    let stands = Double(layers.first { $0.layer == layer }?.stands ?? 1)
    seconds.blocks += stands * (whole - inAttention)
    seconds.attention += stands * inAttention
    measured += whole
  }

  private var attentionSeconds: Double {
    profile.entries.reduce(0) { ["attention forward", "attention backward"].contains($1.name) ? $0 + $1.seconds : $0 }
  }

  /// Seconds of a pass, from one over the excerpt.
  func secondsOfPass(_ pass: () -> Void) -> PassSeconds {
    let attached = team.profile
    defer { team.profile = attached }
    (profile, seconds, measured) = (Profile(), PassSeconds(), 0)
    team.profile = profile
    let start = monotonicSeconds()
    pass()
    let whole = monotonicSeconds() - start
    seconds.head = profile.entries.reduce(0) {
      ["head forward", "head backward", "head merge"].contains($1.name) ? $0 + $1.seconds : $0
    }
    seconds.blocks += max(0, whole - measured - seconds.head)
    return seconds
  }
}

/// What a pass takes, by what that grows with.
package struct PassSeconds: Sendable {
  /// With the tokens; embedding and last norm are in it.
  package var blocks = 0.0
  /// With the pairs of rows that see each other.
  package var attention = 0.0
  /// With the rows that the head reads.
  package var head = 0.0

  package var total: Double { blocks + attention + head }

  package init() {}
}

/// What a pass and its backward pass take, and the blocks that this is known from.
package struct TimedPasses: Sendable {
  package let forward, backward: PassSeconds
  /// Each with the number of blocks that take as long.
  package let blocks: [(layer: Int, stands: Int)]
}

/// What the time of a pass over a forest grows with.
package struct PassSize: Sendable, Equatable {
  package let tokens, headRows: Int
  /// Over all heads and blocks, numbers of q times positions that they see.
  package let pairs: Double
}

extension TokenForest {
  package func passSize(_ c: DecoderConfiguration) -> PassSize {
    var pairs: [Int: Double] = [:]
    func seen(_ window: Int?) -> Double {
      segments.reduce(0) { sum, segment in
        let last = segment.position + segment.count
        let (from, to) = (min(segment.position, window ?? last), min(last, window ?? last))
        return sum + Double((from + 1 + to) * (to - from) / 2 + (segment.count - (to - from)) * (window ?? 0))
      }
    }
    var total = 0.0
    for layer in c.layersWithAttention {
      let shape = c.attention(layer)
      let known = pairs[shape.window ?? 0] ?? seen(shape.window)
      pairs[shape.window ?? 0] = known
      total += Double(shape.queryWidth) * known
    }
    let rows = c.heads == .score ? sequenceCount : Set(targets.map(\.row)).count
    return PassSize(tokens: tokens.count, headRows: rows, pairs: total)
  }
}

extension ModelRun {
  /// Blocks that passes go through, in order.
  var layers: [Int] { excerpt?.layers.map(\.layer) ?? Array(0..<c.layerCount) }

  /// Runs `body`, which computes a block; of an excerpt it is timed.
  func timed(_ layer: Int, fromEmbedding: Bool, _ body: () -> Void) {
    guard let excerpt else { return body() }
    if fromEmbedding {
      let (embedded, x) = (at(layout.streams[0], 0), at(layout.streams[0], layer))
      if x != embedded { memcpy(x, embedded, count * hidden * 4) }
      memset(at(layout.output), 0, count * hidden * 4)
    }
    excerpt.time(layer, body)
  }
}

extension ModelRunner {
  /// Times a pass over the forest, and the backward pass with it where it `trains`, whose gradients are of no use, by
  /// computing a few blocks and the head.
  package func timePasses(
    _ forest: TokenForest, adapter: LoRAAdapter? = nil, extras: ScoreExtras = [], trains: Bool
  ) throws -> TimedPasses {
    var run = try prepare(forest, adapter: adapter, trains: trains, dropout: nil)
    let excerpt = Excerpt(run)
    run.excerpt = excerpt
    var scores: TokenScores?
    let forward = excerpt.secondsOfPass { scores = run.forward(extras) }
    guard trains, let scores else {
      return TimedPasses(forward: forward, backward: PassSeconds(), blocks: excerpt.layers)
    }
    let gradients = [Float](repeating: 1e-3, count: scores.logProbs.count)
    let backward = excerpt.secondsOfPass { run.backward(gradients, scores.values.map { _ in 1e-3 }) { _ in } }
    return TimedPasses(forward: forward, backward: backward, blocks: excerpt.layers)
  }
}

extension TokenForest {
  /// A smaller one like it, to time passes on: a block's products with it are about so many operations, but it has 32 tokens at
  /// least where there are as many.
  package func excerpt(_ c: DecoderConfiguration, operations: Double) -> TokenForest {
    let perToken = 2 * c.weightsOfToken / Double(max(1, c.layerCount))
    return shortened(to: max(32, Int(min(operations / max(1, perToken), 65536))))
  }
}
