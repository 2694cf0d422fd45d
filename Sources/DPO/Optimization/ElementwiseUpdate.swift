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
    /// The parameter's first number.
    let start: Int
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
  ///   8-bit states need whole blocks, as those of `StoreBlocks` are.
  package init(
    _ rule: any ElementRule, _ parameters: ParameterStore, format: StateFormat = .float32, owned: [Range<Int>]? = nil,
    offload: String? = nil
  ) throws {
    let owned = owned ?? [0..<parameters.count]
    (self.rule, self.parameters, self.format, self.owned) = (rule, parameters, format, owned)
    var layout = StateLayout(format)
    var (pieces, places): ([Piece], [StateMemory.Place]) = ([], [])
    for (index, part) in ElementwiseUpdate.parts(parameters.entries.map(\.count), owned) {
      let entry = parameters.entries[index]
      let place = layout.add(part.count, of: entry.count)
      places.append(place)
      for from in stride(from: 0, to: part.count, by: ElementwiseUpdate.pieceSize) {
        let end = min(part.upperBound, part.lowerBound + from + ElementwiseUpdate.pieceSize)
        pieces.append(
          Piece(
            range: part.lowerBound + from..<end, decays: entry.decays, place: place.advanced(by: from),
            start: entry.offset))
      }
    }
    (self.pieces, self.places) = (pieces, places)
    memory = try rule.states.map { try StateMemory($0, layout, in: offload) }
  }

  /// Bytes of the states of some parts of parameters with so many numbers each.
  package static func bytes(_ rule: any ElementRule, counts: [Int], owned: [Range<Int>], format: StateFormat) -> Int {
    var layout = StateLayout(format)
    for (index, part) in parts(counts, owned) { _ = layout.add(part.count, of: counts[index]) }
    return rule.states.count * layout.bytes
  }

  /// `owned`, cut where a parameter ends.
  private static func parts(_ counts: [Int], _ owned: [Range<Int>]) -> [(parameter: Int, range: Range<Int>)] {
    var parts: [(parameter: Int, range: Range<Int>)] = []
    var (start, next) = (0, 0)
    for (index, count) in counts.enumerated() {
      let whole = start..<start + count
      start = whole.upperBound
      while next < owned.count, owned[next].lowerBound < whole.upperBound {
        let part = owned[next].clamped(to: whole)
        if !part.isEmpty { parts.append((index, part)) }
        guard owned[next].upperBound <= whole.upperBound else { break }
        next += 1
      }
    }
    return parts
  }

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

  // MARK: - States that are divided

  /// What goes into a checkpoint through a passage, memory of one number for each of the store: of each state its numbers, and
  /// where it has blocks, after the codes of these their largest numbers.
  package var passages: Range<Int> { 0..<rule.states.count * kinds }
  private var kinds: Int { format.hasBlocks ? 2 : 1 }

  /// A passage's group in a checkpoint, whose numbers stand in the passage.
  package func section(
    _ passage: Int, in numbers: UnsafeMutablePointer<Float>, model: DecoderConfiguration
  ) -> CheckpointSection {
    let (state, isOfBlocks) = (rule.states[passage / kinds], passage % kinds == 1)
    var section = CheckpointSection(group: "/optimizer/\(state.name)" + (isOfBlocks ? "_absmax" : ""), entries: [])
    let turned = transposedNames(model)
    for entry in parameters.entries {
      let first = numbers + entry.offset
      switch (format.hasBlocks(entry.count), isOfBlocks) {
      case (true, true): section.add(entry, scales: first)
      case (true, false): section.add(entry, codes: UnsafeMutableRawPointer(first).assumingMemoryBound(to: UInt8.self))
      case (false, true): continue
      case (false, false): section.add(entry, .float32(first), transposed: turned.contains(entry.name))
      }
    }
    return section
  }

  /// Puts what is kept here of a part of the store where its owner's numbers stand in the passage: a code as a number, a block's
  /// largest number in the place of its first.
  package func give(_ passage: Int, _ range: Range<Int>, to numbers: UnsafeMutablePointer<Float>) {
    let memory = memory[passage / kinds]
    forEachPlace(range) { piece, part, place in
      let out = numbers + part.lowerBound
      guard case .dynamic8(let codes, let scales) = place else {
        return memory.decode(place, part.count, into: out)
      }
      if passage % kinds == 0 {
        for index in 0..<part.count { out[index] = Float(memory.codes[codes + index]) }
      } else {
        for block in 0..<StateFormat.blocks(part.count) {
          out[block * StateFormat.blockSize] = memory.floats[scales + block]
        }
      }
    }
  }

  /// Makes of what all owners gave what the section holds.
  package func arrange(_ passage: Int, in numbers: UnsafeMutablePointer<Float>) {
    for entry in parameters.entries where format.hasBlocks(entry.count) {
      let first = UnsafeMutableRawPointer(numbers + entry.offset)
      if passage % kinds == 0 {
        for index in 0..<entry.count {
          first.storeBytes(
            of: UInt8(first.load(fromByteOffset: 4 * index, as: Float.self)), toByteOffset: index, as: UInt8.self)
        }
      } else {
        for block in 0..<StateFormat.blocks(entry.count) {
          numbers[entry.offset + block] = numbers[entry.offset + block * StateFormat.blockSize]
        }
      }
    }
  }

  /// Takes a part of the store from what the section holds. bf16: numbers are such that bf16 has.
  package func take(_ passage: Int, _ range: Range<Int>, from numbers: UnsafePointer<Float>) {
    let memory = memory[passage / kinds]
    forEachPlace(range) { piece, part, place in
      guard case .dynamic8(let codes, let scales) = place else {
        return memory.encode(numbers + part.lowerBound, place, part.count, chances: 0, first: 0)
      }
      let first = part.lowerBound - piece.start
      if passage % kinds == 0 {
        let found = UnsafeRawPointer(numbers + piece.start) + first
        UnsafeMutableRawPointer(memory.codes + codes).copyMemory(from: found, byteCount: part.count)
      } else {
        let found = numbers + piece.start + first / StateFormat.blockSize
        (memory.floats + scales).update(from: found, count: StateFormat.blocks(part.count))
      }
    }
  }

  private func forEachPlace(_ range: Range<Int>, _ body: (Piece, Range<Int>, StateMemory.Place) -> Void) {
    let first = pieces.partitioned { $0.range.upperBound > range.lowerBound }
    for piece in pieces[first...].prefix(while: { $0.range.lowerBound < range.upperBound }) {
      let part = piece.range.clamped(to: range)
      body(piece, part, piece.place.advanced(by: part.lowerBound - piece.range.lowerBound))
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
