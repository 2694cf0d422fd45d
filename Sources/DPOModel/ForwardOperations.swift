extension TokenForest {
  /// Floating-point operations of a forward pass, counted by hand: linear layers and attention over distinct tokens, and
  /// the head where a token is predicted. Norms, activations and softmax are not counted.
  package func forwardOperations(_ c: DecoderConfiguration) -> Double {
    let attention = c.hiddenSize * (2 * c.queryWidth + 2 * c.keyValueWidth)
    let mlp = (c.gatedMLP ? 3 : 2) * c.hiddenSize * c.intermediateSize
    let keys = segments.reduce(0) { $0 + $1.count * $1.position + $1.count * ($1.count + 1) / 2 }
    let predicted = c.heads == .score ? 0 : Set(targets.map(\.row)).count
    let perLayer = 2 * Double(attention + mlp) * Double(tokens.count) + 4 * Double(c.queryWidth) * Double(keys)
    return Double(c.layerCount) * perLayer + 2 * Double(c.hiddenSize) * Double(c.vocabularySize) * Double(predicted)
  }
}
