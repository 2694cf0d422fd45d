extension TokenForest {
  /// Floating-point operations of a forward pass, counted by hand: linear layers and attention over distinct tokens, and
  /// the head where a token is predicted. Norms, activations and softmax are not counted.
  package func forwardOperations(_ c: DecoderConfiguration) -> Double {
    let keys = segments.reduce(0) { $0 + $1.count * $1.position + $1.count * ($1.count + 1) / 2 }
    let predicted = c.heads == .score ? 0 : Set(targets.map(\.row)).count
    let queries = c.layersWithAttention.reduce(0) { $0 + c.attention($1).queryWidth }
    return 2 * c.weightsOfToken * Double(tokens.count) + 4 * Double(queries) * Double(keys) + 2 * Double(c.hiddenSize)
      * Double(c.vocabularySize) * Double(predicted)
  }
}

extension DecoderConfiguration {
  /// Weights of linear layers that a token is multiplied by, the head's left out.
  var weightsOfToken: Double {
    let visited = experts.map { Double($0.active) / Double($0.count) } ?? 1
    return family.linearModules(self).reduce(0) {
      $0 + Double($1.inputSize * $1.outputSize) * ($1.expert == nil ? 1 : visited)
    }
  }
}
