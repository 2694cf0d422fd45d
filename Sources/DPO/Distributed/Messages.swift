import DPOBase
import DPOModel

/// What a rank tells the others of its part of the work.
protocol RankMessage {
  init(from reader: inout MessageReader) throws
  func write(to writer: inout MessageWriter)
}

/// Numbers and texts one after the other, in this machine's byte order: all ranks are of one kind.
struct MessageWriter {
  private(set) var bytes: [UInt8] = []

  mutating func write(_ value: Int) { withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) } }
  mutating func write(_ value: Double) { withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) } }
  mutating func write(_ value: Bool) { bytes.append(value ? 1 : 0) }
  mutating func write(_ text: String) { write(Array(text.utf8)) }

  /// Plain numbers of any size.
  mutating func write<Number: BitwiseCopyable>(_ values: [Number]) {
    write(values.count)
    values.withUnsafeBytes { bytes.append(contentsOf: $0) }
  }

  mutating func write<Part>(optional part: Part?, _ body: (inout MessageWriter, Part) -> Void) {
    write(part != nil)
    if let part { body(&self, part) }
  }

  mutating func write<Part>(list: [Part], _ body: (inout MessageWriter, Part) -> Void) {
    write(list.count)
    for part in list { body(&self, part) }
  }
}

/// Reads what a `MessageWriter` wrote, in the same order.
struct MessageReader {
  private let bytes: [UInt8]
  private var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  private func damaged() -> DPOError { DPOError(.internal, "a rank's message ends at byte \(bytes.count)") }

  private mutating func take(_ count: Int) throws -> ArraySlice<UInt8> {
    guard count >= 0, count <= bytes.count - position else { throw damaged() }
    defer { position += count }
    return bytes[position..<position + count]
  }

  mutating func integer() throws -> Int { try take(8).withUnsafeBytes { $0.loadUnaligned(as: Int.self) } }
  mutating func double() throws -> Double { try take(8).withUnsafeBytes { $0.loadUnaligned(as: Double.self) } }
  mutating func flag() throws -> Bool { try take(1).first == 1 }
  mutating func text() throws -> String { String(decoding: try numbers(of: UInt8.self), as: UTF8.self) }

  mutating func numbers<Number: BitwiseCopyable>(of type: Number.Type) throws -> [Number] {
    let (size, overflow) = try integer().multipliedReportingOverflow(by: MemoryLayout<Number>.stride)
    guard !overflow else { throw damaged() }
    return try take(size).withUnsafeBytes { slice in
      stride(from: 0, to: slice.count, by: MemoryLayout<Number>.stride).map {
        slice.loadUnaligned(fromByteOffset: $0, as: Number.self)
      }
    }
  }

  mutating func optional<Part>(_ body: (inout MessageReader) throws -> Part) throws -> Part? {
    try flag() ? body(&self) : nil
  }

  mutating func list<Part>(_ body: (inout MessageReader) throws -> Part) throws -> [Part] {
    let count = try integer()
    guard count >= 0, count <= bytes.count else { throw damaged() }
    return try (0..<count).map { _ in try body(&self) }
  }
}

// MARK: - Messages

extension [Double]: RankMessage {
  init(from reader: inout MessageReader) throws { self = try reader.numbers(of: Double.self) }
  func write(to writer: inout MessageWriter) { writer.write(self) }
}

extension String: RankMessage {
  init(from reader: inout MessageReader) throws { self = try reader.text() }
  func write(to writer: inout MessageWriter) { writer.write(self) }
}

extension Metrics: RankMessage {
  init(from reader: inout MessageReader) throws {
    self.init(try reader.list { (name: Name(try $0.text()), value: try $0.double()) })
  }

  func write(to writer: inout MessageWriter) {
    writer.write(list: Array(self)) {
      $0.write($1.name.text)
      $0.write($1.value)
    }
  }
}

extension RowMetrics: RankMessage {
  init(from reader: inout MessageReader) throws {
    self.init(try reader.list { (name: Metrics.Name(try $0.text()), values: try $0.numbers(of: Double.self)) })
  }

  func write(to writer: inout MessageWriter) {
    writer.write(list: columns) {
      $0.write($1.name.text)
      $0.write($1.values)
    }
  }
}

extension TokenSums: RankMessage {
  init(from reader: inout MessageReader) throws {
    self.init(try reader.list { (Metrics.Name(try $0.text()), try $0.double(), try $0.integer()) })
  }

  func write(to writer: inout MessageWriter) {
    writer.write(list: columns) {
      $0.write($1.name.text)
      $0.write($1.sum)
      $0.write($1.tokens)
    }
  }
}

extension LikelihoodTerm: RankMessage {
  init(from reader: inout MessageReader) throws {
    self.init(
      sums: try reader.numbers(of: Double.self), counts: try reader.numbers(of: Int.self),
      factors: try reader.numbers(of: Double.self))
  }

  func write(to writer: inout MessageWriter) {
    writer.write(sums)
    writer.write(counts)
    writer.write(factors)
  }
}

/// A micro-batch's loss without its gradients, which stay with the rank that goes on with them.
extension MethodLoss: RankMessage {
  init(from reader: inout MessageReader) throws {
    self.init(loss: try reader.double(), metrics: try Metrics(from: &reader))
    rowNumbers = try [Double](from: &reader)
    state = try reader.optional { try [Double](from: &$0) }
    rowMetrics = try RowMetrics(from: &reader)
    tokenSums = try TokenSums(from: &reader)
    likelihood = try reader.optional { try LikelihoodTerm(from: &$0) }
  }

  func write(to writer: inout MessageWriter) {
    writer.write(loss)
    metrics.write(to: &writer)
    rowNumbers.write(to: &writer)
    writer.write(optional: state) { $1.write(to: &$0) }
    rowMetrics.write(to: &writer)
    tokenSums.write(to: &writer)
    writer.write(optional: likelihood) { $1.write(to: &$0) }
  }
}
