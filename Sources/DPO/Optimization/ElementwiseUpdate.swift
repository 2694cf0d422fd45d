import CKernels
import DPOBase
import DPOKernels
import DPOModel
import DPOStorage

/// A rule that updates each number by its own gradient and its own states alone: AdamW, Lion, SGD.
package protocol ElementRule: Sendable {
  /// What it keeps of each number.
  var states: [ElementState] { get }
  /// Updates `numbers` by the kernel; the gradients are 0 then.
  func update(_ numbers: ElementNumbers, _ step: UpdateStep, decays: Bool)
  /// The same in plain Swift, number by number: what the kernel is compared with.
  func updateReference(_ numbers: ElementNumbers, _ step: UpdateStep, decays: Bool)
}

/// One number that a rule keeps of each number that is trained.
package struct ElementState: Sendable, Equatable {
  /// Torch's name of it, which checkpoints have.
  package let name: String
  /// It may be below 0.
  package let isSigned: Bool
}

/// Equally long memory, not overlapping. Of `states` those that the rule has.
package struct ElementNumbers: @unchecked Sendable {
  package typealias Pointer = UnsafeMutablePointer<Float>
  package let values, gradients: Pointer
  package let states: (Pointer?, Pointer?)
  package let count: Int

  package init(values: Pointer, gradients: Pointer, states: (Pointer?, Pointer?), count: Int) {
    (self.values, self.gradients, self.states, self.count) = (values, gradients, states, count)
  }
}

/// An element rule over a parameter store, or a part of it, with states in any format.
package final class ElementwiseUpdate: UpdateRule {
  /// Part of one parameter, which one task updates.
  private struct Piece {
    let range: Range<Int>
    let decays: Bool
    let place: StateMemory.Place
  }

  /// Elements of a piece at most: a whole number of 8-bit blocks.
  private static let pieceSize = 1 << 18
  /// Elements whose states are decoded at a time.
  private static let chunkSize = 4096

  private let rule: any ElementRule
  private let parameters: ParameterStore
  private let format: StateFormat
  private let owned: [Range<Int>]
  private let memory: [StateMemory]
  private let pieces: [Piece]
  /// Of the parameters, or their parts.
  private let places: [StateMemory.Place]

  /// - Parameter owned: sorted parts of the store that are updated here, and for which states are kept; they do not overlap.
  ///   Only formats without blocks allow others than the whole store.
  package init(
    _ rule: any ElementRule, _ parameters: ParameterStore, format: StateFormat = .float32, owned: [Range<Int>]? = nil,
    offload: String? = nil
  ) throws {
    let owned = owned ?? [0..<parameters.count]
    guard !format.hasBlocks || owned == [0..<parameters.count] else {
      throw DPOError(.internal, "states in blocks of \(StateFormat.blockSize) are not divided")
    }
    (self.rule, self.parameters, self.format, self.owned) = (rule, parameters, format, owned)
    var layout = StateLayout(format)
    var (pieces, places): ([Piece], [StateMemory.Place]) = ([], [])
    var next = 0
    for entry in parameters.entries {
      let whole = entry.offset..<entry.offset + entry.count
      while next < owned.count, owned[next].lowerBound < whole.upperBound {
        let part = owned[next].clamped(to: whole)
        if !part.isEmpty {
          let start = layout.add(part.count)
          places.append(start)
          for from in stride(from: 0, to: part.count, by: ElementwiseUpdate.pieceSize) {
            let end = min(part.upperBound, part.lowerBound + from + ElementwiseUpdate.pieceSize)
            pieces.append(
              Piece(range: part.lowerBound + from..<end, decays: entry.decays, place: start.advanced(by: from)))
          }
        }
        guard owned[next].upperBound <= whole.upperBound else { break }
        next += 1
      }
    }
    (self.pieces, self.places) = (pieces, places)
    memory = try rule.states.map { try StateMemory($0, layout, in: offload) }
  }

  /// Bytes of the states of parameters with so many numbers each.
  package static func bytes(_ rule: any ElementRule, counts: [Int], format: StateFormat) -> Int {
    var layout = StateLayout(format)
    for count in counts { _ = layout.add(count) }
    return rule.states.count * layout.bytes
  }

  package var isElementwise: Bool { !format.hasBlocks }

  package func apply(_ step: UpdateStep, to range: Range<Int>, team: ThreadTeam) {
    let first = pieces.partitioned { $0.range.upperBound > range.lowerBound }
    let last = pieces.partitioned { $0.range.lowerBound >= range.upperBound }
    team.run(last - first) { task, _ in
      let piece = pieces[first + task]
      update(piece, piece.range.clamped(to: range), step)
    }
  }

  private func update(_ piece: Piece, _ range: Range<Int>, _ step: UpdateStep) {
    let (values, gradients) = (parameters.values.pointer, parameters.gradients.pointer)
    let place = piece.place.advanced(by: range.lowerBound - piece.range.lowerBound)
    func numbers(_ start: Int, _ count: Int, _ states: (ElementNumbers.Pointer?, ElementNumbers.Pointer?)) {
      rule.update(
        ElementNumbers(values: values + start, gradients: gradients + start, states: states, count: count), step,
        decays: piece.decays)
    }
    if case .float32(let offset) = place {
      return numbers(
        range.lowerBound, range.count,
        (memory.first.map { $0.floats + offset }, memory.dropFirst().first.map { $0.floats + offset }))
    }
    let size = ElementwiseUpdate.chunkSize
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * size) { scratch in
      guard let base = scratch.baseAddress else { return }
      for start in stride(from: range.lowerBound, to: range.upperBound, by: size) {
        let count = min(size, range.upperBound - start)
        let here = place.advanced(by: start - range.lowerBound)
        for (index, state) in memory.enumerated() { state.decode(here, count, into: base + index * size) }
        numbers(start, count, (base, base + size))
        for (index, state) in memory.enumerated() {
          let chances = CounterRandom(stream: [0x524F_554E_4453, UInt64(step.number), UInt64(index)]).key
          state.encode(base + index * size, here, count, chances: UInt32(truncatingIfNeeded: chances), first: start)
        }
      }
    }
  }

  package func sections(model: DecoderConfiguration) -> [CheckpointSection] {
    guard owned == [0..<parameters.count] else { return [] }
    return zip(rule.states, memory).flatMap { state, memory in
      memory.sections("/optimizer/\(state.name)", Array(zip(parameters.entries, places)), model: model)
    }
  }

  // MARK: - Parts

  /// Numbers kept a number that is trained; empty unless states are f32 or bf16.
  package var stateNames: [String] { isElementwise ? rule.states.map(\.name) : [] }

  /// Copies a state of a part of the store that is updated here.
  package func readState(_ index: Int, _ range: Range<Int>, into floats: UnsafeMutablePointer<Float>) {
    forEachPlace(range) { place, part in
      memory[index].decode(place, part.count, into: floats + part.lowerBound - range.lowerBound)
    }
  }

  /// Sets a state of a part of the store that is updated here. bf16: numbers are such that bf16 has.
  package func writeState(_ index: Int, _ range: Range<Int>, from floats: UnsafePointer<Float>) {
    forEachPlace(range) { place, part in
      memory[index].encode(floats + part.lowerBound - range.lowerBound, place, part.count, chances: 0, first: 0)
    }
  }

  private func forEachPlace(_ range: Range<Int>, _ body: (StateMemory.Place, Range<Int>) -> Void) {
    let first = pieces.partitioned { $0.range.upperBound > range.lowerBound }
    for piece in pieces[first...].prefix(while: { $0.range.lowerBound < range.upperBound }) {
      let part = piece.range.clamped(to: range)
      body(piece.place.advanced(by: part.lowerBound - piece.range.lowerBound), part)
    }
  }
}

extension Array {
  /// The first index whose element, as all behind it, belongs to the second part.
  fileprivate func partitioned(_ belongs: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if belongs(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
