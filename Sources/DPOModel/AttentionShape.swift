import CKernels

/// Heads of a block's attention, and where they stand in a row of q, its gate, k and v side by side.
struct AttentionShape {
  let headCount, keyValueHeadCount, headSize: Int
  /// A row sees itself and the `window` − 1 positions before it; nil: all before it.
  let window: Int?
  let isGated: Bool
  /// The block whose keys and values it reads; nil: its own.
  let keySource: Int?
  /// v is k before its norm and rotation.
  let valuesAreKeys: Bool
  /// Heads of v go through a norm.
  let normsValues: Bool
  /// What the softmax sees of q kᵀ.
  let scores: ck_scores

  /// Of all heads of q together.
  var queryWidth: Int { headCount * headSize }
  /// Of all heads of k together; those of v as well.
  var keyValueWidth: Int { keyValueHeadCount * headSize }
  /// Heads of q that share one of k and v.
  var group: Int { headCount / keyValueHeadCount }

  /// First column of k, and of v; and the row's width.
  var keyColumn: Int { isGated ? 2 * queryWidth : queryWidth }
  var valueColumn: Int { keyColumn + keyValueWidth }
  var width: Int { keySource == nil ? valueColumn + keyValueWidth : keyColumn }

  /// Heads of q, k and v that may go through norms, and numbers of them all.
  var normedHeads: Int { headCount + (keySource != nil ? 0 : normsValues ? 2 : 1) * keyValueHeadCount }
  var normedWidth: Int { normedHeads * headSize }
}

extension DecoderConfiguration {
  func attention(_ layer: Int) -> AttentionShape {
    let full = isWindowed(layer) ? nil : fullHeads
    let size = full?.size ?? headSize
    return AttentionShape(
      headCount: headCount, keyValueHeadCount: full?.count ?? keyValueHeadCount, headSize: size, window: window(layer),
      isGated: gatedAttention, keySource: keySource(layer), valuesAreKeys: valuesAreKeys && !isWindowed(layer),
      normsValues: valueNorm,
      scores: ck_scores(
        scale: attentionScale.map { Float($0) } ?? 1 / Float(size).squareRoot(), cap: Float(attentionSoftCap ?? 0)))
  }

  /// Of all blocks with attention, for room that each of them fits into.
  func widest(_ size: (AttentionShape) -> Int) -> Int {
    layersWithAttention.reduce(0) { max($0, size(attention($1))) }
  }
}
