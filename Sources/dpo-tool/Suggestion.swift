/// What was meant by a word that is none of those that are known.
enum Suggestion {
  /// "; did you mean train?", or nothing where no word is near.
  static func text(for word: String, among known: [String]) -> String {
    nearest(word, known).map { "; did you mean \($0)?" } ?? ""
  }

  static func nearest(_ word: String, _ known: [String]) -> String? {
    let ranked = known.map { (name: $0, distance: distance(word, $0)) }.min { $0.distance < $1.distance }
    guard let best = ranked, best.distance <= max(1, min(word.count, best.name.count) / 3) else {
      // A word that lacks a part: batch_size for per_device_train_batch_size.
      let longer = known.filter { word.count >= 5 && $0.contains(word) }
      return longer.min { $0.count < $1.count }
    }
    return best.name
  }

  /// Letters put in, left out, changed or swapped with the next one (optimal string alignment).
  private static func distance(_ a: String, _ b: String) -> Int {
    let (a, b) = (Array(a.lowercased()), Array(b.lowercased()))
    guard !a.isEmpty, !b.isEmpty else { return a.count + b.count }
    var rows = [Array(0...b.count)]
    for i in 1...a.count {
      var row = [i]
      for j in 1...b.count {
        var best = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
        if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { best = min(best, rows[i - 2][j - 2] + 1) }
        row.append(best)
      }
      rows.append(row)
    }
    return rows[a.count][b.count]
  }
}
