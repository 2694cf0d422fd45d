extension String {
  /// The text with `new` wherever `old` stands.
  package func replacing(_ old: String, by new: String) -> String {
    let (text, wanted) = (Array(utf8), Array(old.utf8))
    var out: [UInt8] = []
    var index = 0
    while index < text.count {
      if !wanted.isEmpty, text[index...].starts(with: wanted) {
        out += new.utf8
        index += wanted.count
      } else {
        out.append(text[index])
        index += 1
      }
    }
    return String(decoding: out, as: UTF8.self)
  }

  /// The UTF-8 offset behind the last place where `other` stands; nil where it does not.
  package func offset(behind other: String) -> Int? {
    let (text, wanted) = (Array(utf8), Array(other.utf8))
    guard text.count >= wanted.count else { return nil }
    return (0...text.count - wanted.count).last { text[$0..<$0 + wanted.count].elementsEqual(wanted) }.map {
      $0 + wanted.count
    }
  }
}
