import CKernels
import DPOBase
import DPOPlatform

/// n-grams of a text as 64-bit hashes with their counts. Two blocks, which are weighted and normalised apart:
/// words (1- and 2-grams) and characters within words (2- to 5-grams, blanks at the words' ends).
struct TextGrams {
  /// Sorted by hash.
  var words, characters: [(hash: UInt64, count: Int)]

  init(_ text: String) {
    let scalars = text.lowercased().unicodeScalars.map(\.value)
    words = TextGrams.counted(TextGrams.wordGrams(scalars))
    characters = TextGrams.counted(TextGrams.characterGrams(scalars))
  }

  /// 1- and 2-grams of the tokens [a-z0-9']+.
  private static func wordGrams(_ scalars: [UInt32]) -> [UInt64] {
    let tokens = scalars.split {
      !(($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x27)
    }.map(Array.init)
    let pairs = zip(tokens, tokens.dropFirst()).map { $0 + [0x20] + $1 }
    return (tokens + pairs).map { hash($0[...], kind: 1) }
  }

  /// scikit-learn's char_wb: each word stands between two blanks; a word shorter than n counts once.
  private static func characterGrams(_ scalars: [UInt32]) -> [UInt64] {
    var grams: [UInt64] = []
    for word in scalars.split(whereSeparator: { Unicode.Scalar($0)?.properties.isWhitespace ?? true }) {
      let padded = [0x20] + word + [0x20]
      for n in 2...5 {
        let last = max(0, padded.count - n)
        for start in 0...last { grams.append(hash(padded[start..<min(start + n, padded.count)], kind: 2)) }
        if last == 0 { break }
      }
    }
    return grams
  }

  private static func hash(_ gram: ArraySlice<UInt32>, kind: UInt64) -> UInt64 {
    gram.withUnsafeBytes { ck_xxh3($0.baseAddress, $0.count) } &* 2 &+ (kind & 1)
  }

  private static func counted(_ hashes: [UInt64]) -> [(hash: UInt64, count: Int)] {
    var result: [(hash: UInt64, count: Int)] = []
    for hash in hashes.sorted() {
      if result.last?.hash == hash { result[result.count - 1].count += 1 } else { result.append((hash, 1)) }
    }
    return result
  }
}

/// The n-grams of a training set with their inverse document frequencies; turns texts into sparse unit vectors.
///
///     value = (1 + ln count) · (ln((1 + texts)/(1 + texts with it)) + 1), each block scaled to length 1
struct TextVocabulary: Sendable, Equatable {
  private var index: [UInt64: Int32] = [:]
  /// The features' hashes, in their order.
  private(set) var grams: [UInt64] = []
  private(set) var inverseFrequencies: [Float] = []

  var count: Int { grams.count }

  init(_ texts: [TextGrams]) {
    add(texts.lazy.map(\.words), minimum: 1, texts: texts.count)
    add(texts.lazy.map(\.characters), minimum: 2, texts: texts.count)
  }

  /// A stored vocabulary; nil if the columns differ in length or a gram stands twice.
  init?(grams: [UInt64], inverseFrequencies: [Float]) {
    guard grams.count == inverseFrequencies.count, grams.count < Int(Int32.max) else { return nil }
    for (position, gram) in grams.enumerated() where index.updateValue(Int32(position), forKey: gram) != nil {
      return nil
    }
    self.grams = grams
    self.inverseFrequencies = inverseFrequencies
  }

  /// Adds the grams of one block that at least `minimum` texts have, in order of their hashes.
  private mutating func add(_ blocks: some Sequence<[(hash: UInt64, count: Int)]>, minimum: Int, texts: Int) {
    var frequencies: [UInt64: Int] = [:]
    for block in blocks { for gram in block { frequencies[gram.hash, default: 0] += 1 } }
    for (hash, frequency) in frequencies.filter({ $0.value >= minimum }).sorted(by: { $0.key < $1.key }) {
      index[hash] = Int32(count)
      grams.append(hash)
      inverseFrequencies.append(Float(log(Double(1 + texts) / Double(1 + frequency)) + 1))
    }
  }

  /// The non-zero values of a text by feature.
  func vector(_ grams: TextGrams) -> [(feature: Int32, value: Float)] {
    var result: [(feature: Int32, value: Float)] = []
    for block in [grams.words, grams.characters] {
      let start = result.count
      var squares = 0.0
      for gram in block {
        guard let feature = index[gram.hash] else { continue }
        let value = (1 + log(Double(gram.count))) * Double(inverseFrequencies[Int(feature)])
        squares += value * value
        result.append((feature, Float(value)))
      }
      let scale = squares > 0 ? Float(1 / squares.squareRoot()) : 0
      for position in start..<result.count { result[position].value *= scale }
    }
    return result
  }
}
